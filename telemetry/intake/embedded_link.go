package intake

import (
	"slices"

	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

const (
	tellingMessages = 3 // of a connection, before its end says anything: many devices connect for each message
	maxLinkNames    = 8 // machines that are named of one connection; a gateway's are known by its key
)

// said is what a connection has carried.
type said struct {
	messages int
	topic    string // of the last one
	machines []string
	device   string
}

func (s *said) note(r *intakelog.Record) {
	if r.Kind != intakelog.Message {
		return
	}
	s.messages++
	if r.Topic == s.topic {
		return
	}
	s.topic, s.device = r.Topic, r.Device
	machine, _, ok := formats.FleetTopic(r.Topic)
	if ok && len(s.machines) < maxLinkNames && !slices.Contains(s.machines, machine) {
		s.machines = append(s.machines, machine)
	}
}

// noteEnd writes into the log how a client went, so that one can tell later whether
// its machine was switched off or lost its network. Nobody waits for it.
func (e *Embedded) noteEnd(c *connection, s *session, goodbye bool) {
	if c.said.messages < tellingMessages || c.ours.Load() || e.stopping.Load() {
		return
	}
	end := intakelog.LinkEnd{Goodbye: goodbye, Machines: c.said.machines}
	r := intakelog.Record{Kind: intakelog.Link, Source: "embedded", Received: e.Now(), Device: c.said.device, Payload: end.Payload()}
	if s.device != "" {
		r.Device = s.device
	}
	if err := e.Log.Append(r, nil); err != nil {
		e.warn("the intake log does not take how a connection ended", "error", err)
	}
}
