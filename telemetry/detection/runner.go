package detection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/sisters"
	"github.com/thirdstate/thirdstate/telemetry/silence"
)

// Outcome is all that one batch of the log means for the machine files. It must
// be committed whole, together with its position.
type Outcome struct {
	Position Position
	News
	Failures []Failure
	Cohorts  []ToldCohort
}

// News is what was found and seen of machines.
type News struct {
	Changes  []machines.FindingChange `json:"changes"`
	Silences []machines.Silence       `json:"silences"`
	Seen     []machines.Seen          `json:"seen"` // and scores
}

func (o *Outcome) empty() bool {
	return o.News.empty() && len(o.Failures)+len(o.Cohorts) == 0
}

// Commit stores an outcome in one transaction: findings, cases, jobs and the
// position. The runner calls it again with the same outcome until it succeeds,
// except when it answers ErrTaken.
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

	mu      sync.RWMutex // guards what follows; pages read bands
	watched map[string]*watched
	crowd   crowd
	ticked  int64 // event time of the last tick, Unix ns
	dedup   *telemetry.Dedup
	lsn     intakelog.LSN // last record that the state holds
	at      atomic.Uint64 // the same, for who must not wait
	pos     Position      // last record that is committed
	whole   intakelog.LSN // last record of which nothing is pending
	pending *pending

	surroundings silence.Surroundings
	asked        *watched // of whom they are

	sisters comparison

	steps uint64             // observations shown to the rules
	costs map[string]float64 // ns a row, by the hash of the pack

	carried   []machines.FindingChange // found while catching up, and not in the records
	failures  []Failure                // of this batch
	renewed   bool                     // the rules are others since the last snapshot
	shotEvery int
	sinceShot int
	released  func(intakelog.LSN)
}

type watched struct {
	Watched
	pack  *rules.Pack
	rules *rules.Machine
	score int
	heard bool // by this run

	silence  silence.Watch
	near     telemetry.Near
	words    silence.Words // what its last values say of its work
	listened bool          // words is up to date
}

// Config of a Runner. Dir holds the snapshots; Released is told up to which
// record the log is no longer needed, Tell is given how machines stand to one another,
// for the log.
type Config struct {
	Fleet    *Fleet
	Source   Source
	Position Position
	Commit   Commit
	Dir      string
	Log      *slog.Logger
	Released func(intakelog.LSN)
	Tell     func(*sisters.Cohort) // nil = machines are not compared
}

// NewRunner restores the newest snapshot that is not newer than the position;
// without one the log is read from its start.
func NewRunner(c Config) (*Runner, error) {
	shots, err := openSnapshots(c.Dir, c.Position.Log)
	if err != nil {
		return nil, err
	}
	r := &Runner{
		fleet: c.Fleet, source: c.Source, commit: c.Commit, log: c.Log, shots: shots, pos: c.Position, released: c.Released,
		watched: map[string]*watched{}, costs: map[string]float64{}, dedup: telemetry.NewDedup(), pending: newPending(), shotEvery: snapshotEvery,
		retry: func(attempt int) time.Duration { return min(200*time.Millisecond<<min(attempt, 8), 30*time.Second) },
	}
	r.sisters.tell = c.Tell
	r.surround()
	if r.released == nil {
		r.released = func(intakelog.LSN) {}
	}
	if err := r.restore(); err != nil {
		return nil, err
	}
	r.whole = min(r.lsn, r.pos.LSN)
	r.released(min(r.lsn, r.shots.oldest()))
	return r, nil
}

// Run evaluates until ctx ends or another runner takes over.
func (r *Runner) Run(ctx context.Context) error {
	for {
		batch, err := r.next(ctx)
		if err != nil || ctx.Err() != nil {
			return r.stopped(ctx, err)
		}
		if batch == nil {
			err = r.flush(ctx)
		} else {
			err = r.runOnce(ctx, batch)
		}
		if err != nil {
			if ctx.Err() != nil {
				err = nil // the outcome was not committed: the last snapshot stays
			}
			return err
		}
	}
}

