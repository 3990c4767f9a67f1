package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// Bounds of one reconciliation.
const (
	reconcilePoints = 32_000_000      // that are counted before they are compared; 8 bytes each
	reconcileWrite  = 5_000           // points of one write
	reconcileEvery  = 5 * time.Second // how often the reconciler looks whether it is due
	reconcileRest   = 128             // of these looks it rests after one that failed, at most
)

// counter is a history that says how many values it holds of each machine in one
// hour. Only a history that stands beside the records can lose what they say it has.
type counter interface {
	Counts(ctx context.Context, from, to time.Time) (map[string]int64, error)
}

// ReconcileConfig is what a reconciliation needs; all fields are required.
type ReconcileConfig struct {
	Records Records
	Pool    *postgres.Pool
	History history.Store
	First   func() intakelog.LSN // oldest record that the log has
	Stored  func() intakelog.LSN // how far the history has stored
	Clock   *clock.Clock
	Log     *slog.Logger
}

// Reconciliation says what one comparison of the intake log with the history found.
type Reconciliation struct {
	StartedAt time.Time  `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	Records   int64      `json:"records" doc:"records of the intake log that were read"`
	Hours     int        `json:"hours" doc:"hours of machines that were compared"`
	Missing   int64      `json:"missing" doc:"values that the log has and the history had not"`
	Rewritten int64      `json:"rewritten" doc:"points that were written again, also of hours that counting cannot tell apart"`
	Refused   int64      `json:"refused" doc:"values of them that the history refuses"`
	Left      int64      `json:"left" doc:"values that are still missing after it"`
	Error     string     `json:"error,omitempty"`
}

// ErrNothingToReconcile says that a history cannot have lost what was stored: it
// lies in one transaction with the place in the log.
var ErrNothingToReconcile = problem.New(problem.Invalid, "the history is in PostgreSQL, in one transaction with its place in the intake log: there is nothing to reconcile")

// machineHour is an hour of a machine; at is its start in hours since 1970.
type machineHour struct {
	machine string
	at      int64
}

// entry is one point of an hour. Two points of one instant with other signals
// differ in signals, so that they are not taken for one that came twice.
type entry struct {
	offset  uint32 // microseconds of the hour
	values  uint16
	signals uint16 // a hash of their names
}

// Reconcile finds what the history has lost of the records that the log still has,
// and writes it again: values are counted a machine and hour, and hours in which
// the history has less than the log are written again, as are those that the log
// does not have alone, at its two ends. Writing again changes nothing that is
// there. It may run beside the history's own writing.
func Reconcile(ctx context.Context, c ReconcileConfig) (Reconciliation, error) {
	r := Reconciliation{StartedAt: c.Clock.Now()}
	store, ok := c.History.(counter)
	if !ok {
		return r, ErrNothingToReconcile
	}
	ctx = identity.With(ctx, identity.Program("reconcile"))
	// A history that cannot be asked is found out before the log is read, not after.
	if _, err := store.Counts(ctx, r.StartedAt.Add(-time.Second), r.StartedAt); err != nil {
		return r, fmt.Errorf("reconcile: %w", err)
	}
	rec := reconciling{ReconcileConfig: c, counter: store, out: &r}
	end := c.Stored() // what comes meanwhile is only being written
	for from := max(c.First(), 1) - 1; from < end; {
		to, err := rec.part(ctx, from, end)
		if err != nil {
			return r, fmt.Errorf("reconcile from record %d: %w", from+1, err)
		}
		from = to
	}
	ended := c.Clock.Now()
	r.EndedAt = &ended
	return r, nil
}

type reconciling struct {
	ReconcileConfig
	counter counter
	out     *Reconciliation
}

// walk gives what the history was told by the records after one, in their order,
// until take says that it is enough or there are no more before end.
func (r *reconciling) walk(ctx context.Context, from intakelog.LSN, end func() intakelog.LSN, take func(b *Batch, points []history.Point) (more bool, err error)) (intakelog.LSN, error) {
	dedup := NewDedup()
	stage := NewStage(r.Records, r.Pool, r.Log)
	for from < end() {
		b, err := stage.Next(ctx, from)
		if err != nil {
			return from, err
		}
		from = b.To
		if more, err := take(b, fresh(b, dedup)); err != nil || !more {
			return from, err
		}
	}
	return from, nil
}

// fresh are the points of a batch that the history was given, see settle.
func fresh(b *Batch, dedup *Dedup) []history.Point {
	replays := map[intakelog.LSN]bool{}
	for _, r := range b.Records {
		if r.Replay {
			replays[r.LSN] = true
		}
	}
	points := make([]history.Point, 0, len(b.Observations))
	for i := range b.Observations {
		o := &b.Observations[i]
		if dedup.Seen(&o.Observation) && !replays[o.LSN] {
			continue
		}
		points = append(points, history.Point{Machine: o.Machine, MachineNo: o.MachineNo, Model: o.Model, At: o.At, Values: o.Values})
	}
	return points
}

// part compares a stretch of the log, in almost all cases the whole.
func (r *reconciling) part(ctx context.Context, from, end intakelog.LSN) (intakelog.LSN, error) {
	hours := map[machineHour][]entry{}
	entries := 0
	var first, last time.Time // received
	to, err := r.walk(ctx, from, func() intakelog.LSN { return end }, func(b *Batch, points []history.Point) (bool, error) {
		for i := range points {
			at := points[i].At.UnixMicro()
			key := machineHour{points[i].Machine, hourOf(at)}
			hours[key] = append(hours[key], entryOf(&points[i], at))
			entries++
		}
		for i := range b.Observations {
			received := b.Observations[i].Received
			if first.IsZero() || received.Before(first) {
				first = received
			}
			if received.After(last) {
				last = received
			}
		}
		r.out.Records += int64(len(b.Records))
		return entries < reconcilePoints, nil
	})
	if err != nil || entries == 0 {
		return to, err
	}
	expected := map[machineHour]int64{}
	again := map[machineHour]bool{}
	for key, list := range hours {
		n, mixed := distinct(list)
		expected[key] = n
		again[key] = mixed || key.at <= hourOf(first.UnixMicro()) || key.at >= hourOf(last.UnixMicro())-1
	}
	hours = nil
	r.out.Hours += len(expected)
	if r.out.Missing, err = r.compare(ctx, expected, again); err != nil {
		return to, err
	}
	if err := r.rewrite(ctx, from, again); err != nil {
		return to, err
	}
	left, err := r.compare(ctx, expected, nil)
	r.out.Left += left
	return to, err
}

func hourOf(micros int64) int64 {
	const hour = int64(time.Hour / time.Microsecond)
	return (micros - ((micros%hour)+hour)%hour) / hour
}

func entryOf(p *history.Point, at int64) entry {
	hour := int64(time.Hour / time.Microsecond)
	e := entry{offset: uint32(at - hourOf(at)*hour)} //nolint:gosec // below 3.6e9
	values, _ := p.Finite(0)
	for _, v := range values {
		e.values++
		sum := uint32(2166136261) // FNV-1a of each name, added, for their order means nothing
		for i := range len(v.Signal) {
			sum = (sum ^ uint32(v.Signal[i])) * 16777619
		}
		e.signals += uint16(sum>>16) ^ uint16(sum) //nolint:gosec // half of a hash
	}
	return e
}

// distinct counts the values of an hour without those that came again; mixed says
// that two points of one instant had other signals, so that this count may be high.
func distinct(list []entry) (values int64, mixed bool) {
	slices.SortFunc(list, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.signals, b.signals), cmp.Compare(a.values, b.values))
	})
	for i, e := range list {
		if i > 0 && e == list[i-1] {
			continue
		}
		if i > 0 && e.offset == list[i-1].offset {
			mixed = true
			continue // so that it is not high
		}
		values += int64(e.values)
	}
	return values, mixed
}

// compare asks the history hour by hour and marks the hours in which it has less.
func (r *reconciling) compare(ctx context.Context, expected map[machineHour]int64, again map[machineHour]bool) (missing int64, err error) {
	byHour := map[int64][]machineHour{}
	for key := range expected {
		byHour[key.at] = append(byHour[key.at], key)
	}
	for _, at := range sortedKeys(byHour) {
		from := time.Unix(at*3_600, 0).UTC()
		held, err := r.counter.Counts(ctx, from, from.Add(time.Hour))
		if err != nil {
			return missing, err
		}
		for _, key := range byHour[at] {
			if lost := expected[key] - held[key.machine]; lost > 0 {
				missing += lost
				if again != nil {
					again[key] = true
				}
			}
		}
	}
	return missing, nil
}

// rewrite writes the points of marked hours again. It goes on to where the history
// has stored by then, so that of two values of one instant the newer stays.
func (r *reconciling) rewrite(ctx context.Context, from intakelog.LSN, again map[machineHour]bool) error {
	var batch []history.Point
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := r.History.Write(ctx, batch)
		if refused, ok := errors.AsType[*history.RefusedError](err); ok {
			r.out.Refused += int64(len(refused.Refused))
			err = nil
		}
		if err == nil {
			r.out.Rewritten += int64(len(batch))
			batch = batch[:0]
		}
		return err
	}
	_, err := r.walk(ctx, from, r.Stored, func(_ *Batch, points []history.Point) (bool, error) {
		for i := range points {
			if !again[machineHour{points[i].Machine, hourOf(points[i].At.UnixMicro())}] {
				continue
			}
			if batch = append(batch, points[i]); len(batch) == reconcileWrite {
				if err := flush(); err != nil {
					return false, err
				}
			}
		}
		return true, flush() // before the history can be further than this
	})
	return err
}

// starter is a history whose server says between which two instants it was started;
// zero where it does not say.
type starter interface {
	Started(ctx context.Context) (earliest, latest time.Time, err error)
}

// Reconciler reconciles what an earlier run has stored, after each outage of the history and each new
// start of its server, and when it is asked to. Safe for concurrent use.
type Reconciler struct {
	config ReconcileConfig
	status *HistoryStatus

	mu      sync.Mutex
	begun   bool // it is known whether there was an earlier run
	due     bool
	failed  int // reconciliations that failed one after the other
	rest    int // looks that it passes over after them
	outages uint64
	started time.Time     // of the history's server, at the latest; zero: not known
	more    bool          // once more when the history has stored beyond beyond
	beyond  intakelog.LSN // what was on its way when the server had started again
	last    *Reconciliation
}

// NewReconciler returns one that has all before it.
func NewReconciler(c ReconcileConfig, status *HistoryStatus) *Reconciler {
	return &Reconciler{config: c, status: status}
}

// Ask has it reconcile as soon as the history can be written.
func (r *Reconciler) Ask() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.due, r.rest = true, 0
}

// Last is the reconciliation that ended last; false before the first.
func (r *Reconciler) Last() (Reconciliation, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		return Reconciliation{}, false
	}
	return *r.last, true
}

// Run reconciles until ctx ends.
func (r *Reconciler) Run(ctx context.Context) error {
	ticker := time.NewTicker(reconcileEvery)
	defer ticker.Stop()
	for {
		r.runOnce(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// runOnce reconciles if that is due and the history can be written.
func (r *Reconciler) runOnce(ctx context.Context) {
	r.watch(ctx)
	if r.status.Stored() == 0 || r.status.Trouble() != "" || !r.take() {
		return
	}
	found, err := Reconcile(ctx, r.config)
	if err != nil {
		if ctx.Err() != nil {
			return
		}
		found.Error = "the history cannot be reconciled; it is tried again" // what exactly is in the log
		if p := problem.As(err); p != nil {
			found.Error = p.Error()
		}
		r.config.Log.Error("history not reconciled, trying again", "error", err)
	} else if found.Missing > 0 {
		r.config.Log.Warn("history reconciled: it had lost values", "missing", found.Missing, "rewritten", found.Rewritten, "left", found.Left)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.due = &found, r.due || err != nil
	if err == nil {
		r.failed = 0
		return
	}
	r.failed++
	r.rest = min(1<<min(r.failed, 10), reconcileRest)
}

// watch notices that the history's server was started again. A short outage between
// two writes fails none of them, and what the server had not yet put on its disk is
// gone all the same.
func (r *Reconciler) watch(ctx context.Context) {
	server, ok := r.config.History.(starter)
	if !ok {
		return
	}
	earliest, latest, err := server.Started(ctx)
	if err != nil || latest.IsZero() {
		return // whoever writes finds out that it is away
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.started.IsZero() && earliest.After(r.started) {
		r.due, r.more, r.beyond = true, true, r.status.Stored()
	}
	r.started = latest
}

// take says whether a reconciliation is due, and that it is no more.
func (r *Reconciler) take() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.status.begun.Load(); at != nil && !r.begun {
		r.begun, r.due = true, r.due || *at > 0
	}
	if n := r.status.retries.Load(); n != r.outages {
		r.outages, r.due = n, true
	}
	if r.more && r.status.Stored() > r.beyond {
		r.due, r.more = true, false
	}
	if r.rest > 0 {
		r.rest--
		return false
	}
	due := r.due
	r.due = false
	return due
}
