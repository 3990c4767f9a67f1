// Package pull asks makers' servers for their fleets (ISO/TS 15143-3) and writes
// what they answer into the intake log as it came. It reads no more of an answer
// than the way to the next page: what the documents mean is decoded from the log.
package pull

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// Config is what a Puller needs. Client may be nil.
type Config struct {
	Sources []Source
	Log     *intakelog.Log
	Now     func() time.Time // program clock
	Logger  *slog.Logger
	Client  *http.Client // of tests; nil means one with timeouts
}

// Puller polls each source in its own time. Make one with New.
type Puller struct {
	Config
	feeds []*feed
}

// Status is how a source is doing.
type Status struct {
	Name     string    `json:"name"`
	Polled   time.Time `json:"polledAt"` // wall clock, as Next
	Good     time.Time `json:"goodAt"`
	Next     time.Time `json:"nextAt"`
	Trouble  string    `json:"trouble,omitempty"` // why the last poll failed, "" when it did not
	Polls    uint64    `json:"polls"`
	Failures uint64    `json:"failures"`
	Pages    uint64    `json:"pages"`
	Bytes    uint64    `json:"bytes"`
}

// feed is one source while it is polled.
type feed struct {
	Source
	*Puller
	client *http.Client

	mu     sync.Mutex // guards status
	status Status
	failed int // polls in a row
}

// New makes a puller; the sources must have been checked.
func New(c Config) *Puller {
	p := &Puller{Config: c}
	if p.Client == nil {
		p.Client = &http.Client{Timeout: time.Minute}
	}
	for _, s := range c.Sources {
		p.feeds = append(p.feeds, &feed{Source: s, Puller: p, status: Status{Name: s.Name}})
	}
	return p
}

// Sources tells how each source is doing, in the order of the file.
func (p *Puller) Sources() []Status {
	list := make([]Status, 0, len(p.feeds))
	for _, f := range p.feeds {
		f.mu.Lock()
		list = append(list, f.status)
		f.mu.Unlock()
	}
	return list
}

// Run polls until ctx ends.
func (p *Puller) Run(ctx context.Context) error {
	var g errgroup.Group
	for _, f := range p.feeds {
		g.Go(func() error { return f.run(ctx) })
	}
	return g.Wait()
}

func (f *feed) run(ctx context.Context) error {
	for {
		wait := f.poll(ctx)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

const longestWait = 6 * time.Hour

// poll asks once for all pages and says when to ask again.
func (f *feed) poll(ctx context.Context) (wait time.Duration) {
	began := time.Now()
	got, err := f.runOnce(ctx)
	wait = f.every()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.status
	s.Polls++
	s.Polled, s.Pages, s.Bytes = began, s.Pages+got.pages, s.Bytes+got.bytes
	if err == nil {
		s.Good, s.Trouble, f.failed = began, "", 0
	} else if ctx.Err() == nil {
		s.Failures++
		f.failed++
		s.Trouble = err.Error()
		wait = min(wait<<min(f.failed-1, 5), longestWait)
		if later, ok := errors.AsType[*laterError](err); ok {
			wait = min(max(wait, later.after), 24*time.Hour)
		}
		f.Logger.Warn("a maker's fleet cannot be read, trying again", "source", f.Name, "error", err, "wait", wait)
	}
	s.Next = began.Add(wait)
	return wait
}
