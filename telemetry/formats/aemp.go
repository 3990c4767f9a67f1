package formats

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/aemp"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// fleetDocument is a document of ISO/TS 15143-3 on aemp/{source}: many machines. A
// series whose document does not name its machine comes on aemp/{source}/{machine}.
type fleetDocument struct{}

func (fleetDocument) Name() string { return "aemp" }

func (fleetDocument) Match(topic string, _ []byte) bool { return strings.HasPrefix(topic, "aemp/") }

// faded is how often a maker says a code that is still there: what it has not said
// for three times that, while the machine went on, has cleared.
const faded = 8 * time.Hour

func (fleetDocument) Decode(m Message, out *Decoded) error {
	fleet, err := aemp.Read(m.Payload)
	if err != nil {
		reason := BadFleet
		if errors.Is(err, aemp.ErrTooLarge) || errors.Is(err, aemp.ErrDepth) {
			reason = TooManyValues
		}
		return &Fault{Reason: reason, Detail: "the document " + err.Error()}
	}
	first := len(out.Faults)
	for _, f := range fleet.Faults {
		out.refuse(first, Fault{Reason: BadFleet, Path: f.Path, Detail: f.Detail})
	}
	out.more += fleet.More
	r := fleetReader{out: out, first: first, received: m.Received, at: m.Received, named: machineOf(m.Topic)}
	if !fleet.SnapshotTime.IsZero() {
		r.at, r.timed = fleet.SnapshotTime, true
	}
	for i := range fleet.Equipment {
		r.machine(&fleet.Equipment[i])
	}
	return nil
}

// machineOf is the third part of the topic, with what a topic cannot hold written
// as in a URL.
func machineOf(topic string) string {
	parts := strings.SplitN(topic, "/", 3)
	if len(parts) < 3 {
		return ""
	}
	name, err := url.PathUnescape(parts[2])
	if err != nil {
		return parts[2]
	}
	return name
}

type fleetReader struct {
	out      *Decoded
	first    int
	received time.Time
	at       time.Time // of what has no time of its own
	timed    bool
	named    string
	codes    int
}

// FleetName is the name under which a machine of a fleet document is known: its
// serial number, else its PIN, else the maker's id.
func FleetName(h aemp.Header) string {
	for _, name := range []string{h.SerialNumber, h.PIN, h.EquipmentID} {
		if name != "" {
			return name
		}
	}
	return ""
}

func (r *fleetReader) machine(e *aemp.Equipment) {
	name := FleetName(e.Header)
	if name == "" {
		name = r.named
	}
	if badName(name) {
		if len(e.Values)+len(e.Codes) > 0 {
			r.out.refuse(r.first, Fault{Reason: MachineUnknown, Detail: "a machine has no serial number, PIN or id"})
		}
		return
	}
	r.values(name, e.Values)
	r.trouble(name, e.Codes)
}

// values makes one reading for each instant, in the order of the document. What
// is older than a reading may be was said long ago, and is said again each time.
func (r *fleetReader) values(name string, list []aemp.Value) {
	done := make([]bool, len(list))
	for i := range list {
		if done[i] {
			continue
		}
		mark := len(r.out.values)
		for k := i; k < len(list); k++ {
			if !done[k] && list[k].At.Equal(list[i].At) {
				done[k] = true
				r.out.values = append(r.out.values, observation.Value{Signal: list[k].Signal, Value: list[k].Value})
			}
		}
		at, flags, ok := r.place(list[i].At)
		if !ok {
			r.out.values = r.out.values[:mark]
			r.out.Attributes++
			continue
		}
		r.out.Readings = append(r.out.Readings, Reading{Machine: name, At: at, Flags: flags, Values: r.out.take(mark)})
	}
}

func (r *fleetReader) place(said time.Time) (at time.Time, flags observation.Flag, ok bool) {
	timed := r.timed
	if !said.IsZero() {
		timed = true
	} else {
		said = r.at
	}
	at, flags, fault := placeTime(said, r.received)
	if !timed {
		flags |= observation.NoTime
	}
	return at, flags, fault == nil
}

// trouble is one report a machine: a code that a snapshot lists is there now,
// though it began earlier; in a series each line is of its own time.
func (r *fleetReader) trouble(name string, list []aemp.Code) {
	own := len(r.out.Troubles)
	for _, c := range list {
		at, _, ok := r.place(c.At)
		if !ok {
			r.out.Attributes++
			continue
		}
		if r.codes++; r.codes > maxCodes {
			r.out.refuse(r.first, Fault{Reason: TooManyValues, Detail: "too many trouble codes in one document"})
			return
		}
		code := TroubleCode{Code: truncate(c.Identifier, 100), SPN: -1, FMI: -1, Count: -1, Active: true, Since: at, Severity: makerSeverity(c.Severity), Text: c.Description, TextZH: c.Description}
		if now, _, fine := r.place(time.Time{}); fine && r.timed {
			at = later(at, now)
		}
		if n := len(r.out.Troubles); n > own && r.out.Troubles[n-1].At.Equal(at) {
			r.out.Troubles[n-1].Codes = append(r.out.Troubles[n-1].Codes, code)
			continue
		}
		r.out.Troubles = append(r.out.Troubles, Trouble{Machine: name, At: at, Protocol: ProtocolMaker, Source: -1, Period: faded, Codes: []TroubleCode{code}})
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
