package sparkplug

import (
	"fmt"
	"strconv"
)

// Quality is what the source says of a value.
type Quality uint8

// The qualities that matter here.
const (
	Good  Quality = iota
	Bad           // the source does not believe it
	Stale         // the source says that it is old
)

// Point is one number that a message carries.
type Point struct {
	Signal     string
	Unit       string // as the birth has it, "" where it has none
	Value      float64
	Quality    Quality
	At         uint64 // Unix ms
	HasTime    bool
	Historical bool
}

// Reading is what a message says of its machine.
type Reading struct {
	Points     []Point
	Attributes int     // texts, dates and bytes: noted and not stored
	Faults     []Fault // of parts; the rest stands
	Ask        string  // why the node should be asked for its births, "" when it need not
}

// maxElementsKept bounds the elements of an array that become signals: a wave
// form is no list of signals.
const maxElementsKept = 64

// reader makes a Reading of one payload.
type reader struct {
	Reading
	session *Session
	device  string
	payload *Payload
	birth   bool
	points  int
}

// Read says what a birth or a data message holds. It changes nothing: a birth
// must have been applied before.
func (s *Session) Read(t Topic, p *Payload) Reading {
	r := &reader{session: s, device: t.Device, payload: p, birth: t.Type == NBirth || t.Type == DBirth}
	if !r.birth && !s.heard(t.Device) {
		r.Ask = NoBirth
	}
	switch {
	case p.HasSeq && p.Seq > 255:
		r.Faults = append(r.Faults, Fault{Reason: BadSeq, Detail: fmt.Sprintf("the sequence number is %d, beyond 255", p.Seq)})
	case t.Type == NBirth && p.Seq != 0:
		r.Faults = append(r.Faults, Fault{Reason: BadSeq, Detail: fmt.Sprintf("the birth of a node has sequence number %d, expected 0", p.Seq)})
	}
	r.Points = make([]Point, 0, len(p.Metrics))
	for i := range p.Metrics {
		r.metric(&p.Metrics[i], "", 0)
	}
	return r.Reading
}

func (r *reader) refuse(m *Metric, path string, f *Fault) {
	fault := *f
	if fault.Path == "" {
		fault.Path = path
		if path == "" && m.HasAlias {
			fault.Path = "alias " + strconv.FormatUint(m.Alias, 10)
		}
	}
	fault.Offset = m.Offset
	r.Faults = append(r.Faults, fault)
	if fault.Reason == NoBirth || fault.Reason == BadAlias || fault.Reason == BadType {
		r.ask(fault.Reason)
	}
}

func (r *reader) ask(reason string) {
	if r.Ask == "" && !r.birth {
		r.Ask = reason
	}
}

func (r *reader) metric(m *Metric, prefix string, depth int) {
	def, fault := r.define(m, prefix)
	if fault != nil {
		r.refuse(m, m.Name, fault)
		return
	}
	if prefix == "" && ofTheNode(def.Name) || m.Transient {
		return
	}
	if fault := nullFault(m); fault != nil {
		r.refuse(m, def.Name, fault)
		return
	}
	if m.Null {
		return // a gap
	}
	if fault := r.value(m, def, depth); fault != nil {
		r.refuse(m, def.Name, fault)
	}
}

func nullFault(m *Metric) *Fault {
	switch {
	case m.Null && m.Value.Kind != None:
		return &Fault{Reason: BadNull, Detail: "is null and has a value"}
	case !m.Null && m.Value.Kind == None:
		return &Fault{Reason: BadNull, Detail: "has no value and is not null"}
	}
	return nil
}

// define finds out what a metric is: by its name, else by its alias.
func (r *reader) define(m *Metric, prefix string) (*Definition, *Fault) {
	def := r.session.find(r.device, prefix, m)
	if def == nil {
		if m.Name == "" {
			if !r.session.heard(r.device) {
				return nil, &Fault{Reason: NoBirth, Detail: "the births of this edge node are not known"}
			}
			return nil, &Fault{Reason: BadAlias, Detail: "no birth has given this alias to a metric of this sender"}
		}
		if prefix == "" && !ofTheNode(m.Name) && r.session.heard(r.device) {
			r.ask(BadAlias) // a metric that the birth does not have
		}
		def = &Definition{Name: prefix + m.Name, Datatype: m.Datatype}
		def.Signal = Signal(def.Name)
	}
	switch {
	case m.HasDatatype && m.Datatype > DateTimeArray:
		return nil, &Fault{Reason: BadType, Detail: "no datatype of Sparkplug B"}
	case def.Datatype == Unknown:
		known := *def
		if known.Datatype = m.Datatype; known.Datatype == Unknown {
			known.Datatype = m.Value.guess()
		}
		def = &known
	case m.HasDatatype && m.Datatype != def.Datatype && m.Datatype != Unknown:
		return nil, &Fault{Reason: BadType, Detail: m.Datatype.String() + ", the birth says " + def.Datatype.String()}
	}
	return def, nil
}

