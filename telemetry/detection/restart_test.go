package detection

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

const setBackSQL = `UPDATE checkpoint SET lsn = @lsn WHERE shard = @shard`

// setBack makes the records those of an earlier time, as a backup does.
func (j *job) setBack(to intakelog.LSN) {
	j.Helper()
	j.as(j.pool, func(tx pgx.Tx) error {
		_, err := postgres.Run(j.Context(), tx, setBackSQL, pgx.NamedArgs{"lsn": int64(to), "shard": j.shard})
		return err
	})
	kept := j.ledger.outcomes[:0]
	for _, o := range j.ledger.outcomes {
		if o.Position.LSN <= to {
			kept = append(kept, o)
		}
	}
	j.ledger.outcomes = kept
}

// snapshots lists the job's snapshots, the newest first.
func (j *job) snapshots() []string {
	return (&snapshots{dir: j.dir, log: j.log.ID()}).names("")
}

func (j *job) forget() {
	j.Helper()
	for _, name := range j.snapshots() {
		if err := os.Remove(name); err != nil {
			j.Fatal(err)
		}
	}
}

// damage changes one byte of a file, or cuts it off.
func (j *job) damage(name string, cut bool) {
	j.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		j.Fatal(err)
	}
	b[len(b)/2] ^= 4
	if cut {
		b = b[:len(b)/2]
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		j.Fatal(err)
	}
}

// stops are the ways in which a run comes to its end at a record, and what the next
// one finds.
var stops = []struct {
	name string
	stop func(j *job, at intakelog.LSN)
}{
	{"in order", func(j *job, at intakelog.LSN) { j.run(at, false) }},
	{"killed", func(j *job, at intakelog.LSN) { j.run(at, true) }},
	{"the snapshots are gone", func(j *job, at intakelog.LSN) { j.run(at, false); j.forget() }},
	{"the snapshot is older than the checkpoint", func(j *job, at intakelog.LSN) {
		j.run(at/2, false)
		j.every = 1 << 30
		j.run(at, true)
	}},
	{"the newest snapshot is damaged", func(j *job, at intakelog.LSN) {
		j.run(at-at/3, false)
		j.run(at, false)
		j.damage(j.snapshots()[0], false)
	}},
	{"the newest snapshot is cut off", func(j *job, at intakelog.LSN) {
		j.run(at-at/3, false)
		j.run(at, false)
		j.damage(j.snapshots()[0], true)
	}},
	{"all snapshots are damaged", func(j *job, at intakelog.LSN) {
		j.run(at, false)
		for i, name := range j.snapshots() {
			j.damage(name, i > 0)
		}
	}},
	{"the snapshot is newer than the checkpoint", func(j *job, at intakelog.LSN) {
		j.run(at/2, true)
		j.forget()
		j.every = 1 << 30
		j.run(at, false)
		j.setBack(at / 2)
	}},
	{"a snapshot is newer than the checkpoint and one is not", func(j *job, at intakelog.LSN) {
		j.run(at/3, false)
		j.every = 1 << 30
		j.run(at/2, true)
		j.run(at, false)
		j.setBack(at / 2)
	}},
}

func TestRunner_EqualsOneRunWhereverAndHoweverItIsStopped(t *testing.T) {
	t.Parallel()
	w := newWorks(t, intakelog.Options{})
	last := w.scenario()
	whole := w.newJob(t)
	whole.run(last, false)
	want := whole.ledger.folded(t)
	for _, s := range stops {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for at := last / 9; at < last; at += last / 6 {
				j := w.newJob(t)
				s.stop(j, at)
				j.every = 400
				j.run(last, false)
				same(t, j.ledger.folded(t), want)
			}
		})
	}
	t.Run("again and again", func(t *testing.T) {
		t.Parallel()
		j := w.newJob(t)
		for at := intakelog.LSN(1); at < last; at += 31 {
			j.run(at, at%2 == 0)
		}
		j.run(last, false)
		same(t, j.ledger.folded(t), want)
	})
	t.Run("twice at the same place", func(t *testing.T) { // batches end where they did: so do their findings
		t.Parallel()
		j, unbroken := w.newJob(t), w.newJob(t)
		for _, run := range []*job{j, unbroken} {
			run.T, run.every = t, 100
			run.run(last*2/3, run == j)
			run.run(last, false)
		}
		same(t, text(t, j.bare()), text(t, unbroken.bare()))
	})
}

