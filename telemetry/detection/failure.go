package detection

import (
	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/silence"
)

// Failure is that the rules of a machine have failed over a record, and begun anew:
// what they had learnt of the machine is lost, and nothing of other machines.
type Failure struct {
	MachineID uuid.UUID
	Machine   string // key
	LSN       intakelog.LSN
	Fault     formats.Fault
}

// contained does a step. Where the program fails over it, the machine that it is
// about begins anew; the same log gives the same, however often it is read.
func (r *Runner) contained(s step, t *touched) (found []rules.Finding) {
	crash := formats.Contain(func() { found = r.step(s, t) })
	if crash == nil {
		return found
	}
	var id uuid.UUID // of no machine: the end of a connection
	key := ""
	switch {
	case s.obs != nil:
		id, key = s.obs.MachineID, s.obs.Machine
	case s.here != nil:
		id, key = s.here.MachineID, s.here.Machine
	case s.link != nil:
		key = s.link.Via
	}
	w := r.watched[key]
	if w == nil {
		w = &watched{Watched: Watched{ID: id, Key: key}}
	}
	r.fail(w, s.lsn, crash)
	return nil
}

// fail lets what is known of a machine begin anew.
func (r *Runner) fail(w *watched, lsn intakelog.LSN, crash *formats.Fault) {
	w.rules, w.score, w.silence, w.listened = rules.New(w.Key, w.pack), -1, silence.Watch{}, false
	r.failures = append(r.failures, Failure{MachineID: w.ID, Machine: w.Key, LSN: lsn, Fault: *crash})
}
