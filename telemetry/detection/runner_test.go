package detection

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

func TestRunner_FindsEachFaultOnce(t *testing.T) {
	t.Parallel()
	w := newWorks(t, intakelog.Options{})
	last := w.scenario()
	j := w.newJob(t)
	j.commit = j.accept
	j.run(last, false)
	for rule, want := range map[string][2]int{"oil-hot": {3, 2}, "oil-drifts": {2, 1}, "says-nothing": {1, 1}, "watcher": {1, 0}} {
		opened, closed := j.ledger.changes(rule, machines.FindingOpened), j.ledger.changes(rule, machines.FindingClosed)
		if opened != want[0] || closed != want[1] {
			t.Errorf("%s opened %d times and closed %d times, not %v", rule, opened, closed, want)
		}
	}
	found := w.count(`SELECT count(*) FROM finding`)
	cases := w.count(`SELECT count(*) FROM service_case`)
	if found != 7 || cases != 5 { // the late backlog only proposes, and M1's second heat joins its case
		t.Errorf("%d findings and %d cases, not 7 and 5:\n%s", found, cases, w.stored())
	}
	if none := w.count(`SELECT count(*) FROM finding f JOIN machine m ON m.id = f.machine_id WHERE m.key = 'M4' AND case_id IS NOT NULL`); none > 0 {
		t.Error("late data opened a case")
	}
}

func (w *works) count(sql string) (n int64) {
	w.Helper()
	w.as(w.pool, func(tx pgx.Tx) (err error) {
		n, err = postgres.Value[int64](w.Context(), tx, sql, nil)
		return err
	})
	return n
}

// A commit that was made and whose answer was lost is made again by the runner,
// which cannot know; so is one that failed.
func TestRunner_DoublesAndLosesNothingWhenCommitsFail(t *testing.T) {
	t.Parallel()
	w := newWorks(t, intakelog.Options{})
	last := w.scenario()
	whole := w.records(t)
	whole.run(last, false)
	broken := errors.New("the connection broke")
	for name, commit := range map[string]func(j *job, n int, o Outcome) error{
		"before": func(j *job, n int, o Outcome) error {
			if n%3 > 0 {
				return broken
			}
			return j.accept(j.Context(), o)
		},
		"after": func(j *job, n int, o Outcome) error {
			err := j.accept(j.Context(), o)
			if n%3 > 0 && err == nil {
				return broken
			}
			return err
		},
		"in the middle": func(j *job, n int, o Outcome) error {
			if n%3 == 0 {
				return j.accept(j.Context(), o)
			}
			ctx, cancel := context.WithCancel(j.Context())
			cancel()
			return errors.Join(broken, j.accept(ctx, o))
		},
		"with a conflict that is no takeover": func(j *job, n int, o Outcome) error {
			if n%3 > 0 {
				return problem.New(problem.Conflict, "somebody changes the same case")
			}
			return j.accept(j.Context(), o)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, n := w.records(t), 0
			j.commit = func(_ context.Context, o Outcome) error {
				n++
				return commit(j, n, o)
			}
			j.run(last, false)
			same(t, j.stored(), whole.stored())
			same(t, j.ledger.findings(t), whole.ledger.findings(t))
		})
	}
}

// TestRunner_IsFencedByTheOneThatTakesItsShard lets a second runner take over
// while the first one works: the first ends, and nothing is stored twice.
func TestRunner_IsFencedByTheOneThatTakesItsShard(t *testing.T) {
	t.Parallel()
	w := newWorks(t, intakelog.Options{})
	last := w.scenario()
	whole := w.records(t)
	whole.run(last, false)

	j := w.records(t)
	first := j.runner(upTo{w.log, last})
	var takeover sync.Once
	var second *Runner
	j.commit = func(ctx context.Context, o Outcome) error {
		if o.Position.LSN > last/2 { // when the first has begun to work on this
			takeover.Do(func() {
				j.dir = t.TempDir() // another computer
				second = j.runner(upTo{w.log, last})
			})
		}
		return j.accept(ctx, o)
	}
	err := first.Run(t.Context())
	if !errors.Is(err, ErrTaken) || problem.Of(err) != problem.Conflict {
		t.Fatalf("the first runner ended with %v", err)
	}
	j.until(second, last)
	same(t, j.stored(), whole.stored())
	if err := first.commit(t.Context(), Outcome{Position: first.pos}); !errors.Is(err, ErrTaken) {
		t.Errorf("the first runner is not fenced off: %v", err)
	}
}

// until lets a runner run until it has stored a record, then ends it.
func (j *job) until(r *Runner, last intakelog.LSN) {
	j.Helper()
	ctx, cancel := context.WithCancel(j.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	eventually(j.T, "all is stored", func() bool { return r.Stored() >= last })
	cancel()
	if err := <-ended; err != nil {
		j.Errorf("the runner did not end in order: %v", err)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-late.C:
			t.Fatalf("not after a minute: %s", what)
		}
	}
}