// next is the next batch, nil where none comes while something is pending or the
// position of what meant nothing is not committed yet.
func (r *Runner) next(ctx context.Context) (*telemetry.Batch, error) {
	if r.lsn < r.pos.LSN || r.nothingPending() {
		return r.source.Next(ctx, r.lsn)
	}
	idle, cancel := context.WithTimeout(ctx, r.pending.idle())
	defer cancel()
	batch, err := r.source.Next(idle, r.lsn)
	if err != nil && ctx.Err() == nil && idle.Err() != nil {
		return nil, nil //nolint:nilnil // nothing came
	}
	return batch, err
}

func (r *Runner) nothingPending() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.pending.empty() || r.lsn > r.pos.LSN {
		return false
	}
	r.whole = r.lsn // after a restart the state catches up with the checkpoint
	return true
}

// flush stores what is pending, and how far all is evaluated.
func (r *Runner) flush(ctx context.Context) error {
	out := Outcome{Position: r.pos}
	out.Position.LSN = max(r.pos.LSN, r.lsn)
	r.pending.take(&out)
	return r.store(ctx, out)
}

// store commits an outcome and is at its position.
func (r *Runner) store(ctx context.Context, out Outcome) error {
	began := time.Now()
	if err := r.commitUntilStored(ctx, out); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending.empty() {
		r.pending.cost = min(time.Since(began), signsEvery) // an outage is no cost
	}
	if out.Position.LSN > r.pos.LSN {
		r.pos.LSN, r.carried = out.Position.LSN, nil
	}
	if r.pending.empty() {
		r.whole = min(r.lsn, r.pos.LSN)
	}
	return nil
}

// stopTimeout bounds how long a run that ends waits for the records.
const stopTimeout = 5 * time.Second

// stopped ends a run between two batches.
func (r *Runner) stopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return fmt.Errorf("read the intake log after %d: %w", r.At(), err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := r.flush(ctx); err != nil {
		r.log.Warn("signs of life are not stored; they are evaluated again", "error", err)
		return nil // the snapshot before stays
	}
	r.snapshot()
	return nil
}

// At is the last record that has been evaluated.
func (r *Runner) At() intakelog.LSN { return intakelog.LSN(r.at.Load()) }

// Stored is the last record up to which everything has been evaluated and all that
// it meant committed.
func (r *Runner) Stored() intakelog.LSN {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.whole
}

func (r *Runner) runOnce(ctx context.Context, batch *telemetry.Batch) error {
	if len(batch.Records) > 0 && batch.Records[0].LSN > batch.From+1 {
		r.log.Error("records are gone from the intake log before the rules saw them", "from", batch.From+1, "to", batch.Records[0].LSN-1)
	}
	r.sinceShot += len(batch.Observations) + 1
	shot := r.takeRenewed() || r.sinceShot >= max(r.shotEvery, shotPerMachine*len(r.watched))
	out := r.evaluate(batch)
	r.tellCohorts()
	fresh := batch.To > r.pos.LSN
	switch {
	case shot || fresh && r.pending.due():
		r.pending.take(&out)
	case fresh:
		r.pending.takeNews(&out)
		if out.empty() {
			return nil // its position goes with what is pending
		}
	default:
		return nil
	}
	if err := r.store(ctx, out); err != nil {
		return err
	}
	if shot {
		r.snapshot()
	}
	return nil
}

