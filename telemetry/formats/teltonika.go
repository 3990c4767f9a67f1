package formats

import "bytes"

// teltonika is the usual template of Teltonika routers' data to server:
// {"name":"PM62-5","timestamp":1767225600,"data":{"oil_temp":62.5}}. Where data is
// one value, name is the signal, as the router names its Modbus requests, and the
// machine is the topic's; the router writes such values in a text, as "[62.5]".
type teltonika struct{}

func (teltonika) Name() string { return "teltonika" }

func (teltonika) Match(topic string, payload []byte) bool {
	return !ourTopic(topic) && startsJSON(payload) && bytes.Contains(payload, []byte(`"name"`)) &&
		bytes.Contains(payload, []byte(`"timestamp"`)) && bytes.Contains(payload, []byte(`"data"`))
}

func (teltonika) Decode(m Message, out *Decoded) error {
	s := out.scanner.open(m)
	if s.peek() != '[' {
		out.readRequest(s, m)
		return s.end()
	}
	for a := s.array(); a.next(); {
		out.readRequest(s, m)
	}
	return s.end()
}

func (d *Decoded) readRequest(s *jsonScanner, m Message) {
	mark, path, start := len(d.values), s.path(), s.pos
	it, name, machine, single := m.item(d, ""), "", "", true
	it.local = true
	for o := s.object(); o.next(); {
		switch string(o.key) {
		case "timestamp":
			it.readTime(s)
		case "name":
			name = d.entryName(s)
		case "data":
			if single = s.peek() != '{'; single {
				d.readSingle(s, it.first)
				continue
			}
			for o := s.object(); o.next(); {
				d.signal = append(d.signal[:0], o.key...)
				d.readValue(s, it.first)
			}
		case "device", "serial", "serial_number", "imei":
			if name, ok := d.readName(s); ok {
				machine = name
			} else {
				s.skip()
			}
		default:
			s.skip()
		}
	}
	where := Fault{Path: path, Offset: start}
	switch {
	case s.fault != nil || len(d.values) == mark && it.late == nil:
		return
	case !single && machine == "":
		machine = name
	case single && badSignal([]byte(name)) != "":
		d.values = d.values[:mark]
		d.refuse(it.first, Fault{Reason: SignalName, Detail: "name: " + badSignal([]byte(name)), Path: path, Offset: start})
		return
	case single:
		for i := mark; i < len(d.values); i++ {
			d.values[i].Signal = name
		}
	}
	d.settle(m, it, machine, mark, where)
}

// readSingle reads one value: 62.5, "62.5", [62.5] or "[62.5]".
func (d *Decoded) readSingle(s *jsonScanner, first int) {
	d.signal = append(d.signal[:0], "data"...)
	start := s.pos
	switch s.peek() {
	case '[':
		n := 0
		for a := s.array(); a.next(); n++ {
			if n > 0 {
				d.refuse(first, s.at(start, JSONType, "expected one value in data"))
				s.skip()
				continue
			}
			d.readValue(s, first)
		}
	case '"':
		text, ok := s.text()
		if !ok || !s.count() {
			return
		}
		v, kind := textValue(bytes.TrimSuffix(bytes.TrimPrefix(text, []byte{'['}), []byte{']'}))
		if kind == textAttribute || kind == textBadNumber {
			d.refuse(first, s.at(start, NumberRange, "the text in data is not one finite number"))
			return
		}
		d.TextNumbers++
		d.keepAs(d.signal, v)
	default:
		d.readValue(s, first)
	}
}
