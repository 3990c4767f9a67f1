package formats

import (
	"strings"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// wisePaaS is Advantech's WISE-PaaS and EdgeLink: /wisepaas/scada/{id}/data with
// {"d":{"PM62-5":{"oil_temp":62.5}},"ts":"2026-03-01T07:55:00Z"}. What its
// connection says (Con, Dsc, UeD, Hbt) and its configuration are no values.
type wisePaaS struct{}

func (wisePaaS) Name() string { return "wise-paas" }

func (wisePaaS) Match(topic string, _ []byte) bool {
	return strings.HasPrefix(topic, "/wisepaas/") || strings.HasPrefix(topic, "wisepaas/")
}

func (wisePaaS) Decode(m Message, out *Decoded) error {
	s := out.scanner.open(m)
	if !strings.HasSuffix(m.Topic, "/data") {
		out.Attributes++
		s.skip()
		return s.end()
	}
	it := m.item(out, "")
	it.local = true
	readings := len(out.Readings)
	marks, start := out.readDevices(s, &it)
	if err := s.end(); err != nil {
		out.Readings = out.Readings[:readings]
		return err
	}
	for i, device := range marks {
		to := len(out.values)
		if i+1 < len(marks) {
			to = marks[i+1].from
		}
		out.settleSpan(it, device.name, device.from, to, Fault{Path: "d." + device.name, Offset: start})
	}
	return nil
}

// span is where the values of one device begin among all that were read.
type span struct {
	name string
	from int
}

// readDevices reads the devices of "d" and the time, whichever comes first.
func (d *Decoded) readDevices(s *jsonScanner, it *item) (devices []span, start int) {
	s.peek()
	start = s.pos
	for o := s.object(); o.next(); {
		switch string(o.key) {
		case "ts":
			it.readTime(s)
		case "d":
			for o := s.object(); o.next(); {
				devices = append(devices, span{d.name(o.key), len(d.values)})
				for o := s.object(); o.next(); {
					d.signal = append(d.signal[:0], o.key...)
					d.readValue(s, it.first)
				}
			}
		default:
			s.skip()
		}
	}
	return devices, start
}

// settleSpan places the values of one of several devices under one time.
func (d *Decoded) settleSpan(it item, machine string, from, to int, where Fault) {
	switch {
	case from == to:
	case it.late != nil:
		d.refuse(it.first, *it.late)
	default:
		it.machine = machine
		d.place(&it, d.values[from:to:to], where)
	}
}

// wise4000 is Advantech's WISE-4000 series: Advantech/{mac}/data with
// {"s":1,"t":"2026-03-01T07:55:00Z","q":192,"c":1,"ai1":12.5,"di1":true}, where q
// is the OPC quality (192 is good), and Device_Status for the connection.
type wise4000 struct{}

func (wise4000) Name() string { return "wise-4000" }

func (wise4000) Match(topic string, _ []byte) bool {
	_, _, ok := wiseTopic(topic)
	return ok
}

// wiseTopic takes the device and what is told out of Advantech/{mac}/{what}.
func wiseTopic(topic string) (mac, what string, ok bool) {
	rest, ok := strings.CutPrefix(topic, "Advantech/")
	if !ok {
		return "", "", false
	}
	mac, what, ok = strings.Cut(rest, "/")
	return mac, what, ok && mac != ""
}

func (wise4000) Decode(m Message, out *Decoded) error {
	mac, what, _ := wiseTopic(m.Topic)
	switch {
	case what == "data":
		return out.readWise(m, mac)
	case what == "Device_Status":
		return out.readWiseStatus(m, mac)
	case strings.HasPrefix(what, "ctl/"): // sent to the device
		out.Attributes++
		return nil
	}
	return &Fault{Reason: FormatUnknown, Detail: "expected data or Device_Status after Advantech/{mac}/"}
}

const opcGood = 192 // and what is above it

func (d *Decoded) readWise(m Message, mac string) error {
	s := d.scanner.open(m)
	mark, start := len(d.values), s.pos
	it := m.item(d, "")
	it.local = true
	quality := observation.Good
	for o := s.object(); o.next(); {
		switch string(o.key) {
		case "t":
			it.readTime(s)
		case "q":
			s.peek()
			if n := scanNumeral(s.b[s.pos:]); n.size > 0 && (n.negative || !n.integer || n.digits < opcGood) {
				quality = observation.Stale
			}
			s.skip()
		case "s", "c": // sequence and channel mask
			s.skip()
		default:
			d.signal = append(d.signal[:0], o.key...)
			d.readValue(s, it.first)
		}
	}
	if err := s.end(); err != nil {
		return err
	}
	for i := mark; i < len(d.values); i++ {
		d.values[i].Quality = quality
	}
	d.settle(m, it, mac, mark, Fault{Offset: start})
	return nil
}

func (d *Decoded) readWiseStatus(m Message, mac string) error {
	s := d.scanner.open(m)
	word, at := "", 0
	for o := s.object(); o.next(); {
		if string(o.key) != "status" {
			s.skip()
			continue
		}
		s.peek()
		at = s.pos
		if text, ok := s.text(); ok {
			word = d.name(text)
		}
	}
	if err := s.end(); err != nil {
		return err
	}
	switch word {
	case "connect", "online":
		return d.notePresence(m, mac, true)
	case "disconnect", "offline":
		return d.notePresence(m, mac, false)
	}
	return &Fault{Reason: JSONType, Path: "status", Detail: `expected "connect" or "disconnect"`, Offset: at}
}