func (r *Runner) commitUntilStored(ctx context.Context, o Outcome) error {
	for attempt := 0; ; attempt++ {
		err := r.commit(ctx, o)
		if err == nil || errors.Is(err, ErrTaken) {
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
// evaluated again after a restart to rebuild the state; its findings are stored, its
// signs of life perhaps not.
func (r *Runner) evaluate(batch *telemetry.Batch) Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := Outcome{Position: r.pos}
	touched := r.touch()
	steps := merge(batch)
	known := sort.Search(len(steps), func(i int) bool { return steps[i].lsn > r.pos.LSN })
	for _, s := range steps[:known] {
		for _, f := range r.contained(s, touched) {
			if f.CloseReason == rules.RuleChanged { // the run before did not know the new rules
				r.carried = append(r.carried, r.fleet.finding(r.watched[f.Machine].Watched, f, r.log))
			}
		}
	}
	r.failures, r.sisters.told, r.sisters.made = nil, nil, nil // they are told already
	if batch.To > r.pos.LSN {
		r.scores(touched) // as they are in the records
		out.Position.LSN = batch.To
		out.Changes = append(out.Changes, r.carried...)
	}
	touched.told = nil // it is stored
	clear(touched.spells)
	for _, s := range steps[known:] {
		for _, f := range r.contained(s, touched) {
			out.Changes = append(out.Changes, r.fleet.finding(r.watched[f.Machine].Watched, f, r.log))
		}
	}
	r.lsn, out.Silences = batch.To, touched.told
	out.Cohorts, r.sisters.told = r.sisters.told, nil
	r.at.Store(uint64(r.lsn))
	r.scores(touched)
	out.Failures, r.failures = r.failures, nil
	return out
}

type step struct {
	lsn  intakelog.LSN
	obs  *telemetry.Located
	tick *telemetry.Tick
	here *telemetry.LocatedPresence
	link *telemetry.LocatedLink
	kin  *telemetry.LocatedCohort
}

// merge gives observations, presences, ends of connections, cohorts and ticks of a
// batch in log order.
func merge(b *telemetry.Batch) []step {
	steps := make([]step, 0, len(b.Observations)+len(b.Presences)+len(b.Links)+len(b.Cohorts)+len(b.Ticks))
	for i := range b.Observations {
		steps = append(steps, step{lsn: b.Observations[i].LSN, obs: &b.Observations[i]})
	}
	for i := range b.Presences {
		steps = append(steps, step{lsn: b.Presences[i].LSN, here: &b.Presences[i]})
	}
	for i := range b.Links {
		steps = append(steps, step{lsn: b.Links[i].LSN, link: &b.Links[i]})
	}
	for i := range b.Cohorts {
		steps = append(steps, step{lsn: b.Cohorts[i].LSN, kin: &b.Cohorts[i]})
	}
	for i := range b.Ticks {
		steps = append(steps, step{lsn: b.Ticks[i].LSN, tick: &b.Ticks[i]})
	}
	sort.SliceStable(steps, func(i, j int) bool { return steps[i].lsn < steps[j].lsn })
	return steps
}

func (r *Runner) step(s step, t *touched) []rules.Finding {
	switch {
	case s.tick != nil:
		t.all = true
		return r.tick(s.lsn, *s.tick, t)
	case s.here != nil:
		r.present(s.here, t)
		return nil
	case s.link != nil:
		r.left(s.link)
		return nil
	case s.kin != nil:
		r.sisters.hear(s.kin, r.log)
		return nil
	}
	if r.dedup.Again(s.obs.Origin) || r.dedup.Seen(&s.obs.Observation) {
		return nil
	}
	w := r.watch(Watched{ID: s.obs.MachineID, Key: s.obs.Machine, Pack: s.obs.Pack})
	t.note(w, &s.obs.Observation)
	r.hear(w, s.obs, t)
	if r.steps++; r.steps%costEvery != 0 {
		return w.rules.Observe(s.obs.Observation)
	}
	began := time.Now()
	found := w.rules.Observe(s.obs.Observation)
	r.timed(w, time.Since(began))
	return found
}

func (r *Runner) tick(lsn intakelog.LSN, tick telemetry.Tick, t *touched) []rules.Finding {
	var found []rules.Finding
	keys := slices.Sorted(maps.Keys(r.watched)) // findings of one tick come in the same order each time
	for _, key := range keys {
		w := r.watched[key]
		var more []rules.Finding
		if crash := formats.Contain(func() { more = w.rules.Tick(tick.At, tick.Excused) }); crash != nil {
			r.fail(w, lsn, crash)
			continue
		}
		found = append(found, more...)
	}
	found = append(found, r.compare(lsn, tick.At, keys)...)
	r.ticked = max(r.ticked, tick.At.UnixNano())
	r.crowd.now, r.crowd.peers = r.ticked, map[group]*silence.Peers{}
	for _, key := range keys {
		w := r.watched[key]
		crash := formats.Contain(func() { t.silences(w, w.silence.Tick(r.ticked, tick.Excused, r.around(w))) })
		if crash != nil {
			r.fail(w, lsn, crash)
		}
	}
	r.crowd.now = 0
	return found
}

// watch gives the state of a machine, a new one for whoever says something first.
func (r *Runner) watch(known Watched) *watched {
	if w := r.watched[known.Key]; w != nil {
		return w
	}
	pack := r.fleet.Pack(known)
	w := &watched{Watched: known, pack: pack, rules: rules.New(known.Key, pack), score: -1}
	r.watched[known.Key] = w
	return w
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
