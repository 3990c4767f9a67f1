package formats

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// item is one {"ts":…,"values":{…}} or flat {"signal":value,…} of a message.
// boot and seq are read only where the format has them.
type item struct {
	machine  string
	received time.Time
	counted  bool // the format numbers its messages with boot and seq
	local    bool // a time without a zone is the site's, not a fault
	first    int  // faults that out had before the message

	at     moment
	timed  bool
	given  bool   // at is the envelope's: the item's own goes before it
	late   *Fault // fault of the time: the item is refused, the rest of the message is not
	boot   string
	seq    uint64
	hasSeq bool
	nested bool
	from   int // values of "values"
	to     int
}

// item starts an item of a message; what an envelope says of it holds unless the
// item says otherwise.
func (m Message) item(out *Decoded, machine string) item {
	it := item{machine: machine, received: m.Received, first: len(out.Faults)}
	if e := m.envelope; e != nil && e.timed {
		it.at, it.timed, it.given = e.at, true, true
	}
	return it
}

// readItem reads the object that comes next and appends its reading.
func (d *Decoded) readItem(s *jsonScanner, it item) {
	mark := len(d.values)
	path := s.path()
	start := s.pos
	for o := s.object(); o.next(); {
		if !d.readMember(s, &it, o.key) {
			d.signal = append(d.signal[:0], o.key...)
			d.readValue(s, it.first)
		}
	}
	if s.fault != nil {
		return
	}
	defer d.number(&it, len(d.Readings))
	if it.late != nil {
		d.values = d.values[:mark]
		d.refuse(it.first, *it.late)
		return
	}
	values := d.take(mark)
	if it.nested {
		values = d.values[it.from:it.to:it.to]
	}
	if len(values) == 0 {
		return
	}
	d.place(&it, values, Fault{Path: path, Offset: start})
}

// readMember reads the members that are no signals; false where the key is none of them.
func (d *Decoded) readMember(s *jsonScanner, it *item, key []byte) bool {
	switch string(key) {
	case "ts", "timestamp", "time":
		it.readTime(s)
	case "values":
		if s.peek() != '{' {
			return false
		}
		it.nested, it.from = true, len(d.values)
		for o := s.object(); o.next(); {
			d.signal = append(d.signal[:0], o.key...)
			d.readValue(s, it.first)
		}
		it.to = len(d.values)
	case "boot":
		if !it.counted {
			return false
		}
		d.readBoot(s, it)
	case "seq":
		if !it.counted {
			return false
		}
		d.readSeq(s, it)
	default:
		return false
	}
	return true
}

func (it *item) readTime(s *jsonScanner) {
	start := s.pos
	t, ok, fault := s.timeValue(it.local)
	switch {
	case fault != nil:
		it.late = fault
	case ok && it.timed && !it.given:
		f := s.at(start, TimeFormat, "two times in one item")
		it.late = &f
	case ok:
		it.at, it.timed, it.given = t, true, false
	}
}

func (d *Decoded) readBoot(s *jsonScanner, it *item) {
	start := s.pos
	if s.peek() == '"' {
		if text, ok := s.text(); ok && s.count() && len(text) <= 64 {
			it.boot = d.name(text)
			return
		}
	} else if n := scanNumeral(s.b[s.pos:]); n.size > 0 && n.integer {
		it.boot = d.name(s.b[s.pos : s.pos+n.size])
		s.skip()
		return
	} else {
		s.skip()
	}
	d.refuse(it.first, s.at(start, JSONType, "expected boot as a text of at most 64 bytes or an integer"))
}

func (d *Decoded) readSeq(s *jsonScanner, it *item) {
	c := s.peek()
	start := s.pos
	n := scanNumeral(s.b[start:])
	s.skip()
	if c < '0' || c > '9' || !n.integer || n.cut || n.digits >= 1<<63 {
		d.refuse(it.first, s.at(start, JSONType, "expected seq as an integer from 0"))
		return
	}
	it.seq, it.hasSeq = n.digits, true
}

// place decides the time and appends the reading. A sequence number counts only
// together with the boot that it belongs to.
func (d *Decoded) place(it *item, values []observation.Value, where Fault) {
	r := Reading{Machine: it.machine, At: it.received.UTC(), Flags: observation.NoTime, Values: values}
	if it.timed {
		if fault := r.place(it.at, it.received); fault != nil {
			fault.Path, fault.Offset = where.Path, where.Offset
			d.refuse(it.first, *fault)
			return
		}
	}
	if badName(it.machine) {
		d.refuse(it.first, Fault{Reason: MachineUnknown, Detail: badMachine, Path: where.Path, Offset: where.Offset})
		return
	}
	if it.hasSeq && it.boot != "" {
		r.Boot, r.Seq = it.boot, it.seq
	}
	d.Readings = append(d.Readings, r)
}

// number keeps the number of an item of which nothing else is kept, so that it is
// not looked for as one that was lost on the way.
func (d *Decoded) number(it *item, readings int) {
	if len(d.Readings) == readings && it.hasSeq && it.boot != "" && !badName(it.machine) {
		d.Numbers = append(d.Numbers, Number{Machine: it.machine, Boot: it.boot, Seq: it.seq})
	}
}

// readItems reads one item or an array of them.
func (d *Decoded) readItems(s *jsonScanner, it item) {
	if s.peek() != '[' {
		d.readItem(s, it)
		return
	}
	for a := s.array(); a.next(); {
		d.readItem(s, it)
	}
}

const badMachine = "the machine's name is empty, longer than 200 bytes or has control characters"

// badName says whether a machine's name cannot be one, whoever it belongs to.
func badName(name string) bool {
	if name == "" || len(name) > MaxName {
		return true
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c < ' ' || c == 0x7f:
			return true
		case c >= utf8.RuneSelf: // seldom: the rest is looked at letter by letter
			return !utf8.ValidString(name[i:]) || strings.ContainsFunc(name[i:], unicode.IsControl)
		}
	}
	return false
}
