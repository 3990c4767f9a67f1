package formats

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"
)

// senML is a SenML pack in JSON (RFC 8428): [{"bn":"urn:dev:mac:0024be/","bt":
// 1767225600,"n":"oil_temp","u":"Cel","v":62.5}]. The base name is the machine, the
// name the signal; records are resolved as the RFC says.
type senML struct{}

func (senML) Name() string { return "senml" }

func (senML) Match(topic string, payload []byte) bool {
	if machine, rest, ok := FleetTopic(topic); ok {
		return machine != "" && rest == "senml"
	}
	return firstByte(payload) == '[' && (bytes.Contains(payload, []byte(`"bn"`)) ||
		bytes.Contains(payload, []byte(`"n"`)) && (bytes.Contains(payload, []byte(`"v"`)) || bytes.Contains(payload, []byte(`"vb"`)) ||
			bytes.Contains(payload, []byte(`"vs"`)) || bytes.Contains(payload, []byte(`"s"`))))
}

func (senML) Decode(m Message, out *Decoded) error {
	s := out.scanner.open(m)
	p := newPack(m, out)
	for a := s.array(); a.next(); {
		r := senMLRecord{path: s.path(), offset: s.pos}
		for o := s.object(); o.next(); {
			readSenMLMember(s, &p, &r, o.key)
		}
		if s.fault != nil {
			break
		}
		p.add(&r)
	}
	if err := s.end(); err != nil {
		return err
	}
	p.flush()
	return nil
}

func readSenMLMember(s *jsonScanner, p *senMLPack, r *senMLRecord, key []byte) {
	label, known := senMLLabel(string(key))
	c := s.peek()
	start := s.pos
	switch {
	case !known && strings.HasSuffix(string(key), "_"):
		s.fail(SenMLRecord, "a label that must be understood is not known")
	case !known:
		s.skip()
	case label.text:
		text, ok := s.text()
		if ok && s.count() {
			r.text(label, p.out.name(text))
		}
	case label.name == "vb":
		word, ok := s.literal()
		if ok && word == 'n' {
			s.fail(JSONType, "expected true or false")
		}
		r.boolean(word == 't')
	case s.numeric(c):
		v, fault := s.number()
		if fault != nil {
			r.fault = fault
			return
		}
		r.number(label, v)
	case c == 'n':
		s.literal()
	default:
		s.skip()
		if s.fault == nil {
			f := s.at(start, JSONType, "expected a number")
			r.fault = &f
		}
	}
}

// senMLField is one of the fields that the RFC defines, by its JSON label.
type senMLField struct {
	name string
	code int64 // its label in CBOR
	text bool
}

//nolint:gochecknoglobals // the table of RFC 8428, section 4.3, never written
var senMLFields = []senMLField{
	{"bn", -2, true}, {"bt", -3, false}, {"bu", -4, true}, {"bv", -5, false}, {"bs", -6, false}, {"bver", -1, false},
	{"n", 0, true}, {"u", 1, true}, {"v", 2, false}, {"vs", 3, true}, {"vb", 4, false}, {"s", 5, false}, {"t", 6, false},
	{"ut", 7, false}, {"vd", 8, true},
}

func senMLLabel(name string) (senMLField, bool) {
	for _, f := range senMLFields {
		if f.name == name {
			return f, true
		}
	}
	return senMLField{}, false
}

// senMLRecord is one record as it is written.
type senMLRecord struct {
	path   string
	offset int
	fault  *Fault

	baseName, name            string
	baseUnit, unit            string
	hasBaseUnit               bool
	hasBaseName               bool
	baseTime, baseValue       float64
	baseSum                   float64
	hasTime, hasValue, hasSum bool // of the base
	value, sum, time          float64
	has, hasOwnSum            bool
	words                     string
	isText, isData, isBoolean bool
	version                   float64
}

