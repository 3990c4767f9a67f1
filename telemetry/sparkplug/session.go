package sparkplug

import (
	"fmt"
	"slices"
)

// Bounds of what one edge node may define.
const (
	maxDevices     = 2_000
	maxDefinitions = 50_000
)

// Definition is what a birth says of a metric.
type Definition struct {
	Name      string // as the sender has it, through its templates
	Signal    string
	Unit      string // engUnit
	Low, High float64
	HasLow    bool
	HasHigh   bool
	Datatype  Datatype
	device    string
}

// Session is what an edge node has said of itself between a birth and a death.
// It follows from the births and deaths in their order and from nothing else. The
// zero value knows nothing. Not safe for concurrent use.
type Session struct {
	born     bool
	bdSeq    uint64
	hasBdSeq bool
	members  map[string]*member // "" is the node itself
	aliases  map[uint64]*Definition
	size     int
}

type member struct {
	online  bool
	defined map[string]*Definition
	aliases []uint64
}

// Change is what a birth or death means: who is online or offline now.
type Change struct {
	Online  bool
	Node    bool // the edge node itself
	Devices []string
	Faults  []Fault
	Refused *Fault // the message means nothing
}

// Born says whether the birth that holds is known.
func (s *Session) Born() bool { return s.born }

// Device says whether a device was born and has not died since.
func (s *Session) Device(id string) bool {
	m := s.members[id]
	return m != nil && m.online
}

// heard says whether the birth of a sender is known.
func (s *Session) heard(device string) bool {
	return s.born && s.Device(device)
}

// Size is how many metrics the births have defined.
func (s *Session) Size() int { return s.size }

// Forget makes the session one that nothing is known of.
func (s *Session) Forget() { *s = Session{} }

// Apply takes a birth or a death; of other messages it wants to know nothing. One
// that could not be decoded is applied as nil: what was known does not hold any more.
func (s *Session) Apply(t Topic, p *Payload) Change {
	if p == nil {
		switch t.Type {
		case NBirth:
			s.Forget()
		case DBirth:
			s.remove(t.Device)
		}
		return Change{}
	}
	switch t.Type {
	case NBirth:
		return s.nodeBirth(p)
	case DBirth:
		return s.deviceBirth(t.Device, p)
	case NDeath:
		return s.nodeDeath(p)
	case DDeath:
		return s.deviceDeath(t.Device)
	}
	return Change{}
}

func (s *Session) nodeBirth(p *Payload) Change {
	*s = Session{born: true}
	c := Change{Online: true, Node: true}
	if s.bdSeq, s.hasBdSeq = p.BdSeq(); !s.hasBdSeq {
		c.Faults = append(c.Faults, Fault{Reason: BadBdSeq, Detail: "the birth has no bdSeq: its death cannot be told from an older one"})
	}
	c.Faults = append(c.Faults, s.define("", p)...)
	return c
}

func (s *Session) deviceBirth(device string, p *Payload) Change {
	s.remove(device)
	if len(s.members) > maxDevices {
		return Change{Refused: &Fault{Reason: TooMany, Detail: fmt.Sprintf("an edge node has more than %d devices", maxDevices)}}
	}
	faults := s.define(device, p)
	return Change{Online: true, Devices: []string{device}, Faults: faults}
}

// nodeDeath is believed where it belongs to the birth that holds: the will of an
// earlier connection may come late.
func (s *Session) nodeDeath(p *Payload) Change {
	bdSeq, ok := p.BdSeq()
	switch {
	case !ok && s.hasBdSeq:
		return Change{Refused: &Fault{Reason: BadBdSeq, Detail: fmt.Sprintf("the death has no bdSeq, the birth has %d", s.bdSeq)}}
	case ok && s.hasBdSeq && bdSeq != s.bdSeq:
		return Change{Refused: &Fault{Reason: BadBdSeq, Detail: fmt.Sprintf("the death of connection %d, the birth is of %d", bdSeq, s.bdSeq)}}
	}
	c := Change{Node: true}
	for id, m := range s.members {
		if id != "" && m.online {
			c.Devices = append(c.Devices, id)
		}
	}
	slices.Sort(c.Devices)
	s.Forget()
	return c
}

