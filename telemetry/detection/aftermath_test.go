package detection

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/silence"
)

// A sender's word that a machine is gone counts though the machine's clock is
// ahead of ours, and so does what the machine says when it is back though its
// clock is behind; what it measured earlier is no sign of life.
func TestRunner_BelievesWhoSaysThatAMachineIsGone(t *testing.T) {
	t.Parallel()
	r, err := NewRunner(Config{Fleet: NewFleet(nil), Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	at, id := time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC), uuid.New()
	seen := func(after time.Duration, flags observation.Flag) *telemetry.Located {
		return &telemetry.Located{MachineID: id, Observation: observation.Observation{Machine: "M1", At: at.Add(after), Flags: flags, Values: []observation.Value{{Signal: "a", Value: after.Hours()}}}}
	}
	type said struct {
		told  []machines.Silence
		signs []machines.Seen
	}
	do := func(s step) said {
		batch, out := r.touch(), Outcome{}
		r.step(s, batch)
		r.pending.take(&out)
		return said{batch.told, out.Seen}
	}
	if s := do(step1(seen(time.Minute, 0))).signs[0]; s.First == nil || !s.At.Equal(at.Add(time.Minute)) {
		t.Errorf("heard for the first time: %+v", s)
	}
	batch := do(step{here: &telemetry.LocatedPresence{MachineID: id, Machine: "M1", At: at, Leave: silence.TookLeave}})
	if s := batch.told[0]; s.Cause != machines.Off || s.Since.Before(at.Add(time.Minute)) || len(batch.signs) != 0 {
		t.Errorf("gone: %+v", s)
	}
	if batch = do(step1(seen(2*time.Minute, observation.Historical))); len(batch.signs) != 0 || len(batch.told) != 0 {
		t.Errorf("what was measured earlier is a sign of life: %+v", batch.signs)
	}
	batch = do(step1(seen(30*time.Second, 0)))
	if s := batch.told[0]; s.Until == nil || !s.Until.After(s.Since) || batch.signs[0].First != nil {
		t.Errorf("back: %+v", s)
	}
	batch = do(step{here: &telemetry.LocatedPresence{MachineID: uuid.New(), Machine: "M2", At: at}}) // never said anything
	if s := batch.told[0]; s.Cause != machines.Silent || !s.Since.Equal(at) {
		t.Errorf("a machine that nobody watches yet: %+v", s)
	}
}

func step1(o *telemetry.Located) step { return step{obs: o} }
