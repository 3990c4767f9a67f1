package detection

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// choosy is a job on a database that will not take some things, by constraints of
// which the program knows nothing.
func (w *works) choosy(constraints string) *job {
	w.Helper()
	j := w.records(w.T)
	url := postgrestest.URL(w.T)
	pool, err := postgres.Open(w.Context(), url)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(pool.Close)
	j.on(pool)
	j.enter()
	j.alter(constraints)
	return j
}

// alter changes the schema as the owner of the database.
func (j *job) alter(sql string) {
	j.Helper()
	j.as(j.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(j.Context(), `RESET ROLE`); err != nil {
			return err
		}
		_, err := tx.Exec(j.Context(), strings.ReplaceAll(sql, "M1", j.machine("M1").String())+`; SET ROLE thirdstate_app`)
		return err
	})
}

func (j *job) machine(key string) (id uuid.UUID) {
	j.Helper()
	j.as(j.pool, func(tx pgx.Tx) (err error) {
		m, err := machines.ByKey(j.Context(), tx, key)
		id = m.ID
		return err
	})
	return id
}

func (j *job) held() (list []Held) {
	j.Helper()
	j.as(j.pool, func(tx pgx.Tx) (err error) {
		list, err = HeldOutcomes(j.Context(), tx)
		return err
	})
	return list
}

func (j *job) try(key string) (t Trial) {
	j.Helper()
	j.as(j.pool, func(tx pgx.Tx) (err error) {
		t, err = j.store.Try(j.Context(), tx, j.clock.Now(), manager, j.machine(key))
		return err
	})
	return t
}

var manager = identity.Principal{Name: "赵敏", Role: identity.ServiceManager}

// others is what is stored of all machines but one.
func others(stored, key string) string {
	lines := strings.Split(strings.ReplaceAll(stored, `\n`, "\n"), "\n")
	return strings.Join(slices.DeleteFunc(lines, func(line string) bool {
		return strings.Contains(line, key) || strings.Contains(line, "audit") || strings.Contains(line, "event")
	}), "\n")
}

// findingsOf is what is stored of findings and cases of machines.
func findingsOf(stored, key string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(stored, "\n"), func(line string) bool {
		return !strings.Contains(line, "finding "+key) && !strings.Contains(line, "case "+key)
	}), "\n")
}

// The records refuse what is found of M1, all afternoon and over restarts: the
// other machines go on as if nothing were, M1 is listed, and all of it is stored as
// it would have been when the fault is mended.
func TestStore_AMachineThatIsRefusedHoldsNobody(t *testing.T) {
	t.Parallel()
	w := newWorks(t, intakelog.Options{})
	last := w.scenario()
	whole := w.records(t)
	whole.run(last, false)

	j := w.choosy(`ALTER TABLE finding ADD CONSTRAINT poison CHECK (machine_id <> 'M1')`)
	j.run(last/2, true)
	j.run(last*3/4, false)
	j.run(last, false)
	if got, want := others(j.stored(), "M1"), others(whole.stored(), "M1"); got != want {
		same(t, got, want)
	}
	held := j.held()
	if len(held) != 1 || held[0].Machine != "M1" || held[0].Changes < 4 || held[0].Reason != formats.StoreRefused || !strings.Contains(held[0].Detail, "poison") || held[0].NextTryAt == nil {
		t.Fatalf("%+v", held)
	}
	if n := j.count(`SELECT count(*) FROM finding f JOIN machine m ON m.id = f.machine_id WHERE m.key = 'M1'`); n != 0 {
		t.Fatalf("%d findings of M1", n)
	}
	if trial := j.try("M1"); trial.Stored || !strings.Contains(trial.Detail, "poison") {
		t.Fatalf("%+v", trial)
	}
	j.alter(`ALTER TABLE finding DROP CONSTRAINT poison`)
	if trial := j.try("M1"); !trial.Stored || trial.Changes != held[0].Changes || len(j.held()) != 0 {
		t.Fatalf("%+v", trial)
	}
	same(t, findingsOf(j.stored(), "M"), findingsOf(whole.stored(), "M"))
	err := postgres.As(t.Context(), j.pool, manager, func(tx pgx.Tx) error {
		_, err := j.store.Try(t.Context(), tx, start, manager, j.machine("M1"))
		return err
	})
	if problem.Of(err) != problem.NotFound {
		t.Errorf("%v", err)
	}
}

