package formats

import "strings"

// tasmota is the firmware of that name: tele/{topic}/SENSOR and /STATE are nested
// by sensor, {"Time":"2026-03-01T07:55:00","ENERGY":{"Power":1200}}, and /LWT says
// Online or Offline. Its Time has no zone: the machine's site gives it one.
type tasmota struct{}

func (tasmota) Name() string { return "tasmota" }

func (tasmota) Match(topic string, _ []byte) bool {
	_, _, ok := tasmotaTopic(topic)
	return ok
}

// tasmotaTopic takes the machine and what is told out of tele/{machine}/{what}.
// The machine's own topic may have several levels; its last is its name.
func tasmotaTopic(topic string) (machine, what string, ok bool) {
	rest, ok := strings.CutPrefix(topic, "tele/")
	if !ok {
		return "", "", false
	}
	at := strings.LastIndexByte(rest, '/')
	if at <= 0 {
		return "", "", false
	}
	machine, what = rest[:at], rest[at+1:]
	return machine[strings.LastIndexByte(machine, '/')+1:], what, true
}

func (tasmota) Decode(m Message, out *Decoded) error {
	machine, what, _ := tasmotaTopic(m.Topic)
	if what == "LWT" {
		return out.readPresence(m, machine)
	}
	s := out.scanner.open(m)
	mark, start, before := len(out.values), s.pos, len(out.Readings)
	it := m.item(out, "")
	it.local, out.lists = true, true
	var units tasmotaUnits
	for o := s.object(); o.next(); {
		if string(o.key) == "Time" {
			it.readTime(s)
			continue
		}
		if unit := units.named(string(o.key)); unit != nil && s.peek() == '"' {
			text, _ := s.text()
			*unit = out.unitIn(text)
			if s.count() {
				out.Attributes++
			}
			continue
		}
		out.signal = append(out.signal[:0], o.key...)
		out.readValue(s, it.first)
	}
	out.lists = false
	if err := s.end(); err != nil {
		return err
	}
	out.settle(m, it, machine, mark, Fault{Offset: start})
	out.giveUnits(before, units.of)
	return nil
}

// tasmotaUnits are the units that a device has for all its sensors.
type tasmotaUnits struct{ temperature, pressure, speed string }

func (u *tasmotaUnits) named(key string) *string {
	switch key {
	case "TempUnit":
		return &u.temperature
	case "PressureUnit":
		return &u.pressure
	case "SpeedUnit":
		return &u.speed
	}
	return nil
}

// of is the unit of a signal such as BME280.Temperature.
func (u *tasmotaUnits) of(signal string) string {
	switch _, what := cutLast(strings.ReplaceAll(signal, ".", "/")); what {
	case "Temperature", "DewPoint":
		return u.temperature
	case "Pressure", "SeaPressure":
		return u.pressure
	case "Speed":
		return u.speed
	}
	return ""
}