func (r *senMLRecord) text(f senMLField, text string) {
	switch f.name {
	case "bn":
		r.baseName, r.hasBaseName = text, true
	case "n":
		r.name = text
	case "bu":
		r.baseUnit, r.hasBaseUnit = text, true
	case "u":
		r.unit = text
	case "vs":
		r.words, r.isText = text, true
	case "vd":
		r.isData = true
	}
}

func (r *senMLRecord) boolean(v bool) {
	r.isBoolean, r.has = true, true
	if v {
		r.value = 1
	}
}

func (r *senMLRecord) number(f senMLField, v float64) {
	switch f.name {
	case "bt":
		r.baseTime, r.hasTime = v, true
	case "bv":
		r.baseValue, r.hasValue = v, true
	case "bs":
		r.baseSum, r.hasSum = v, true
	case "bver":
		r.version = v
	case "v":
		r.value, r.has = v, true
	case "s":
		r.sum, r.hasOwnSum = v, true
	case "t":
		r.time = v
	}
}

// senMLPack resolves the records of a pack one after the other. Neighbours of one
// machine and instant become one reading.
type senMLPack struct {
	m                Message
	out              *Decoded
	first            int
	base, unit       string
	time, value, sum float64
	units            []string // of the values since mark
	said             bool     // one of them says something
	machine          string
	at               float64
	mark             int
	where            Fault
}

func newPack(m Message, out *Decoded) senMLPack {
	return senMLPack{m: m, out: out, first: len(out.Faults), mark: len(out.values)}
}

const (
	senMLVersion  = 10
	relativeBelow = 1 << 28 // seconds; what is smaller is relative to now
	secondsBelow  = 1e11
)

// add takes the next record.
func (p *senMLPack) add(r *senMLRecord) {
	refuse := func(reason, detail string) {
		p.out.refuse(p.first, Fault{Reason: reason, Detail: detail, Path: r.path, Offset: r.offset})
	}
	if r.hasBaseName {
		p.base = r.baseName
	}
	if r.hasTime {
		p.time = r.baseTime
	}
	if r.hasBaseUnit {
		p.unit = r.baseUnit
	}
	if r.hasValue {
		p.value = r.baseValue
	}
	if r.hasSum {
		p.sum = r.baseSum
	}
	machine, signal := p.names(r.name)
	switch {
	case r.fault != nil:
		p.out.refuse(p.first, *r.fault)
		return
	case r.version > senMLVersion:
		refuse(SenMLRecord, fmt.Sprintf("version %v of SenML, %d is known", r.version, senMLVersion))
		return
	case r.isText || r.isData:
		p.addText(r, machine, signal, refuse)
		return
	case !r.has && !r.hasOwnSum && r.name == "" && (r.hasBaseName || r.hasTime || r.hasBaseUnit || r.hasValue || r.hasSum || r.version > 0):
		return // only a base for those that follow
	case !r.has && !r.hasOwnSum:
		refuse(SenMLRecord, "a record without a value")
		return
	}
	p.keep(r, machine, signal, refuse)
}

func (p *senMLPack) addText(r *senMLRecord, machine, signal string, refuse func(reason, detail string)) {
	v, kind := textValue([]byte(r.words))
	switch {
	case r.isData || kind == textAttribute:
		p.out.Attributes++
	case kind == textBadNumber:
		refuse(NumberRange, "the text is not a finite number")
	default:
		p.out.TextNumbers++
		r.value, r.has, r.isBoolean = v, true, true // a base value is for numbers alone
		p.keep(r, machine, signal, refuse)
	}
}