// What a machine has said after some of it was held waits behind it: an end that is
// stored before its beginning would be lost.
func TestStore_WhatFollowsWaitsBehindWhatIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorks(t, intakelog.Options{})
	last := w.scenario()
	whole := w.records(t)
	whole.run(last, false)
	j := w.choosy(`ALTER TABLE finding ADD CONSTRAINT poison CHECK (machine_id <> 'M1')`)
	at := intakelog.LSN(0)
	for ; len(j.held()) == 0; at += 50 {
		j.run(at+50, false)
	}
	j.alter(`ALTER TABLE finding DROP CONSTRAINT poison`)
	j.run(last, false)
	of := `SELECT count(*) FROM finding f JOIN machine m ON m.id = f.machine_id WHERE m.key = 'M1'`
	if n := j.count(of); n != 0 {
		t.Fatalf("%d findings of M1 went before those that are held", n)
	}
	j.clock.Advance(2 * time.Minute)
	if err := j.store.TryDue(t.Context(), j.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if len(j.held()) != 0 {
		t.Errorf("%+v", j.held())
	}
	same(t, findingsOf(j.stored(), "M1"), findingsOf(whole.stored(), "M1"))
}

func TestStore_IsTriedSomeTimesAndThenByHand(t *testing.T) {
	t.Parallel()
	w := newWorks(t, intakelog.Options{})
	last := w.scenario()
	j := w.choosy(`ALTER TABLE finding ADD CONSTRAINT poison CHECK (machine_id <> 'M1')`)
	j.run(last, false)
	began, tries := j.clock.Now(), 0
	for ; tries < 20 && j.held()[0].NextTryAt != nil; tries++ {
		j.clock.AdvanceTo(*j.held()[0].NextTryAt)
		if err := j.store.TryDue(t.Context(), j.clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if took := j.clock.Now().Sub(began); tries != heldTries || j.held()[0].Tries != heldTries || took < 4*time.Hour || took > 5*time.Hour {
		t.Fatalf("%d tries in %v: %+v", tries, took, j.held())
	}
	discard := func(reason string) error {
		return postgres.As(t.Context(), j.pool, manager, func(tx pgx.Tx) error {
			return j.store.Discard(t.Context(), tx, j.clock.Now(), manager, j.machine("M1"), reason)
		})
	}
	if err := discard(" "); problem.Of(err) != problem.Invalid {
		t.Errorf("%v", err)
	}
	if err := discard("sold"); err != nil || len(j.held()) != 0 {
		t.Errorf("%v, %+v", err, j.held())
	}
	if n := j.count(`SELECT count(*) FROM audit WHERE entity = 'held_outcome' AND action = 'discarded' AND actor = '赵敏' AND after->>'why' = 'sold'`); n != 1 {
		t.Errorf("%d audit entries", n)
	}
}

// Signs of life that are refused come to be stored with the next that are not.
func TestStore_RefusedSignsOfLifeHoldNobodyAndMend(t *testing.T) {
	t.Parallel()
	w := newWorks(t, intakelog.Options{})
	last := w.scenario()
	whole := w.records(t)
	whole.run(last, false)
	j := w.choosy(`ALTER TABLE machine ADD CONSTRAINT poison CHECK (key <> 'EX' AND (serial <> 'M1x') AND (id <> 'M1' OR operating_hours IS NULL))`)
	j.run(last/2, false)
	held := j.held()
	if len(held) != 1 || held[0].Machine != "M1" || held[0].Changes != 0 {
		t.Fatalf("%+v", held)
	}
	if n := j.count(`SELECT count(*) FROM machine WHERE operating_hours IS NOT NULL`); n != int64(len(keys)-1) {
		t.Errorf("the hours of %d machines are known", n)
	}
	j.alter(`ALTER TABLE machine DROP CONSTRAINT poison`)
	j.run(last, false)
	if held := j.held(); len(held) != 0 {
		t.Errorf("%+v", held)
	}
	same(t, others(j.stored(), "nobody"), others(whole.stored(), "nobody"))
}

func TestStore_APanicInTheRecordsHoldsNobody(t *testing.T) {
	t.Parallel()
	w := newWorks(t, intakelog.Options{})
	last := w.scenario()
	whole := w.records(t)
	whole.run(last, false)
	j := w.records(t)
	bad := j.machine("M1")
	j.store.Apply = func(ctx context.Context, tx pgx.Tx, now time.Time, n News) error {
		if slices.ContainsFunc(n.Changes, func(c machines.FindingChange) bool { return c.Finding.MachineID == bad }) {
			panic("nobody has thought of this")
		}
		return apply(ctx, tx, now, n)
	}
	j.run(last, false)
	if held := j.held(); len(held) != 1 || held[0].Reason != formats.Crashed || !strings.Contains(held[0].Detail, "nobody has thought of this") {
		t.Fatalf("%+v", held)
	}
	same(t, others(j.stored(), "M1"), others(whole.stored(), "M1"))
	j.store.Apply = apply
	if trial := j.try("M1"); !trial.Stored {
		t.Errorf("%+v", trial)
	}
}

// A machine that was entered after the backup that was restored is in no records:
// not even a row that names it is refused.
func TestStore_AMachineThatIsGoneIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorks(t, intakelog.Options{})
	j := w.records(t)
	gone := postgres.NewID()
	at := Position{Shard: j.shard, Log: j.log.ID(), LSN: 1}
	j.as(j.pool, func(tx pgx.Tx) (err error) {
		at, err = Take(t.Context(), tx, start, j.shard, j.log.ID())
		return err
	})
	at.LSN = 7
	change := machines.FindingChange{Change: machines.FindingOpened, Finding: machines.Finding{MachineID: gone, Rule: "oil-hot", Severity: machines.Alarm, OpenedAt: start}}
	if err := j.store.Commit(t.Context(), Outcome{Position: at, News: News{Changes: []machines.FindingChange{change}}}); err != nil {
		t.Fatal(err)
	}
	if held := j.held(); len(held) != 1 || held[0].MachineID != gone || held[0].Machine != gone.String() || held[0].LSN != 7 {
		t.Errorf("%+v", held)
	}
}

func TestHeldRow_IsBounded(t *testing.T) {
	t.Parallel()
	news := func(rule string, change machines.Change, minute int) machines.FindingChange {
		f := machines.Finding{Rule: rule, OpenedAt: start, UpdatedAt: start.Add(time.Duration(minute) * time.Minute), Evidence: json.RawMessage(`{"n":1}`)}
		return machines.FindingChange{Change: change, Finding: f}
	}
	var s share
	s.Changes = append(s.Changes, news("a", machines.FindingOpened, 0))
	for minute := range 5_000 {
		s.Changes = append(s.Changes, news("a", machines.FindingUpdated, minute))
	}
	s.Changes = append(s.Changes, news("a", machines.FindingClosed, 5_000))
	r := &heldRow{}
	r.keep(s)
	if got := r.share().Changes; r.Changes != 3 || len(got) != 3 || r.Dropped != 0 || got[1].Finding.UpdatedAt != start.Add(4_999*time.Minute) || got[2].Change != machines.FindingClosed {
		t.Errorf("%d kept, %d dropped", r.Changes, r.Dropped)
	}
	s.Changes = nil
	for n := range 2_000 {
		c := news(fmt.Sprintf("rule %d", n), machines.FindingOpened, n)
		c.Finding.Evidence = json.RawMessage(`"` + strings.Repeat("x", 1_000) + `"`)
		s.Changes = append(s.Changes, c)
	}
	r = &heldRow{}
	r.keep(s)
	if got := r.share().Changes; len(r.Kept) > maxHeldBytes || int64(r.Changes)+r.Dropped != 2_000 || got[len(got)-1].Finding.Rule != "rule 1999" {
		t.Errorf("%d kept in %d bytes, %d dropped", r.Changes, len(r.Kept), r.Dropped)
	}
	odd := news("odd", machines.FindingOpened, 1)
	odd.Finding.Evidence = json.RawMessage(`{"n":`)
	r = &heldRow{}
	hours := math.NaN()
	r.keep(share{News: News{Changes: []machines.FindingChange{odd}, Seen: []machines.Seen{{Hours: &hours}}}})
	if got := r.share(); len(got.Changes) != 1 || got.Changes[0].Finding.Rule != "odd" || len(got.Seen) != 0 {
		t.Errorf("%+v", got)
	}
}

// A decoder that panics costs the rules the messages that it panics over.
func TestRunner_APanicOfADecoderHoldsNobody(t *testing.T) {
	t.Parallel()
	w := newWorks(t, intakelog.Options{})
	last := w.scenario()
	whole := w.records(t)
	whole.run(last, false)
	j := w.records(t)
	j.decoders.Message = func(m formats.Message, out *formats.Decoded) (string, error) {
		if strings.Contains(m.Topic, "M2") || bytes.Contains(m.Payload, []byte(`"seq":77,`)) {
			panic("nobody has thought of this")
		}
		return formats.Decode(m, out)
	}
	j.run(last/2, true)
	j.run(last, false)
	if strings.Contains(j.stored(), "finding M2") {
		t.Error("M2 was understood")
	}
	for _, key := range []string{"M1", "M3", "W1"} {
		got, want := strings.Count(findingsOf(j.stored(), key), "finding"), strings.Count(findingsOf(whole.stored(), key), "finding")
		if got != want || want == 0 {
			t.Errorf("%d findings of %s, not %d", got, key, want)
		}
	}
}

// slowly is a log that gives few records at a time.
type slowly struct{ upTo }

func (s slowly) Read(ctx context.Context, after intakelog.LSN, limit int, buf []intakelog.Record) ([]intakelog.Record, error) {
	return s.upTo.Read(ctx, after, min(limit, 200), buf)
}

// The rules of M1 fail in the middle of the afternoon: they begin anew, it is
// listed, and the other machines have what they would have had.
func TestRunner_RulesThatFailBeginAnew(t *testing.T) {
	t.Parallel()
	w := newWorks(t, intakelog.Options{})
	last := w.scenario()
	whole := w.records(t)
	whole.run(last, false)
	j := w.records(t)
	r := j.runner(slowly{upTo{j.log, last}})
	broken := 0
	for r.Stored() < last {
		b, err := r.next(t.Context())
		if m := r.watched["M1"]; m != nil && broken == 0 {
			m.rules = &rules.Machine{} // whose maps are not made
			broken++
		}
		switch {
		case err == nil && b == nil:
			err = r.flush(t.Context())
		case err == nil:
			err = r.runOnce(t.Context(), b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	held := j.held()
	if len(held) != 1 || held[0].Machine != "M1" || held[0].Reason != formats.Crashed || held[0].Changes != 0 || held[0].Failures != 1 || held[0].NextTryAt != nil {
		t.Fatalf("%+v", held)
	}
	same(t, others(j.stored(), "M1"), others(whole.stored(), "M1"))
	if n := j.count(`SELECT count(*) FROM finding f JOIN machine m ON m.id = f.machine_id WHERE m.key = 'M1'`); n == 0 {
		t.Error("nothing is found of M1 any more")
	}
	if trial := j.try("M1"); !trial.Stored || len(j.held()) != 0 {
		t.Errorf("%+v", trial)
	}
}
