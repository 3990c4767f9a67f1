package demo

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/simulate"
	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/publish"
)

// Config is what the demo needs of the running product. All of it is required
// except Machines, Days, Every and Story.
type Config struct {
	Pool  *postgres.Pool
	Clock *clock.Clock // stands still; the demo moves it
	Log   *slog.Logger

	Broker  string          // where the fleet publishes
	Options publish.Options // with which it signs in there

	// Heard says whether the program takes in what is published there.
	Heard func() bool
	// Ticks writes the ticks of event time in (from, to] to the intake log.
	Ticks func(ctx context.Context, from, to time.Time) error
	// Taken says how many records the intake log has taken since it was opened.
	Taken func() uint64
	// Settle waits until all that is in the log is evaluated and stored.
	Settle func(ctx context.Context) error
	// Housekeeping does what has become due: plans, promises, calls, verifications.
	Housekeeping func(ctx context.Context, now time.Time) error
	// Save keeps the program clock.
	Save func(ctx context.Context) error
	// Live is told when the history is over.
	Live func(at time.Time, took time.Duration)

	Speed    float64       // of the clock after the history
	Machines int           // 0 = the fleet of the story
	Days     int           // of history; 0 = simulate.Days
	Every    time.Duration // between two messages of a machine when live; 0 = 10 s
	Story    bool          // the clock goes ahead by itself and stops where the visitor decides
}

// Start is when the story's history begins, where no other time is asked for: 30
// days before the morning of 4 June that the storyboard tells of.
var Start = time.Date(2026, 6, 4, 6, 10, 0, 0, Zone).AddDate(0, 0, -simulate.Days)

// Zone is the service organisation's.
var Zone = time.FixedZone("UTC+8", 8*3600)

const (
	historyEvery = 10 * time.Minute // between two messages of a machine in the history and in jumps
	liveEvery    = 10 * time.Second
	stepLength   = historyEvery     // of the clock in the history and in jumps
	quietLength  = 3 * historyEvery // while no case is open
	maxJump      = 7 * 24 * time.Hour
)

// Demo is the demonstration of one installation.
type Demo struct {
	Config
	ledger *ledger
	fleet  *simulate.Fleet
	people *people
	at     time.Time // up to here everything has been lived through
	jumps  chan time.Duration
	status atomic.Pointer[Status]
	opened chan struct{} // closed when the first case has been opened
}

// Status is how far the demo is.
type Status struct {
	Phase    string // "history", "live" or "advancing"
	Progress int    // percent of the history or the jump
}

// New seeds what the demo shows, if that has not been done, and goes on where it
// was. Nothing is published before Run.
func New(ctx context.Context, c Config) (*Demo, error) {
	if c.Days <= 0 {
		c.Days = simulate.Days
	}
	if c.Every <= 0 {
		c.Every = liveEvery
	}
	if c.Speed <= 0 {
		c.Speed = 1
	}
	d := &Demo{Config: c, jumps: make(chan time.Duration, 1), opened: make(chan struct{})}
	d.status.Store(&Status{Phase: "history"})
	var err error
	if d.ledger, err = readLedger(ctx, c.Pool); err != nil {
		return nil, err
	}
	if d.ledger == nil {
		d.ledger = &ledger{Start: c.Clock.Now().Truncate(historyEvery), Machines: c.Machines, Seed: 1}
		if err := d.seed(ctx); err != nil {
			return nil, fmt.Errorf("seed the demo: %w", err)
		}
	}
	d.fleet = simulate.NewFleet(d.ledger.Start, fleetOf(d.ledger.Start, d.ledger.Machines), d.ledger.Seed)
	for _, r := range d.ledger.Repairs {
		d.fleet.Repair(r.Machine, r.Mode, r.At, r.Quality)
	}
	if d.people, err = d.meet(ctx); err != nil {
		return nil, fmt.Errorf("find the demo's people: %w", err)
	}
	d.at = c.Clock.Now()
	return d, nil
}

// end is when the history ends and the present begins.
func (d *Demo) end() time.Time { return d.ledger.Start.AddDate(0, 0, d.Days) }