// TestRunner_WaitsForTheDatabase ends PostgreSQL before each commit.
func TestRunner_WaitsForTheDatabase(t *testing.T) {
	w := newWorks(t, intakelog.Options{})
	last := w.scenario()
	whole := w.records(t)
	whole.run(last, false)

	before := goleak.IgnoreCurrent()
	dir := filepath.Join(postgrestest.Folder(t), "pg")
	startServer := func() *postgres.Cluster {
		c, err := postgres.StartCluster(t.Context(), dir, w.logger(), postgres.Throwaway())
		if err != nil {
			t.Error(err)
		}
		return c
	}
	server := startServer()
	if err := postgres.Migrate(t.Context(), server.URL()); err != nil {
		t.Fatal(err)
	}
	pool, err := postgres.Open(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	j := w.newJob(t)
	j.on(pool)
	j.enter()
	met := map[intakelog.LSN]bool{}
	j.commit = func(ctx context.Context, o Outcome) error {
		if met[o.Position.LSN] {
			return j.accept(ctx, o)
		}
		met[o.Position.LSN] = true
		if err := server.Stop(ctx); err != nil {
			t.Error(err)
		}
		err := j.accept(ctx, o)
		if problem.Of(err) != problem.Unavailable {
			t.Errorf("without a database the commit says %v", err)
		}
		server = startServer()
		return err
	}
	j.until(j.runner(upTo{w.log, last}), last)
	same(t, j.stored(), whole.stored())
	if len(met) < 2 {
		t.Errorf("only %d commits", len(met))
	}
	pool.Close()
	if err := server.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}

// TestRunner_EndsWhileTheDatabaseIsAway stops the program during an outage: what
// was not committed is evaluated again by the next run.
func TestRunner_EndsWhileTheDatabaseIsAway(t *testing.T) {
	w := newWorks(t, intakelog.Options{})
	last := w.scenario()
	whole := w.newJob(t)
	whole.run(last, false)
	before := goleak.IgnoreCurrent()
	j := w.newJob(t)
	tried, away := make(chan struct{}, 1), true
	j.commit = func(ctx context.Context, o Outcome) error {
		if away && o.Position.LSN > last/2 {
			select {
			case tried <- struct{}{}:
			default:
			}
			return problem.New(problem.Unavailable, "the database is away")
		}
		return j.advance(ctx, o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	r := j.runner(upTo{w.log, last})
	go func() { ended <- r.Run(ctx) }()
	<-tried
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
	away = false
	j.run(last, false)
	same(t, j.ledger.folded(t), whole.ledger.folded(t))
}

// TestRunner_IsReadWhileItRuns is for the race detector.
func TestRunner_IsReadWhileItRuns(t *testing.T) {
	w := newWorks(t, intakelog.Options{})
	before := goleak.IgnoreCurrent()
	j := w.newJob(t)
	r := j.runner(w.log)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	var readers sync.WaitGroup
	for _, key := range keys {
		readers.Go(func() {
			for ctx.Err() == nil {
				if b, ok := r.Band(key, "oil_temp"); ok && !(b.Low < b.Normal && b.Normal < b.High) {
					t.Errorf("the band of %s is %+v", key, b)
					return
				}
				_, _ = r.At(), r.Stored()
			}
		})
	}
	last := w.scenario()
	eventually(t, "all is stored", func() bool { return r.Stored() >= last })
	for _, key := range keys {
		if _, ok := r.Band(key, "oil_temp"); !ok {
			t.Errorf("%s has learnt nothing", key)
		}
	}
	if _, ok := r.Band("nobody", "oil_temp"); ok {
		t.Error("nobody has a band")
	}
	cancel()
	readers.Wait()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}

// TestRunner_IsStoppedByNoValues sends what can be said in JSON and what no rule
// can reckon with.
func TestRunner_IsStoppedByNoValues(t *testing.T) {
	t.Parallel()
	w := newWorks(t, intakelog.Options{})
	strange := []string{"1e308", "-1e308", "1.7976931348623157e308", "5e-324", "0", "-0", "1e200", "-1e200"}
	for i := range 600 {
		w.clock.AdvanceTo(start.Add(time.Duration(i) * time.Minute))
		for _, key := range keys {
			w.say(key, fmt.Sprintf(`{"ts":%d,"values":{"oil_temp":%s,"load":%s,"ignition":1,"other":%s}}`, w.clock.Now().UnixMilli(),
				strange[i%len(strange)], strange[i*i%7], strange[(i/100+i%2)%len(strange)]))
		}
		if err := w.ticker().Write(t.Context(), w.clock.Now(), w.clock.Now().Add(-TickEvery), w.clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	_, last := w.log.Bounds()
	j := w.newJob(t)
	j.commit = j.accept
	j.run(last, false)
	j.run(last, false)
}
