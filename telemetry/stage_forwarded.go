package telemetry

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/telemetry/edge"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// clockSlack is how far an edge's clock may be ahead of ours; beyond it the time of
// arrival counts, as it does for devices.
const clockSlack = 2 * time.Minute

// Origin names a record in the log of the edge that has forwarded it.
type Origin struct {
	Edge string
	Log  uuid.UUID
	LSN  uint64
}

// forwarded is what a record was before it was taken out of its envelope.
type forwarded struct {
	origin  Origin
	gateway string    // the device that had signed in here, "" for nobody
	arrived time.Time // here
	device  string    // who had signed in at the edge
	any     bool      // and may speak for any machine
	names   []string  // else for these
	size    int       // of the whole payload
	source  string    // where the edge heard it
	fault   *formats.Fault
}

// unwrap makes the record of an edge's log out of one that an edge has forwarded:
// what follows reads it as if the device had spoken to us. nil for all others.
func unwrap(r *intakelog.Record) *forwarded {
	id, ok := edge.FromTopic(r.Topic)
	if r.Kind != intakelog.Message || !ok || !edge.IsEnvelope(r.Payload) {
		return nil
	}
	f := &forwarded{gateway: r.Device, arrived: r.Received}
	e, err := edge.Open(r.Payload)
	if err != nil {
		f.fault = &formats.Fault{Reason: formats.RecordMalformed, Detail: err.Error()}
		return f
	}
	if _, nested := edge.FromTopic(e.Topic); nested && edge.IsEnvelope(e.Payload) {
		f.fault = &formats.Fault{Reason: formats.RecordMalformed, Detail: "an edge behind an edge"}
		return f
	}
	f.origin = Origin{Edge: id, Log: e.Log, LSN: e.LSN}
	f.device, f.any, f.names, f.size, f.source = e.Device, e.Any || e.Device == "", e.Names, e.Size, e.Source
	r.Topic, r.Payload, r.Device, r.Dup, r.Retained, r.Will = e.Topic, e.Payload, e.Device, e.Dup, e.Retained, e.Will
	if !r.Replayed() { // a replay keeps the time that its letter has, and its name
		r.Source = "edge:" + id
		if e.Received.Before(r.Received.Add(clockSlack)) {
			r.Received = e.Received
		}
	}
	if e.Size > len(e.Payload) {
		f.fault = &formats.Fault{Reason: formats.TooLarge, Detail: "the edge has sent the start of it"}
	}
	return f
}

// covers says whether the edge has let the device speak for a machine.
func (f *forwarded) covers(name string, m *knownMachine) bool {
	return f.any || f.device == name || slices.Contains(f.names, name) || m != nil && slices.Contains(f.names, m.Key)
}

// maySpeak says whether the sender of a record may speak for the machine of a name:
// what an edge forwards is as good as the edge's own word here, and as the device's there.
func (d *decoding) maySpeak(r *intakelog.Record, p *decodedRecord, name string, m *knownMachine) bool {
	if p.via == nil {
		return d.stage.fleet.maySpeak(r.Device, name, m)
	}
	return p.via.covers(name, m) && d.stage.fleet.maySpeak(p.via.gateway, name, m)
}

// vouched is whom a message that is kept for later names as its sender. An edge's
// devices are mostly unknown here: where the name does not hang on the device, the
// edge has answered for it already.
func (p *decodedRecord) vouched(r *intakelog.Record, name string) string {
	if p.via != nil && name != r.Device {
		return ""
	}
	return r.Device
}

// accused is whom a dead letter names: with a device that may speak for some
// machines only, a replay has to ask again.
func (p *decodedRecord) accused(r *intakelog.Record) string {
	if p.via != nil && p.via.any && !formats.NamesNoMachine(r.Topic) {
		return ""
	}
	return r.Device
}

// who is the one to blame for a word too many.
func (p *decodedRecord) who(r *intakelog.Record) string {
	if p.via != nil && r.Device == "" {
		return p.via.gateway
	}
	return r.Device
}
