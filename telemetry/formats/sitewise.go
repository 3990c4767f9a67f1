package formats

import (
	"bytes"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// siteWise is what AWS IoT SiteWise takes: {"entries":[{"propertyAlias":
// "/pm62-5/oil_temp","propertyValues":[{"value":{"doubleValue":62.5},"timestamp":
// {"timeInSeconds":1700000000,"offsetInNanos":0},"quality":"GOOD"}]}]}, or one such
// entry alone. The last level of the alias is the signal, the one before it the
// machine; without an alias these are propertyId and assetId.
type siteWise struct{}

func (siteWise) Name() string { return "sitewise" }

func (siteWise) Match(topic string, payload []byte) bool {
	return !ourTopic(topic) && firstByte(payload) == '{' && bytes.Contains(payload, []byte(`"propertyValues"`))
}

func (siteWise) Decode(m Message, out *Decoded) error {
	s := out.scanner.open(m)
	out.readEntry(s, m, true)
	return s.end()
}

// entry is one property with its values.
type entry struct {
	alias, asset, property string
	points                 []point
}

// point is one value of a property; its values lie from mark on.
type point struct {
	item
	from, to int
	where    Fault
}

// readEntry reads an entry, or where outer is true the list of them.
func (d *Decoded) readEntry(s *jsonScanner, m Message, outer bool) {
	var e entry
	start := s.pos
	path := s.path()
	for o := s.object(); o.next(); {
		switch key := string(o.key); {
		case key == "entries" && outer:
			for a := s.array(); a.next(); {
				d.readEntry(s, m, false)
			}
		case key == "propertyAlias":
			e.alias = d.entryName(s)
		case key == "assetId":
			e.asset = d.entryName(s)
		case key == "propertyId":
			e.property = d.entryName(s)
		case key == "propertyValues":
			for a := s.array(); a.next(); {
				d.readPoint(s, m, &e)
			}
		default:
			s.skip()
		}
	}
	if s.fault == nil {
		d.settleEntry(m, &e, Fault{Path: path, Offset: start})
	}
}

func (d *Decoded) entryName(s *jsonScanner) string {
	text, ok := s.text()
	if !ok || !s.count() {
		return ""
	}
	return d.name(text)
}

func (d *Decoded) readPoint(s *jsonScanner, m Message, e *entry) {
	p := point{item: m.item(d, ""), from: len(d.values), where: Fault{Path: s.path(), Offset: s.pos}}
	quality := observation.Good
	for o := s.object(); o.next(); {
		switch string(o.key) {
		case "value":
			for o := s.object(); o.next(); {
				d.signal = append(d.signal[:0], o.key...)
				d.readValue(s, p.first)
			}
		case "timestamp":
			p.readSplitTime(s)
		case "quality":
			if text, ok := s.text(); ok && s.count() && string(text) != "GOOD" {
				quality = observation.Stale
			}
		default:
			s.skip()
		}
	}
	p.to = len(d.values)
	for i := p.from; i < p.to; i++ {
		d.values[i].Quality = quality
	}
	e.points = append(e.points, p)
}

// readSplitTime reads {"timeInSeconds":…,"offsetInNanos":…}.
func (it *item) readSplitTime(s *jsonScanner) {
	start, good := s.pos, false
	var sec, ns uint64
	for o := s.object(); o.next(); {
		s.peek()
		n := scanNumeral(s.b[s.pos:])
		whole := n.size > 0 && n.integer && !n.negative && n.digits < 1e12
		switch string(o.key) {
		case "timeInSeconds":
			sec, good = n.digits, whole
		case "offsetInNanos":
			if ns = n.digits; !whole || ns >= 1e9 {
				good = false
			}
		}
		s.skip()
	}
	if !good && s.fault == nil {
		f := s.at(start, TimeFormat, "expected timeInSeconds and offsetInNanos as integers")
		it.late = &f
		return
	}
	it.at, it.timed = moment{Time: time.Unix(int64(sec), int64(ns))}, true //nolint:gosec // bounded above
}

// settleEntry places the points of an entry, whose name may have come last.
func (d *Decoded) settleEntry(m Message, e *entry, where Fault) {
	if len(e.points) == 0 {
		return
	}
	machine, signal := e.asset, e.property
	if e.alias != "" {
		alias := strings.Trim(e.alias, "/")
		machine, signal = lastLevels(alias)
		if signal == "" {
			signal = alias
		}
	}
	if machine == "" {
		machine = m.machine()
	}
	first := e.points[0].first
	if why := badSignal([]byte(signal)); why != "" {
		d.refuse(first, Fault{Reason: SignalName, Detail: why + " in propertyAlias or propertyId", Path: where.Path, Offset: where.Offset})
		return
	}
	if machine == "" {
		d.refuse(first, Fault{Reason: MachineUnknown, Detail: "neither propertyAlias nor assetId names the machine", Path: where.Path, Offset: where.Offset})
		return
	}
	for _, p := range e.points {
		for i := p.from; i < p.to; i++ {
			d.values[i].Signal = signal
		}
		d.settleSpan(p.item, machine, p.from, p.to, p.where)
	}
}