func (s *Session) deviceDeath(device string) Change {
	s.remove(device)
	return Change{Devices: []string{device}}
}

func (s *Session) remove(device string) {
	m := s.members[device]
	if m == nil {
		return
	}
	for _, alias := range m.aliases {
		delete(s.aliases, alias)
	}
	s.size -= len(m.defined)
	delete(s.members, device)
}

// define notes the metrics of a birth.
func (s *Session) define(device string, p *Payload) []Fault {
	if s.members == nil {
		s.members, s.aliases = map[string]*member{}, map[uint64]*Definition{}
	}
	m := &member{online: true, defined: make(map[string]*Definition, len(p.Metrics))}
	s.members[device] = m
	var faults []Fault
	for i := range p.Metrics {
		faults = s.defineMetric(faults, device, m, "", &p.Metrics[i])
	}
	return faults
}

func (s *Session) defineMetric(faults []Fault, device string, m *member, prefix string, metric *Metric) []Fault {
	refuse := func(reason, detail string) []Fault {
		return append(faults, Fault{Reason: reason, Detail: detail, Path: prefix + metric.Name, Offset: metric.Offset})
	}
	switch {
	case metric.Name == "":
		return refuse(BadAlias, "a birth must name its metrics")
	case s.size >= maxDefinitions:
		return refuse(TooMany, fmt.Sprintf("an edge node has more than %d metrics", maxDefinitions))
	}
	def := &Definition{Name: prefix + metric.Name, Datatype: metric.Datatype, Unit: metric.text("engUnit"), device: device}
	if def.Datatype == Unknown {
		def.Datatype = metric.Value.guess()
	}
	def.Signal = Signal(def.Name)
	def.Low, def.HasLow = metric.limit("engLow")
	def.High, def.HasHigh = metric.limit("engHigh")
	if m.defined[def.Name] == nil {
		s.size++
	}
	m.defined[def.Name] = def
	if metric.HasAlias {
		if other := s.alias(m, metric.Alias, def); other != "" {
			faults = refuse(BadAlias, fmt.Sprintf("alias %d is that of %s too", metric.Alias, other))
		}
	}
	if t := metric.Value.Template; t != nil && !t.Definition {
		for i := range t.Metrics {
			faults = s.defineMetric(faults, device, m, def.Name+"/", &t.Metrics[i])
		}
	}
	return faults
}

// ambiguous stands behind an alias that was given to two metrics: which of them a
// message means, nobody can tell.
const ambiguous = "\x00"

// alias gives a metric its alias; it names the other metric that has it. Those of
// the protocol are never sent by alias, so that they may lose theirs.
func (s *Session) alias(m *member, alias uint64, def *Definition) (other string) {
	known := s.aliases[alias]
	switch {
	case known == nil, ofTheNode(known.Name):
		s.aliases[alias] = def
	case ofTheNode(def.Name):
		return ""
	default:
		s.aliases[alias] = &Definition{Name: known.Name, device: ambiguous}
		other = known.Name
	}
	m.aliases = append(m.aliases, alias)
	return other
}

func (m *Metric) limit(key string) (float64, bool) {
	for i := range m.Properties {
		if p := &m.Properties[i]; p.Key == key && !p.Null {
			v, fault := p.Value.number(p.Type)
			return v, fault == nil
		}
	}
	return 0, false
}

// find is what a birth has said of a metric, nil when it has not.
func (s *Session) find(device, prefix string, m *Metric) *Definition {
	if m.Name != "" {
		if member := s.members[device]; member != nil {
			return member.defined[prefix+m.Name]
		}
		return nil
	}
	if !m.HasAlias {
		return nil
	}
	if def := s.aliases[m.Alias]; def != nil && def.device == device {
		return def
	}
	return nil
}
