package formats

import "strings"

// zigbee2MQTT is the bridge of that name: zigbee2mqtt/{name} is a flat object of
// what a device said, …/availability whether it can be reached. What the bridge
// says of itself and what is sent to devices is left alone.
type zigbee2MQTT struct{}

func (zigbee2MQTT) Name() string { return "zigbee2mqtt" }

func (zigbee2MQTT) Match(topic string, _ []byte) bool {
	rest, ok := strings.CutPrefix(topic, "zigbee2mqtt/")
	return ok && rest != ""
}

func (zigbee2MQTT) Decode(m Message, out *Decoded) error {
	machine := strings.TrimPrefix(m.Topic, "zigbee2mqtt/")
	if machine == "bridge" || strings.HasPrefix(machine, "bridge/") {
		out.Attributes++
		return nil
	}
	if name, ok := strings.CutSuffix(machine, "/availability"); ok {
		return out.readPresence(m, name)
	}
	for _, command := range []string{"/set", "/get"} {
		if strings.HasSuffix(machine, command) || strings.Contains(machine, command+"/") {
			out.Attributes++
			return nil
		}
	}
	s := out.scanner.open(m)
	mark, start := len(out.values), s.pos
	it := m.item(out, "")
	it.local = true
	for o := s.object(); o.next(); {
		if string(o.key) == "last_seen" {
			it.readTime(s)
			continue
		}
		out.signal = append(out.signal[:0], o.key...)
		out.readValue(s, it.first)
	}
	if err := s.end(); err != nil {
		return err
	}
	out.settle(m, it, machine, mark, Fault{Offset: start})
	return nil
}