func (r *reader) value(m *Metric, def *Definition, depth int) *Fault {
	v := &m.Value
	switch def.Datatype.class() {
	case noClass:
		if !r.session.heard(r.device) {
			return &Fault{Reason: NoBirth, Detail: "only its birth can tell the datatype"}
		}
		return &Fault{Reason: BadType, Detail: "has no datatype, nor has its birth"}
	case attribute:
		r.Attributes++
		return nil
	case table:
		return r.table(m, def)
	case nested:
		return r.nested(m, def, depth)
	case array:
		return r.array(m, def)
	}
	n, fault := v.number(def.Datatype)
	if fault != nil {
		return fault
	}
	return r.keep(m, def, def.Name, def.Signal, n)
}

// keep appends a point of a signal.
func (r *reader) keep(m *Metric, def *Definition, name, signal string, n float64) *Fault {
	if why := badSignal(name); why != "" {
		return &Fault{Reason: "E_SIGNAL_NAME", Detail: why}
	}
	if r.points++; r.points > maxElements {
		return &Fault{Reason: TooMany, Detail: fmt.Sprintf("more than %d values", maxElements)}
	}
	p := Point{Signal: signal, Unit: def.Unit, Value: n, Quality: m.quality(), Historical: m.Historical}
	switch {
	case m.HasTimestamp:
		p.At, p.HasTime = m.Timestamp, true
	case r.payload.HasTimestamp:
		p.At, p.HasTime = r.payload.Timestamp, true
	}
	r.Points = append(r.Points, p)
	return nil
}

func (r *reader) array(m *Metric, def *Definition) *Fault {
	list, fault := m.Value.numbers(def.Datatype)
	if fault != nil {
		return fault
	}
	if len(list) > maxElementsKept {
		return &Fault{Reason: TooMany, Detail: fmt.Sprintf("an array of %d elements; up to %d become signals", len(list), maxElementsKept)}
	}
	if list == nil {
		r.Attributes++
	}
	for i, n := range list {
		index := "." + strconv.Itoa(i)
		if fault := r.keep(m, def, def.Name+index, def.Signal+index, n); fault != nil {
			return fault
		}
	}
	return nil
}

// table makes path.column of one row, path.row.column of more.
func (r *reader) table(m *Metric, def *Definition) *Fault {
	set := m.Value.Set
	if set == nil {
		return unfit(def.Datatype, "does not come as a %s", m.Value.Kind)
	}
	for i, row := range set.Rows {
		prefix := "."
		if len(set.Rows) > 1 {
			prefix = "." + strconv.Itoa(i) + "."
		}
		for k := range row {
			switch set.Types[k].class() {
			case signed, unsigned, floating, boolean:
			default:
				r.Attributes++
				continue
			}
			n, fault := row[k].number(set.Types[k])
			if fault == nil {
				fault = r.keep(m, def, def.Name+prefix+set.Columns[k], def.Signal+prefix+Signal(set.Columns[k]), n)
			}
			if fault != nil {
				return fault
			}
		}
	}
	return nil
}

func (r *reader) nested(m *Metric, def *Definition, depth int) *Fault {
	t := m.Value.Template
	switch {
	case t == nil:
		return unfit(def.Datatype, "does not come as a %s", m.Value.Kind)
	case t.Definition:
		return nil
	case depth >= maxDepth:
		return &Fault{Reason: Depth, Detail: "templates are nested too deep"}
	}
	for i := range t.Metrics {
		member := t.Metrics[i]
		member.Historical = member.Historical || m.Historical
		if !member.HasTimestamp {
			member.Timestamp, member.HasTimestamp = m.Timestamp, m.HasTimestamp
		}
		r.metric(&member, def.Name+"/", depth+1)
	}
	return nil
}

// quality reads the property Quality: the codes of OPC, of which the standard
// names 0 bad, 192 good and 500 stale.
func (m *Metric) quality() Quality {
	for i := range m.Properties {
		p := &m.Properties[i]
		if p.Key != "Quality" || p.Null || p.Value.Kind != IntValue && p.Value.Kind != LongValue {
			continue
		}
		switch {
		case p.Value.Bits == 500:
			return Stale
		case p.Value.Bits < 64:
			return Bad
		}
	}
	return Good
}

// text is a text property, "" where there is none.
func (m *Metric) text(key string) string {
	for i := range m.Properties {
		if p := &m.Properties[i]; p.Key == key && p.Value.Kind == StringValue && len(p.Value.Text) <= 64 {
			return p.Value.Text
		}
	}
	return ""
}
