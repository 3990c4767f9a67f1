package formats

import (
	"bytes"
	"strings"
)

// bareScalar is one value alone on …/{machine}/{signal}: 62.5, true or ON.
type bareScalar struct{}

func (bareScalar) Name() string { return "bare-scalar" }

func (bareScalar) Match(topic string, payload []byte) bool {
	if machine, signal := lastLevels(topic); machine == "" || signal == "" {
		return false
	}
	if _, rest, ok := FleetTopic(topic); ok && (rest == "down" || strings.IndexByte(rest, '/') >= 0) {
		return false // what is sent to devices
	}
	_, kind := textValue(payload)
	return kind != textAttribute
}

func (bareScalar) Decode(m Message, out *Decoded) error {
	machine, signal := lastLevels(m.Topic)
	v, kind := textValue(m.Payload)
	if kind == textBadNumber {
		text := truncate(string(bytes.TrimSpace(m.Payload)), 40)
		return &Fault{Reason: NumberRange, Path: truncate(signal, MaxName), Detail: text + " is not a number that can be kept exactly"}
	}
	if why := badSignal([]byte(signal)); why != "" {
		return &Fault{Reason: SignalName, Detail: why + " in the topic's last level"}
	}
	mark := len(out.values)
	out.keepAs([]byte(signal), v)
	out.settle(m, m.item(out, ""), machine, mark, Fault{})
	return nil
}
