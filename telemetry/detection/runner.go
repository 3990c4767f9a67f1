package detection

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sort"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// Score is a machine's new health score.
type Score struct {
	MachineID    uuid.UUID
	Score        int
	Contributors []machines.Contributor
}

// Outcome is all that one batch of the log means for the machine files. It must
// be committed whole, together with its position.
type Outcome struct {
	Position Position
	Changes  []machines.FindingChange
	Seen     []machines.Seen
	Scores   []Score
}

// Commit stores an outcome in one transaction: findings, cases, jobs and the
// position. The runner calls it again with the same outcome until it succeeds,
// except when it answers problem.Conflict (another runner has taken over).
type Commit func(ctx context.Context, o Outcome) error

// Source gives the log's decoded batches in order, with the same boundaries each
// time; Next blocks until there is one.
type Source interface {
	Next(ctx context.Context, after intakelog.LSN) (*telemetry.Batch, error)
}

// Runner feeds batches to the rules. Make one with NewRunner.
type Runner struct {
	fleet  *Fleet
	source Source
	commit Commit
	log    *slog.Logger
	shots  *snapshots
	retry  func(attempt int) time.Duration

	mu      sync.RWMutex // guards what follows; pages read bands and scores
	watched map[string]*watched
	dedup   *telemetry.Dedup
	lsn     intakelog.LSN // last record that the state holds
	pos     Position      // last record that is committed

	sinceShot int
	released  func(intakelog.LSN)
}

type watched struct {
	Watched
	pack  *rules.Pack
	rules *rules.Machine
	score int
}

// Config of a Runner. Dir holds the snapshots; Released is told up to which
// record the log is no longer needed.
type Config struct {
	Fleet    *Fleet
	Source   Source
	Position Position
	Commit   Commit
	Dir      string
	Log      *slog.Logger
	Released func(intakelog.LSN)
}

// NewRunner restores the newest snapshot; without one the log is read from its start.
func NewRunner(c Config) (*Runner, error) {
	shots, err := openSnapshots(c.Dir, c.Position.Log)
	if err != nil {
		return nil, err
	}
	r := &Runner{
		fleet: c.Fleet, source: c.Source, commit: c.Commit, log: c.Log, shots: shots, pos: c.Position, released: c.Released,
		watched: map[string]*watched{}, dedup: telemetry.NewDedup(),
		retry: func(attempt int) time.Duration { return min(200*time.Millisecond<<min(attempt, 8), 30*time.Second) },
	}
	if r.released == nil {
		r.released = func(intakelog.LSN) {}
	}
	if err := r.restore(); err != nil {
		c.Log.Warn("rules start from the beginning of the log", "error", err)
		r.watched, r.dedup, r.lsn = map[string]*watched{}, telemetry.NewDedup(), 0
	}
	return r, nil
}

// Run evaluates until ctx ends or another runner takes over.
func (r *Runner) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		batch, err := r.source.Next(ctx, r.At())
		if err != nil {
			if ctx.Err() != nil {
				return r.snapshot()
			}
			return fmt.Errorf("read the intake log after %d: %w", r.At(), err)
		}
		if err := r.runOnce(ctx, batch); err != nil {
			if ctx.Err() != nil {
				err = nil // the outcome was not committed: the last snapshot stays
			}
			return err
		}
	}
	return r.snapshot()
}

// At is the last record that has been evaluated.
func (r *Runner) At() intakelog.LSN {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.lsn
}

// Stored is the last record up to which everything has been evaluated and its
// outcome committed.
func (r *Runner) Stored() intakelog.LSN {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return min(r.lsn, r.pos.LSN) // after a restart the state catches up with the checkpoint
}

func (r *Runner) runOnce(ctx context.Context, batch *telemetry.Batch) error {
	outcome, err := r.evaluate(batch)
	if err != nil {
		return err
	}
	if batch.To > r.pos.LSN {
		if err := r.commitUntilStored(ctx, outcome); err != nil {
			return err
		}
		r.mu.Lock()
		r.pos.LSN = batch.To
		r.mu.Unlock()
	}
	if r.sinceShot += len(batch.Observations) + 1; r.sinceShot >= snapshotEvery {
		return r.snapshot()
	}
	return nil
}

