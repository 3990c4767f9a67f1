package detection

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// ticks are those in the log from a record on.
func (w *works) ticks(after intakelog.LSN) []telemetry.Tick {
	w.Helper()
	_, last := w.log.Bounds()
	stage := telemetry.NewStage(w.log, w.pool, w.logger())
	var list []telemetry.Tick
	for after < last {
		b, err := stage.Next(w.Context(), after)
		if err != nil {
			w.Fatal(err)
		}
		list, after = append(list, b.Ticks...), b.To
	}
	return list
}

// tickUntil runs a ticker until a time of the program clock is in the log.
func (w *works) tickUntil(ticker *Ticker, jump func()) {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan error, 1)
	_, before := w.log.Bounds()
	go func() { ended <- ticker.Run(ctx) }()
	eventually(w.T, "the first tick", func() bool { _, last := w.log.Bounds(); return last > before })
	jump()
	now := w.clock.Now().Truncate(TickEvery)
	eventually(w.T, "the last tick", func() bool {
		_, last := w.log.Bounds()
		ticks := w.ticks(max(last, 1) - 1)
		return len(ticks) == 1 && !ticks[0].At.Before(now)
	})
	cancel()
	if err := <-ended; err != nil {
		w.Error(err)
	}
}

// TestTicker_FindsSilenceAndExcusesDowntime has a machine fall silent while the
// program listens, while it is down and while its broker is away.
func TestTicker_FindsSilenceAndExcusesDowntime(t *testing.T) {
	w := newWorks(t, intakelog.Options{})
	speak := func() { w.say("M1", `{"values":{"ignition":1,"oil_temp":60}}`) }
	score := 0
	silences := func() int {
		j := w.newJob(t)
		_, last := w.log.Bounds()
		j.run(last, false)
		for _, o := range j.ledger.outcomes {
			for _, s := range o.Seen {
				if s.Score != nil {
					score = s.Score.Points
				}
			}
		}
		return j.ledger.changes("says-nothing", machines.FindingOpened)
	}
	before := goleak.IgnoreCurrent()
	for _, c := range []struct {
		name   string
		happen func()
		want   int
	}{
		{"it speaks, then is silent for less than it may be", func() {
			w.tickUntil(w.ticker(), func() { speak(); w.clock.Advance(14 * time.Minute) })
		}, 0},
		{"it speaks, then the program is down for half a day", func() {
			speak()
			w.clock.Advance(12 * time.Hour)
			w.tickUntil(w.ticker(), func() { w.clock.Advance(14 * time.Minute) })
		}, 0},
		{"it speaks, then the broker is away", func() {
			away := w.ticker()
			away.Away = func() bool { return true }
			w.tickUntil(away, func() { speak(); w.clock.Advance(3 * time.Hour) })
			w.tickUntil(w.ticker(), func() { w.clock.Advance(10 * time.Minute) })
		}, 0},
		{"it is silent for longer than it may be", func() {
			speak()
			w.tickUntil(w.ticker(), func() { w.clock.Advance(time.Hour) })
		}, 1},
	} {
		c.happen()
		if n := silences(); n != c.want {
			t.Errorf("%s: %d findings of silence, not %d", c.name, n, c.want)
		}
	}
	if score != 85 {
		t.Errorf("the silent machine's score is %d", score)
	}
	goleak.VerifyNone(t, before)
}

func TestTicker_WritesEachMinuteOnce(t *testing.T) {
	w := newWorks(t, intakelog.Options{})
	before := goleak.IgnoreCurrent()
	w.tickUntil(w.ticker(), func() {
		for range 100 {
			w.clock.Advance(100 * time.Second)
		}
	})
	for i, tick := range w.ticks(0) {
		if want := start.Add(time.Duration(i) * TickEvery); !tick.At.Equal(want) || tick.Excused != (i == 0) {
			t.Fatalf("tick %d is %+v, not %v", i, tick, want)
		}
	}
	w.tickUntil(w.ticker(), func() { w.clock.Advance(maxTicks*TickEvery + 1000*time.Hour) })
	if n := len(w.ticks(0)); n > maxTicks+200 {
		t.Errorf("%d ticks of one jump", n)
	}
	goleak.VerifyNone(t, before)
}

// told signals each line of a log that holds a text.
type told struct {
	slog.Handler
	text string
	at   chan struct{}
}

func (h told) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, h.text) {
		h.at <- struct{}{}
	}
	return h.Handler.Handle(ctx, r)
}

// TestTicker_GoesOnAfterTheLogWasFull fills the log, waits until the ticker has met
// that, and makes room.
func TestTicker_GoesOnAfterTheLogWasFull(t *testing.T) {
	w := newWorks(t, intakelog.Options{SegmentBytes: 8 << 10, MaxBytes: 64 << 10, Plain: true})
	before := goleak.IgnoreCurrent()
	ticker := w.ticker()
	refused := told{ticker.Log.Handler(), "takes no ticks", make(chan struct{}, 100)}
	ticker.Log = slog.New(refused)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ticker.Run(ctx) }()
	var full intakelog.LSN
	for round := range 2 {
		for {
			lsn, err := w.log.AppendWait(ctx, intakelog.Record{Kind: intakelog.Message, Source: "embedded", Topic: "fleet/M1/telemetry", Payload: make([]byte, 400)})
			if err != nil {
				break
			}
			full = lsn
		}
		w.clock.Advance(3 * time.Minute)
		<-refused.at
		w.clock.Advance(30 * time.Minute) // goes by while the log is full
		if n := len(refused.at); n > 0 {
			t.Errorf("said %d times more than once", n)
		}
		w.log.Release("history", full)
		w.log.Release("rules", full)
		eventually(t, "ticks after there was room", func() bool {
			_, last := w.log.Bounds()
			return last >= full+33
		})
		ticks := w.ticks(full)
		for i, tick := range ticks {
			if want := start.Add(time.Duration(33*round+i+1) * time.Minute); !tick.At.Equal(want) || !tick.Excused {
				t.Errorf("tick %d after the log was full is %+v, not %v and excused", i, tick, want)
			}
		}
		if len(ticks) != 33 {
			t.Errorf("%d ticks after the log was full, not 33", len(ticks))
		}
		_, full = w.log.Bounds()
	}
	w.clock.Advance(5 * time.Minute)
	eventually(t, "ticks as ever", func() bool { _, last := w.log.Bounds(); return last >= full+5 })
	for _, tick := range w.ticks(full) {
		if tick.Excused {
			t.Errorf("%v is excused without a reason", tick.At)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}

// TestTicker_EndsWithItsLogAndWhileItWaits is the program's end.
func TestTicker_EndsWithItsLogAndWhileItWaits(t *testing.T) {
	w := newWorks(t, intakelog.Options{SegmentBytes: 8 << 10, MaxBytes: 16 << 10, Plain: true})
	before := goleak.IgnoreCurrent()
	for w.log.Append(intakelog.Record{Kind: intakelog.Message, Payload: make([]byte, 400)}, nil) == nil {
	}
	ticker := w.ticker()
	refused := told{ticker.Log.Handler(), "takes no ticks", make(chan struct{}, 100)}
	ticker.Log = slog.New(refused)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ticker.Run(ctx) }()
	<-refused.at
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("while it waits for room it ends with %v", err)
	}
	if err := ticker.Write(ctx, w.clock.Now(), start, start.Add(time.Hour)); err != nil {
		t.Errorf("after the end of the program: %v", err)
	}
	go func() { ended <- ticker.Run(t.Context()) }()
	<-refused.at
	if err := w.log.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("when the log is closed it ends with %v", err)
	}
	goleak.VerifyNone(t, before)
}
