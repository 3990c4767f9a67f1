package edge

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/publish"
)

// Consumer is the name under which the log keeps the place of a Forwarder.
const Consumer = "forward"

// What is on its way to the centre and not acknowledged is bounded, in records and
// in bytes of their payloads.
const (
	inFlight      = 1_000 // the embedded broker takes 1,024
	inFlightBytes = 16 << 20
	readRecords   = 256
)

// Config of a Forwarder; all but Scope is required.
type Config struct {
	ID      string // of this edge: a device of the centre that is a gateway
	URL     string // of the centre's broker
	Options publish.Options
	Log     *intakelog.Log
	Logger  *slog.Logger

	// Scope says for whom a device that had signed in may speak; it may wait until
	// that is known. nil = for any.
	Scope func(ctx context.Context, device string) (names []string, any bool, err error)

	MaxPayload int // larger payloads are cut to CutPayload: nobody would decode them
	CutPayload int
}

// Forwarder publishes every message of the log to the centre, in order, and moves
// its place in the log when the centre has acknowledged. Make one with NewForwarder.
type Forwarder struct {
	Config
	centre *publish.Publisher
	room   chan struct{} // capacity 1: something was acknowledged

	mu     sync.Mutex
	sent   []waiting // oldest first, not acknowledged
	bytes  int
	read   intakelog.LSN // last record that was taken from the log
	at     intakelog.LSN // last record that need not be kept
	passed uint64        // messages that the centre has acknowledged
}

type waiting struct {
	lsn   intakelog.LSN
	wall  time.Time
	came  time.Time // program clock
	bytes int
}

// Status is how the forwarding is doing.
type Status struct {
	At        intakelog.LSN // last record that the centre has
	Waiting   uint64        // records of the log behind it
	InFlight  int           // of these, taken from the log to be sent
	Bytes     int           // of their payloads
	Oldest    time.Time     // wall clock, when the oldest that waits came; zero when none does
	Since     time.Time     // the same by the program clock
	Connected bool
	Trouble   string // why it is not
	Forwarded uint64 // since the start
	Resent    uint64
}

// NewForwarder makes a forwarder that goes on where the last one stopped.
func NewForwarder(c Config) (*Forwarder, error) {
	f := &Forwarder{Config: c, room: make(chan struct{}, 1)}
	f.at = c.Log.Place(Consumer)
	f.read = f.at
	c.Options.InFlight, c.Options.OnSettled, c.Options.Logger = inFlight, f.settle, c.Logger
	centre, err := publish.Start(c.URL, c.Options)
	if err != nil {
		return nil, fmt.Errorf("the centre: %w", err)
	}
	f.centre = centre
	return f, nil
}

// Run forwards until ctx ends. What is not acknowledged then is sent again by the
// next run; the centre knows it again.
func (f *Forwarder) Run(ctx context.Context) error {
	defer f.centre.Close()
	f.Log.Release(Consumer, f.at)
	if first, _ := f.Log.Bounds(); f.at > 0 && first > f.at+1 {
		f.Logger.Error("records were removed from the intake log before they were forwarded", "from", f.at+1, "to", first-1)
	}
	var buf []intakelog.Record
	for {
		records, err := f.Log.Read(ctx, f.read, readRecords, buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the intake log after %d: %w", f.read, err)
		}
		buf = records
		for i := range records {
			if err := f.forward(ctx, &records[i]); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
		}
	}
}

// forward sends one record, when there is room, or passes over what is no message
// from outside.
func (f *Forwarder) forward(ctx context.Context, r *intakelog.Record) error {
	if r.Kind != intakelog.Message || strings.HasPrefix(r.Source, "replay") {
		f.skip(r.LSN)
		return nil
	}
	payload, err := f.seal(ctx, r)
	if err != nil {
		return err
	}
	if err := f.wait(ctx, len(payload)); err != nil {
		return err
	}
	f.mu.Lock()
	f.sent = append(f.sent, waiting{lsn: r.LSN, wall: r.Wall, came: r.Received, bytes: len(payload)})
	f.bytes += len(payload)
	f.read = r.LSN
	f.mu.Unlock()
	if err := f.centre.Publish(ctx, Topic(f.ID), payload); err != nil {
		return fmt.Errorf("forward record %d: %w", r.LSN, err)
	}
	return nil
}

func (f *Forwarder) seal(ctx context.Context, r *intakelog.Record) (sealed []byte, err error) {
	e := Envelope{Log: f.Log.ID(), LSN: uint64(r.LSN), Received: r.Received, Source: r.Source, Device: r.Device, Any: true,
		Topic: r.Topic, Dup: r.Dup, Retained: r.Retained, Will: r.Will, Size: len(r.Payload), Payload: r.Payload}
	if f.Scope != nil && r.Device != "" {
		if e.Names, e.Any, err = f.Scope(ctx, r.Device); err != nil {
			return nil, fmt.Errorf("for whom device %s may speak: %w", r.Device, err)
		}
	}
	if f.MaxPayload > 0 && len(e.Payload) > f.MaxPayload {
		e.Payload = e.Payload[:f.CutPayload]
	}
	return e.Append(make([]byte, 0, len(e.Payload)+256)), nil
}

// wait waits until there is room for one more, which there always is for the first.
func (f *Forwarder) wait(ctx context.Context, size int) error {
	for {
		f.mu.Lock()
		fits := len(f.sent) == 0 || f.bytes+size <= inFlightBytes
		f.mu.Unlock()
		if fits {
			return nil
		}
		select {
		case <-f.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// skip passes over a record; the place moves along when nothing waits before it.
func (f *Forwarder) skip(lsn intakelog.LSN) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.read = lsn
	if len(f.sent) == 0 {
		f.at = lsn
		f.Log.Release(Consumer, lsn)
	}
}

// settle is called when the centre has acknowledged the n oldest.
func (f *Forwarder) settle(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.sent[:n] {
		f.bytes -= w.bytes
	}
	f.at = f.sent[n-1].lsn
	f.sent = append(f.sent[:0], f.sent[n:]...)
	if len(f.sent) == 0 {
		f.at = f.read // nothing but ticks is between
	}
	f.passed += uint64(n) //nolint:gosec // a count
	f.Log.Release(Consumer, f.at)
	select {
	case f.room <- struct{}{}:
	default:
	}
}

// Status says how far the centre is. What has come in this moment and is being
// read counts as waiting.
func (f *Forwarder) Status() Status {
	_, last := f.Log.Bounds()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Status{At: f.at, InFlight: len(f.sent), Bytes: f.bytes, Forwarded: f.passed, Resent: f.centre.Resent()}
	s.Waiting = uint64(max(last, f.at) - f.at)
	if len(f.sent) > 0 {
		s.Oldest, s.Since = f.sent[0].wall, f.sent[0].came
	}
	s.Connected, s.Trouble = f.centre.Connected()
	return s
}