func (r *Runner) commitUntilStored(ctx context.Context, o Outcome) error {
	for attempt := 0; ; attempt++ {
		err := r.commit(ctx, o)
		if err == nil || problem.Of(err) == problem.Conflict {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.log.Error("findings not stored, trying again", "lsn", o.Position.LSN, "changes", len(o.Changes), "attempt", attempt, "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(r.retry(attempt)):
		}
	}
}

// evaluate moves the state over one batch. What the checkpoint already covers is
// evaluated again after a restart to rebuild the state, and reported as nothing.
func (r *Runner) evaluate(batch *telemetry.Batch) (Outcome, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := Outcome{Position: r.pos}
	out.Position.LSN = batch.To
	seen := map[uuid.UUID]*machines.Seen{}
	steps := merge(batch)
	for _, s := range steps {
		found := r.step(s, seen)
		if s.lsn <= r.pos.LSN {
			continue
		}
		for _, f := range found {
			change, err := r.fleet.finding(r.watched[f.Machine].Watched, f)
			if err != nil {
				return out, err
			}
			out.Changes = append(out.Changes, change)
		}
	}
	r.lsn = batch.To
	if batch.To > r.pos.LSN {
		out.Seen, out.Scores = r.aftermath(seen)
	}
	return out, nil
}

type step struct {
	lsn  intakelog.LSN
	obs  *telemetry.Located
	tick *telemetry.Tick
}

// merge gives observations and ticks of a batch in log order.
func merge(b *telemetry.Batch) []step {
	steps := make([]step, 0, len(b.Observations)+len(b.Ticks))
	for i := range b.Observations {
		steps = append(steps, step{lsn: b.Observations[i].LSN, obs: &b.Observations[i]})
	}
	for i := range b.Ticks {
		steps = append(steps, step{lsn: b.Ticks[i].LSN, tick: &b.Ticks[i]})
	}
	sort.SliceStable(steps, func(i, j int) bool { return steps[i].lsn < steps[j].lsn })
	return steps
}

func (r *Runner) step(s step, seen map[uuid.UUID]*machines.Seen) []rules.Finding {
	if s.tick != nil {
		return r.tick(*s.tick)
	}
	if r.dedup.Seen(&s.obs.Observation) {
		return nil
	}
	w := r.machine(s.obs)
	note(seen, w.ID, &s.obs.Observation)
	return w.rules.Observe(s.obs.Observation)
}

func (r *Runner) tick(t telemetry.Tick) []rules.Finding {
	keys := make([]string, 0, len(r.watched))
	for key := range r.watched {
		keys = append(keys, key)
	}
	sort.Strings(keys) // findings of one tick come in the same order each time
	var found []rules.Finding
	for _, key := range keys {
		found = append(found, r.watched[key].rules.Tick(t.At, t.Excused)...)
	}
	return found
}

func (r *Runner) machine(o *telemetry.Located) *watched {
	if w := r.watched[o.Machine]; w != nil {
		return w
	}
	known := Watched{ID: o.MachineID, Key: o.Machine, Pack: o.Model}
	pack := r.fleet.Pack(known)
	w := &watched{Watched: known, pack: pack, rules: rules.New(o.Machine, pack), score: -1}
	r.watched[o.Machine] = w
	return w
}

// note keeps the newest sign of life of a machine.
func note(seen map[uuid.UUID]*machines.Seen, id uuid.UUID, o *observation.Observation) {
	s := seen[id]
	if s == nil {
		s = &machines.Seen{MachineID: id}
		seen[id] = s
	}
	if o.At.Before(s.At) {
		return
	}
	s.At, s.Connectivity = o.At, "online"
	if v, ok := o.Get("operating_hours"); ok {
		s.Hours = &v
	}
	if v, ok := o.Get("pumped_volume"); ok {
		s.Volume = &v
	}
}

func (r *Runner) aftermath(seen map[uuid.UUID]*machines.Seen) ([]machines.Seen, []Score) {
	list := make([]machines.Seen, 0, len(seen))
	for _, s := range seen {
		list = append(list, *s)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].MachineID.String() < list[j].MachineID.String() })
	var scores []Score
	for _, w := range r.watched {
		if _, ok := seen[w.ID]; !ok {
			continue
		}
		points, contributors := w.rules.Score()
		if rounded := int(math.Round(points)); rounded != w.score {
			w.score = rounded
			scores = append(scores, Score{w.ID, rounded, contributed(contributors)})
		}
	}
	sort.Slice(scores, func(i, j int) bool { return scores[i].MachineID.String() < scores[j].MachineID.String() })
	return list, scores
}

func contributed(list []rules.Contributor) []machines.Contributor {
	out := make([]machines.Contributor, 0, len(list))
	for _, c := range list {
		out = append(out, machines.Contributor{Signal: c.Signal, Weight: c.Weight, Loss: c.Loss})
	}
	return out
}

// Band is the normal band of a signal as it was learnt, in the signal's unit.
type Band struct{ Low, Normal, High float64 }

// Band returns what a machine's rules have learnt to be normal for a signal.
func (r *Runner) Band(key, signal string) (Band, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	w := r.watched[key]
	if w == nil {
		return Band{}, false
	}
	low, normal, high, ok := w.rules.Bands(signal)
	return Band{low, normal, high}, ok
}
