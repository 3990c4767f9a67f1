package formats

import (
	"bytes"
	"strings"
)

// presenceWord is a bare online or offline on …/{machine}/status and its like,
// usually a last will.
type presenceWord struct{}

func (presenceWord) Name() string { return "presence" }

func (presenceWord) Match(topic string, payload []byte) bool {
	machine, what := lastLevels(topic)
	if machine == "" || ourTopic(topic) || len(payload) > 16 {
		return false
	}
	switch strings.ToLower(what) {
	case "status", "state", "availability", "lwt", "will", "connection", "connected", "presence":
		_, ok := presenceOf(payload)
		return ok
	}
	return false
}

func (presenceWord) Decode(m Message, out *Decoded) error {
	machine, _ := lastLevels(m.Topic)
	return out.readPresence(m, machine)
}

// lastLevels are the last two levels of a topic; "" where it has not that many.
func lastLevels(topic string) (machine, what string) {
	before, what := cutLevel(topic)
	_, machine = cutLevel(before)
	if machine == "" {
		return "", ""
	}
	return machine, what
}

// presenceOf reads online or offline in any case.
func presenceOf(word []byte) (online, ok bool) {
	switch string(bytes.ToLower(bytes.TrimSpace(word))) {
	case "online", "connected":
		return true, true
	case "offline", "disconnected":
		return false, true
	}
	return false, false
}

// readPresence reads online or offline, as text or as {"state":"online"}.
func (d *Decoded) readPresence(m Message, machine string) error {
	word, at := m.Payload, 0
	if firstByte(word) == '{' {
		s := d.scanner.open(m)
		word = nil
		for o := s.object(); o.next(); {
			if string(o.key) != "state" {
				s.skip()
				continue
			}
			s.peek()
			at = s.pos
			word, _ = s.text()
		}
		if err := s.end(); err != nil {
			return err
		}
	}
	online, ok := presenceOf(word)
	if !ok {
		return &Fault{Reason: JSONType, Path: "state", Detail: `expected "online" or "offline"`, Offset: at}
	}
	return d.notePresence(m, machine, online)
}

func (d *Decoded) notePresence(m Message, machine string, online bool) error {
	if badName(machine) {
		return &Fault{Reason: MachineUnknown, Detail: badMachine}
	}
	d.Presences = append(d.Presences, Presence{Machine: machine, Online: online, At: m.Received.UTC()})
	return nil
}