// bare is the outcomes with findings, without whose they are and without signs of
// life, which are stored when there is time.
func (j *job) bare() []Outcome {
	var list []Outcome
	for _, o := range j.ledger.outcomes {
		if len(o.Changes) > 0 {
			list = append(list, Outcome{Position: Position{LSN: o.Position.LSN}, News: News{Changes: o.Changes}})
		}
	}
	return list
}

func TestRunner_RecordsEqualThoseOfOneRun(t *testing.T) {
	t.Parallel()
	w := newWorks(t, intakelog.Options{})
	last := w.scenario()
	whole := w.records(t)
	whole.run(last, false)
	want := whole.stored()
	for _, s := range stops {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			j := w.records(t)
			s.stop(j, last*4/7) // in the middle of M1's fault, M2's drift and M3's silence
			j.run(last, false)
			same(t, j.stored(), want)
		})
	}
}

// TestRunner_TheLogKeepsWhatASnapshotMayNeed lets the log delete what it may, in
// small segments, and then takes the newest snapshot away.
func TestRunner_TheLogKeepsWhatASnapshotMayNeed(t *testing.T) {
	t.Parallel()
	w := newWorks(t, intakelog.Options{SegmentBytes: 8 << 10})
	last := w.scenario()
	whole := w.newJob(t)
	whole.run(last, false)
	j := w.newJob(t)
	w.log.Release("history", last)
	j.released = func(upTo intakelog.LSN) { w.log.Release("rules", upTo) }
	j.every = 100
	j.run(last-100, false)
	eventually(t, "the log has let go of something", func() bool { first, _ := w.log.Bounds(); return first > last/3 })
	j.damage(j.snapshots()[0], false)
	j.run(last, false)
	same(t, j.ledger.folded(t), whole.ledger.folded(t))
}

// TestRunner_GoesOnWhereNoSnapshotCanBeWritten is the full disk, as far as the rules
// meet it.
func TestRunner_GoesOnWhereNoSnapshotCanBeWritten(t *testing.T) {
	t.Parallel()
	w := newWorks(t, intakelog.Options{})
	last := w.scenario()
	whole := w.newJob(t)
	whole.run(last, false)
	j := w.newJob(t)
	j.released = func(upTo intakelog.LSN) {
		if upTo > 0 {
			t.Errorf("the log may forget %d records that are in no snapshot", upTo)
		}
	}
	r := j.runner(upTo{w.log, last})
	if err := os.RemoveAll(j.dir); err != nil {
		t.Fatal(err)
	}
	j.until(r, last)
	same(t, j.ledger.folded(t), whole.ledger.folded(t))
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	leftover := filepath.Join(j.dir, w.log.ID().String()+"-00000000000000000001.snapshot.tmp")
	if err := os.WriteFile(leftover, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	j.released = nil
	j.run(last, false)
	if _, err := os.Stat(leftover); !errors.Is(err, os.ErrNotExist) || len(j.snapshots()) == 0 {
		t.Errorf("what was left unfinished is still there (%v), beside %v", err, j.snapshots())
	}
}

// TestRunner_AChangedRuleEndsItsFindings also when what was found lies behind the
// checkpoint and is evaluated again.
func TestRunner_AChangedRuleEndsItsFindings(t *testing.T) {
	t.Parallel()
	w := newWorks(t, intakelog.Options{})
	last := w.scenario()
	at := last * 5 / 12 // while M1 is too hot
	for name, killed := range map[string]bool{"after a stop": false, "after a kill": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := w.records(t)
			j.every = 1 << 30
			j.run(at-40, false)
			j.run(at, killed)
			if n := j.count(`SELECT count(*) FROM finding WHERE rule = 'oil-hot' AND state = 'open'`); n != 1 {
				t.Fatalf("%d findings are open where the rule is changed", n)
			}
			pack, err := rules.Parse("test.yaml", []byte(strings.Replace(packText, "above: 90", "above: 120", 1)))
			if err != nil {
				t.Fatal(err)
			}
			j.fleet = NewFleet(map[string]*rules.Pack{pack.Model: pack})
			j.run(last, false)
			if n := j.ledger.changes("oil-hot", machines.FindingClosed); n < 1 {
				t.Error("the changed rule's finding is not closed")
			}
			if n := j.count(`SELECT count(*) FROM finding WHERE rule = 'oil-hot' AND close_reason = 'rule_changed'`); n != 1 {
				t.Errorf("%d findings ended because the rule has changed", n)
			}
			if n := j.count(`SELECT count(*) FROM service_case WHERE failure_mode = 'overheating' AND state = 'open'`); n != 1 {
				t.Errorf("%d cases go on", n)
			}
		})
	}
}
