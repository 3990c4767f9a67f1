package formats

import (
	"bytes"
	"strings"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// neuron is what EMQX Neuron publishes of a driver's group, in both of its forms:
// {"timestamp":ms,"node":"modbus","group":"grp","values":{"tag0":123},"errors":{"tag1":2014}}
// and {…,"tags":[{"name":"tag0","value":123},{"name":"tag1","error":2014}]}. The
// node is the machine; a tag that Neuron could not read is no value.
type neuron struct{}

func (neuron) Name() string { return "neuron" }

func (neuron) Match(topic string, payload []byte) bool {
	if strings.HasPrefix(topic, "/neuron/") || strings.HasPrefix(topic, "neuron/") {
		return true
	}
	return !ourTopic(topic) && firstByte(payload) == '{' && bytes.Contains(payload, []byte(`"node"`)) &&
		bytes.Contains(payload, []byte(`"group"`)) && (bytes.Contains(payload, []byte(`"values"`)) || bytes.Contains(payload, []byte(`"tags"`)))
}

func (neuron) Decode(m Message, out *Decoded) error {
	s := out.scanner.open(m)
	mark, start, before := len(out.values), s.pos, len(out.Readings)
	it, node := m.item(out, ""), ""
	units := map[string]string{}
	for o := s.object(); o.next(); {
		switch string(o.key) {
		case "timestamp":
			it.readTime(s)
		case "node", "node_name":
			if text, ok := s.text(); ok && s.count() {
				node = out.name(text)
			}
		case "values":
			for o := s.object(); o.next(); {
				out.signal = append(out.signal[:0], o.key...)
				out.readValue(s, it.first)
			}
		case "errors":
			for o := s.object(); o.next(); {
				out.Unread++
				s.skip()
			}
		case "tags":
			for a := s.array(); a.next(); {
				out.readTag(s, it.first, units)
			}
		default: // group, metas and what a version adds
			s.skip()
		}
	}
	if err := s.end(); err != nil {
		return err
	}
	if node == "" {
		node = neuronDriver(m.Topic)
	}
	out.settle(m, it, node, mark, Fault{Offset: start})
	out.giveUnits(before, func(signal string) string { return units[signal] })
	return nil
}

// neuronDriver is the driver of /neuron/{app}/{driver}/{group}.
func neuronDriver(topic string) string {
	levels := strings.Split(strings.TrimPrefix(topic, "/"), "/")
	if len(levels) == 4 && levels[0] == "neuron" {
		return levels[2]
	}
	return ""
}

// readTag reads {"name":…,"value":…} or {"name":…,"error":…}, with a unit where the
// tag has one; the name may come last.
func (d *Decoded) readTag(s *jsonScanner, first int, units map[string]string) {
	mark, start := len(d.values), s.pos
	var name []byte
	unit := ""
	for o := s.object(); o.next(); {
		switch string(o.key) {
		case "name":
			name, _ = s.text()
			s.count()
		case "value":
			d.signal = append(d.signal[:0], "value"...)
			d.readValue(s, first)
		case "unit":
			if s.peek() == '"' {
				name = bytes.Clone(name) // the next text may stand where an escaped one stood
				text, _ := s.text()
				unit = d.unitIn(text)
				s.count()
			} else {
				s.skip()
			}
		case "error":
			if s.peek() != '0' {
				d.Unread++
			}
			s.skip()
		default: // type, metas and what a version adds
			s.skip()
		}
	}
	if s.fault != nil || len(d.values) == mark {
		return
	}
	if why := badSignal(name); why != "" {
		d.values = d.values[:mark]
		d.refuse(first, s.at(start, SignalName, why))
		return
	}
	d.rename(mark, name)
	if unit != "" {
		units[d.values[mark].Signal] = unit
	}
}

// rename puts a name in the place of "value", with which the signals since mark begin.
func (d *Decoded) rename(mark int, name []byte) {
	for i := mark; i < len(d.values); i++ {
		v := &d.values[i]
		d.signal = append(append(d.signal[:0], name...), strings.TrimPrefix(v.Signal, "value")...)
		*v = observation.Value{Signal: d.name(d.signal), Value: v.Value, Quality: v.Quality}
	}
}
