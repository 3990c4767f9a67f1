package watchfile

import (
	"math"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// Bounds of what a page keeps: a signal of a machine is so many buckets at most, and
// beyond so many signals of machines nothing more is drawn.
const (
	maxBuckets = 400
	maxTraces  = 4_000
)

// bucket is the rows of one stretch of a chart. Its band is what was known to be
// normal at its first row, NaN = nothing yet.
type bucket struct {
	at         time.Time
	row        int
	low, high  float32
	sum        float64
	n          int
	from, upTo float32
}

// trace is one signal of one machine at the width of a chart: when it is full,
// neighbouring buckets become one.
type trace struct {
	signal  string
	buckets []bucket
	rows    int // of a bucket
	seen    int
}

func (t *trace) add(v float64, at time.Time, row int, band func() (low, high float64)) {
	if t.seen%t.rows == 0 {
		if len(t.buckets) == maxBuckets {
			t.halve()
		}
		low, high := band()
		t.buckets = append(t.buckets, bucket{at: at, row: row, low: float32(v), high: float32(v), from: float32(low), upTo: float32(high)})
	}
	t.seen++
	b := &t.buckets[len(t.buckets)-1]
	b.low, b.high, b.sum, b.n = min(b.low, float32(v)), max(b.high, float32(v)), b.sum+v, b.n+1
}

func (t *trace) halve() {
	for i := range len(t.buckets) / 2 {
		a, b := t.buckets[2*i], t.buckets[2*i+1]
		a.low, a.high, a.sum, a.n = min(a.low, b.low), max(a.high, b.high), a.sum+b.sum, a.n+b.n
		t.buckets[i] = a
	}
	t.buckets, t.rows = t.buckets[:len(t.buckets)/2], 2*t.rows
}

func (b *bucket) mean() float64 { return b.sum / float64(b.n) }

// recording is what a page keeps of one machine.
type recording struct {
	machine  string
	traces   []*trace
	byName   map[string]*trace
	rows     int
	from, to time.Time
	partly   bool // there was no room for all its signals
}

// page collects what a report shows, within bounds, while the rows pass.
type page struct {
	name       string
	zh, timed  bool
	recordings map[string]*recording
	order      []*recording
	traces     int
}

func newPage(name string, zh, timed bool) *page {
	return &page{name: name, zh: zh, timed: timed, recordings: map[string]*recording{}}
}

// row keeps what an instant of a machine says.
func (p *page) row(m *watched, at time.Time) {
	r := p.recordings[m.name]
	if r == nil {
		r = &recording{machine: m.name, byName: map[string]*trace{}, from: at}
		p.recordings[m.name] = r
		p.order = append(p.order, r)
	}
	r.rows, r.to = m.rows, at
	for _, v := range m.values {
		p.value(r, m, v, at)
	}
}

func (p *page) value(r *recording, m *watched, v observation.Value, at time.Time) {
	t := r.byName[v.Signal]
	if t == nil {
		if p.traces == maxTraces {
			r.partly = true
			return
		}
		p.traces++
		t = &trace{signal: v.Signal, rows: 1}
		r.byName[v.Signal] = t
		r.traces = append(r.traces, t)
	}
	t.add(v.Value, at, m.rows, func() (float64, float64) {
		if low, _, high, ok := m.rules.Bands(v.Signal); ok {
			return low, high
		}
		return math.NaN(), math.NaN()
	})
}
