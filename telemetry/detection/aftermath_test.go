package detection

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// A sender's word that a machine is gone counts though the machine's clock is
// ahead of ours, and so does what the machine says when it is back though its
// clock is behind; what it measured earlier is no sign of life.
func TestTouched_BelievesWhoSaysThatAMachineIsGone(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)
	seen := func(after time.Duration, flags observation.Flag) observation.Observation {
		return observation.Observation{Machine: "M1", At: at.Add(after), Flags: flags, Values: []observation.Value{{Signal: "a", Value: 1}}}
	}
	w := &watched{Watched: Watched{ID: uuid.New(), Key: "M1"}, rules: rules.New("M1", nil)}
	ahead := seen(time.Minute, 0)
	w.rules.Observe(ahead)
	r := &Runner{pending: newPending()}
	stored := func() []machines.Seen {
		var out Outcome
		r.pending.take(&out)
		return out.Seen
	}
	batch := r.touch()
	batch.note(w, &ahead)
	batch.present(&telemetry.LocatedPresence{MachineID: w.ID, Machine: "M1", At: at}, w)
	if s := stored()[0]; s.Connectivity != "off" || s.At.Before(ahead.At) {
		t.Errorf("gone: %+v", s)
	}
	batch = r.touch() // another batch
	past := seen(2*time.Minute, observation.Historical)
	w.rules.Observe(past)
	batch.note(w, &past)
	if said := stored(); len(said) != 0 || w.rules.Newest() != ahead.At {
		t.Errorf("what was measured earlier is a sign of life: %+v", said)
	}
	back := seen(30*time.Second, 0)
	batch.note(w, &back)
	if s := stored()[0]; s.Connectivity != "online" || s.At.Before(ahead.At) {
		t.Errorf("back: %+v", s)
	}
	batch.present(&telemetry.LocatedPresence{MachineID: uuid.New(), Machine: "M2", At: at}, nil) // never said anything
	if s := stored()[0]; s.Connectivity != "off" || !s.At.Equal(at) {
		t.Errorf("a machine that nobody watches yet: %+v", s)
	}
}