// keep appends the record's value to the reading that it belongs to.
func (p *senMLPack) keep(r *senMLRecord, machine, signal string, refuse func(reason, detail string)) {
	if why := badSignal([]byte(signal)); why != "" {
		refuse(SignalName, why)
		return
	}
	if machine == "" {
		refuse(MachineUnknown, "neither the base name nor the topic names the machine")
		return
	}
	value, sum := r.value, r.sum+p.sum
	if !r.isBoolean {
		value += p.value
	}
	if math.IsInf(value, 0) || math.IsInf(sum, 0) {
		refuse(NumberRange, "value and base value together are beyond the range of a 64-bit number")
		return
	}
	at := p.time + r.time
	if machine != p.machine || at != p.at || len(p.out.values) == p.mark {
		p.flush()
		p.machine, p.at, p.where = machine, at, Fault{Path: r.path, Offset: r.offset}
	}
	if r.has {
		p.out.keepAs([]byte(signal), value)
		p.note(p.unitOf(r))
	}
	if r.hasOwnSum {
		p.out.keepAs([]byte(signal+".sum"), sum)
		p.note("") // the unit's integral over time
	}
}

// unitOf is the unit of a record's value; of a truth value there is none.
func (p *senMLPack) unitOf(r *senMLRecord) string {
	unit := r.unit
	if unit == "" {
		unit = p.unit
	}
	if r.isBoolean || len(unit) > longestUnit {
		return ""
	}
	return unit
}

func (p *senMLPack) note(unit string) {
	p.units = append(p.units, unit)
	p.said = p.said || unit != ""
}

// flush places the values since the last one as a reading.
func (p *senMLPack) flush() {
	if len(p.out.values) == p.mark {
		return
	}
	it := p.m.item(p.out, p.machine)
	it.first = p.first
	switch {
	case p.at == 0:
		// RFC 8428: now. An envelope may know better when that was.
	case math.Abs(p.at) < relativeBelow:
		base := p.m.Received
		if it.timed {
			base = it.at.Time
		}
		it.at.Time, it.timed = base.Add(time.Duration(p.at*1e6)*time.Microsecond), true
	case p.at < 0 || p.at >= secondsBelow:
		p.out.values, p.units, p.said = p.out.values[:p.mark], nil, false
		p.out.refuse(p.first, Fault{Reason: TimeUnit, Detail: "SenML has its times in seconds", Path: p.where.Path, Offset: p.where.Offset})
		return
	default:
		sec, frac := math.Modf(p.at)
		it.at, it.timed = moment{Time: time.Unix(int64(sec), int64(math.Round(frac*1e6))*1000)}, true
	}
	before := len(p.out.Readings)
	p.out.place(&it, p.out.take(p.mark), p.where)
	if p.said && len(p.out.Readings) > before {
		p.out.Readings[before].Units = p.units
	}
	p.mark, p.units, p.said = len(p.out.values), nil, false
}

// names splits base name and name into machine and signal. On fleet/{machine}/senml
// the topic names the machine.
func (p *senMLPack) names(name string) (machine, signal string) {
	base := strings.TrimRight(p.base, ":/._-")
	if topic, _, ok := FleetTopic(p.m.Topic); ok {
		if name == "" {
			name = lastPart(base)
		}
		return topic, strings.Trim(name, ":/")
	}
	switch {
	case name == "":
		machine, signal = cutLast(p.base)
	case base == "":
		machine, signal = cutLast(name)
	default:
		machine, signal = base, strings.Trim(name, ":/")
	}
	if machine = p.out.name([]byte(lastPart(machine))); machine == "" {
		machine = p.m.machine()
	}
	return machine, signal
}

// cutLast cuts a whole name before its last part.
func cutLast(name string) (machine, signal string) {
	if urn, ok := strings.CutPrefix(name, "urn:dev:"); ok { // RFC 9039: the device, then a component
		_, id, _ := strings.Cut(urn, ":")
		if at := strings.IndexAny(id, "_:/"); at >= 0 {
			return id[:at], id[at+1:]
		}
		return id, "value"
	}
	if at := strings.LastIndexAny(name, ":/"); at >= 0 {
		return strings.TrimRight(name[:at], ":/"), name[at+1:]
	}
	return "", name
}

// lastPart is the name behind urn:dev:mac: and the like, or the last level of a path.
func lastPart(name string) string {
	return name[strings.LastIndexAny(name, ":/")+1:]
}
