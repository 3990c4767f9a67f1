package formats

// ownJSON is the product's own profile on fleet/{machine}/telemetry:
// {"ts":1767225600000,"boot":"a1","seq":7,"values":{"oil_temp":62.5}}, an array
// of these, or the flat {"oil_temp":62.5} with or without ts.
type ownJSON struct{}

func (ownJSON) Name() string { return "own-json" }

// Match leaves lines of line protocol, which may come here too, to their decoder.
func (ownJSON) Match(topic string, payload []byte) bool {
	_, rest, ok := FleetTopic(topic)
	return ok && rest == "telemetry" && !(lineProtocol{}).Match(topic, payload)
}

func (ownJSON) Decode(m Message, out *Decoded) error {
	machine, _, _ := FleetTopic(m.Topic)
	s := out.scanner.open(m)
	out.readItems(s, item{machine: machine, received: m.Received, counted: true, first: len(out.Faults)})
	return s.end()
}

// ownStatus is a device's own word on fleet/{machine}/status, usually its last
// will: online or offline, as text or as {"state":"online"}.
type ownStatus struct{}

func (ownStatus) Name() string { return "own-status" }

func (ownStatus) Match(topic string, _ []byte) bool {
	_, rest, ok := FleetTopic(topic)
	return ok && rest == "status"
}

func (ownStatus) Decode(m Message, out *Decoded) error {
	machine, _, _ := FleetTopic(m.Topic)
	return out.readPresence(m, machine)
}
