package formats

import "strings"

// thingsBoardGateway is the ThingsBoard gateway API: many devices behind one
// connection, {"Device A":[{"ts":1483228800000,"values":{"temperature":42}}]}.
type thingsBoardGateway struct{}

func (thingsBoardGateway) Name() string { return "thingsboard-gateway" }

func (thingsBoardGateway) Match(topic string, _ []byte) bool {
	return strings.HasPrefix(topic, "v1/gateway/")
}

func (thingsBoardGateway) Decode(m Message, out *Decoded) error {
	s := out.scanner.open(m)
	switch m.Topic {
	case "v1/gateway/telemetry":
		first := len(out.Faults)
		for o := s.object(); o.next(); {
			out.readItems(s, item{machine: out.name(o.key), received: m.Received, first: first})
		}
	case "v1/gateway/attributes":
		for o := s.object(); o.next(); {
			out.Attributes++
			s.skip()
		}
	case "v1/gateway/connect", "v1/gateway/disconnect":
		return out.readGatewayPresence(s, m)
	default:
		return &Fault{Reason: FormatUnknown, Detail: "expected telemetry, attributes, connect or disconnect after v1/gateway/"}
	}
	return s.end()
}

func (d *Decoded) readGatewayPresence(s *jsonScanner, m Message) error {
	machine := ""
	for o := s.object(); o.next(); {
		if string(o.key) != "device" {
			s.skip()
			continue
		}
		if text, ok := s.text(); ok {
			machine = d.name(text)
		}
	}
	if err := s.end(); err != nil {
		return err
	}
	if badName(machine) {
		return &Fault{Reason: JSONType, Path: "device", Detail: "expected the device's name of at most 200 bytes"}
	}
	d.Presences = append(d.Presences, Presence{Machine: machine, Online: m.Topic == "v1/gateway/connect", At: m.Received.UTC(), Told: true})
	return nil
}

// DeviceTopics begin the topics of ThingsBoard's device API.
const DeviceTopics = "v1/devices/me/"

// thingsBoardDevice is the ThingsBoard device API, whose topics do not name the
// device: it is the one that signed in.
type thingsBoardDevice struct{}

func (thingsBoardDevice) Name() string { return "thingsboard-device" }

func (thingsBoardDevice) Match(topic string, _ []byte) bool {
	return strings.HasPrefix(topic, DeviceTopics) || topic == "v2/t" || topic == "v2/a"
}

func (thingsBoardDevice) Decode(m Message, out *Decoded) error {
	if m.Device == "" {
		return &Fault{Reason: DeviceUnknown, Detail: "this topic does not name the machine and the connection is anonymous"}
	}
	s := out.scanner.open(m)
	switch m.Topic {
	case DeviceTopics + "telemetry", "v2/t":
		out.readItems(s, item{machine: m.Device, received: m.Received, first: len(out.Faults)})
	case DeviceTopics + "attributes", "v2/a":
		for o := s.object(); o.next(); {
			out.Attributes++
			s.skip()
		}
	default:
		return &Fault{Reason: FormatUnknown, Detail: "expected telemetry or attributes after v1/devices/me/"}
	}
	return s.end()
}

// NamesNoMachine says whether a topic leaves it to the connection to say which
// machine it is about.
func NamesNoMachine(topic string) bool {
	return strings.HasPrefix(topic, DeviceTopics) || strings.HasPrefix(topic, "v2/")
}
