package telemetry

import (
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/silence"
)

// link reads how a connection ended. Names that nobody has entered say nothing.
func (d *decoding) link(r *intakelog.Record) {
	end, err := intakelog.ReadLinkEnd(r.Payload)
	if err != nil {
		d.stage.log.Error("a link record makes no sense", "lsn", r.LSN, "error", err)
		return
	}
	l := LocatedLink{LSN: r.LSN, Via: r.Device, Leave: silence.Broke}
	if end.Goodbye {
		l.Leave = silence.TookLeave
	}
	for _, name := range end.Machines {
		if m := d.stage.fleet.called("", name); m != nil {
			l.Machines = append(l.Machines, m.Key)
		}
	}
	d.Links = append(d.Links, l)
}

// near is what a machine shares with others when it speaks in a record.
func (p *decodedRecord) near(r *intakelog.Record, m *knownMachine) Near {
	n := Near{Site: m.Site, Via: r.Device}
	switch {
	case p.via != nil:
		n.Via = r.Source
	case p.node != "":
		n.Via = p.node
	}
	return n
}

// leaveOf says how a machine went that is said to be gone. Whoever is read on the
// embedded broker and is no last will has said it himself; elsewhere nobody knows.
func leaveOf(r *intakelog.Record, via *forwarded, p *formats.Presence) silence.Leave {
	source := r.Source
	if via != nil {
		source = via.source
	}
	switch {
	case p.Online:
		return silence.NoLeave
	case r.Will:
		return silence.Broke
	case p.Told, source == "embedded", source == "http":
		return silence.TookLeave
	}
	return silence.Gone
}