// HistoryLeft is how much of the history has not been lived through yet.
func (d *Demo) HistoryLeft() time.Duration { return max(d.end().Sub(d.at), 0) }

// Status says how far the demo is. Safe for concurrent use.
func (d *Demo) Status() Status { return *d.status.Load() }

// Opened is closed when the first case has been opened.
func (d *Demo) Opened() <-chan struct{} { return d.opened }

// Advance asks for a jump of the clock; the fleet and the people live through it.
func (d *Demo) Advance(by time.Duration) error {
	if by <= 0 || by > maxJump {
		return problem.New(problem.Invalid, "the clock can be moved by at most %v at once", maxJump)
	}
	if d.Status().Phase != "live" {
		return problem.New(problem.Conflict, "the clock is being moved already")
	}
	select {
	case d.jumps <- by:
		return nil
	default:
		return problem.New(problem.Conflict, "the clock is being moved already")
	}
}

// Run lives through the history and then in real time, until ctx ends.
func (d *Demo) Run(ctx context.Context) error {
	publisher, err := publish.Dial(ctx, d.Broker, d.Options)
	if err != nil {
		return unlessOver(ctx, fmt.Errorf("connect the simulated fleet: %w", err))
	}
	wire := d.wireTo(publisher)
	defer func() { _ = publisher.Close() }()
	if err := d.listened(ctx); err != nil {
		return unlessOver(ctx, err)
	}
	began, left := time.Now(), d.HistoryLeft()
	if err := d.through(ctx, wire, "history", d.end()); err != nil {
		return unlessOver(ctx, err)
	}
	d.status.Store(&Status{Phase: "live"})
	if left > 0 {
		d.Live(d.Clock.Now(), time.Since(began))
	}
	if d.Story {
		return unlessOver(ctx, d.story(ctx, wire))
	}
	d.Clock.SetSpeed(d.Speed)
	return unlessOver(ctx, d.live(ctx, wire))
}

// unlessOver is nil where ctx has ended: that is how the demo is ended.
func unlessOver(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// through lives in steps up to an instant.
func (d *Demo) through(ctx context.Context, w *wire, phase string, until time.Time) error {
	from := d.at
	if phase == "history" {
		from = d.ledger.Start
	}
	for d.at.Before(until) {
		d.status.Store(&Status{Phase: phase, Progress: int(100 * d.at.Sub(from) / max(until.Sub(from), 1))})
		length := stepLength
		if d.people.open == 0 {
			length = quietLength
		}
		if err := d.step(ctx, w, earlier(d.at.Add(length).Truncate(historyEvery), until), historyEvery); err != nil {
			return err
		}
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// step lives from d.at to an instant: what the machines say, then the ticks, what
// the rules make of it, what people do, what has become due by then.
func (d *Demo) step(ctx context.Context, w *wire, to time.Time, every time.Duration) error {
	from := d.at
	d.Clock.AdvanceTo(to)
	if err := d.speak(ctx, w, from, to, every); err != nil {
		return err
	}
	if err := d.Ticks(ctx, from, to); err != nil {
		return err
	}
	if err := d.Settle(ctx); err != nil {
		return err
	}
	if err := d.people.play(ctx, from, to); err != nil {
		if ctx.Err() != nil {
			return err
		}
		d.Log.Error("a person of the demo could not act, trying again", "error", err)
	}
	if err := d.Housekeeping(ctx, to); err != nil {
		if ctx.Err() != nil {
			return err
		}
		d.Log.Error("housekeeping failed, trying again", "error", err)
	}
	d.at = to
	if err := d.Save(ctx); err != nil && ctx.Err() == nil {
		d.Log.Error("the program clock could not be saved, trying again", "error", err)
	}
	return ctx.Err()
}

// Login is a person as whom the visitor may come in with one click.
type Login struct{ Login, Name, NameEN, Role string }

// Logins lists them in the order in which they are shown.
func Logins() []Login {
	list := make([]Login, 0, len(logins))
	for _, l := range logins {
		list = append(list, Login{l.login, l.name, l.nameEN, l.role})
	}
	return list
}
