package rules

import (
	"math"
	"slices"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// rateParts is into how many parts the window is cut; each gives one mean, and
// the slope is the median of the slopes between all pairs (Theil-Sen): one wild
// value moves one mean, and one mean cannot move the median.
const rateParts = 16

// rateLeast is how many parts must hold rows before a slope is told.
const rateLeast = 8

type ratePart struct {
	index int64 // number of the part since 1970; 0 = empty
	at    float64
	value float64
	rows  float64
}

// rate: slope of the value over Window outside PerHour.
type rate struct {
	rule  *Rule
	in    input
	width int64
	parts [rateParts]ratePart
	open  int64 // the part that is being filled
	slope float64
	lean  float64 // half of the 80 % interval of the slope
	known bool
	value float64
	rows  int64
}

func newRate(r *Rule, numbers Numbers) Evaluator {
	return &rate{rule: r, in: newInput(r, numbers), width: max(int64(r.Window)/rateParts, 1)}
}

func (t *rate) Observe(row *Row) Judgement {
	x, s := t.in.read(row)
	if s != Calm {
		return Judgement{State: s}
	}
	t.value = x
	t.rows++
	part := row.at/t.width + 1
	if part != t.open {
		t.known, t.slope, t.lean = t.theilSen()
		t.open = part
	}
	p := &t.parts[part%rateParts]
	if p.index != part {
		*p = ratePart{index: part}
	}
	p.rows++
	p.at += (float64(row.at-(part-1)*t.width) - p.at) / p.rows
	p.value += (x - p.value) / p.rows
	return t.judge()
}

func (t *rate) judge() Judgement {
	if !t.known {
		return Judgement{State: Nothing}
	}
	limit := t.rule.PerHour.High
	if t.slope < 0 {
		limit = t.rule.PerHour.Low
	}
	near := 0.0
	if limit != 0 {
		near = math.Max(0, t.slope/limit)
	}
	if t.slope > t.rule.PerHour.High || t.slope < t.rule.PerHour.Low {
		return Judgement{State: Trouble, Nearness: math.Max(1, near)}
	}
	return Judgement{State: Calm, Nearness: math.Min(near, 1)}
}

// theilSen is the slope per hour, and half of its 80 % interval, over the parts
// within the window before the one that opens next.
func (t *rate) theilSen() (known bool, slope, lean float64) {
	var at, value [rateParts]float64
	n := 0
	for i := t.open - rateParts + 1; i <= t.open; i++ {
		if i < 1 {
			continue
		}
		if p := &t.parts[i%rateParts]; p.index == i {
			at[n] = (float64(i-t.open)*float64(t.width) + p.at) / float64(time.Hour)
			value[n] = p.value
			n++
		}
	}
	if n < rateLeast {
		return false, 0, 0
	}
	var slopes [rateParts * (rateParts - 1) / 2]float64
	k := 0
	for i := range n {
		for j := i + 1; j < n; j++ {
			slopes[k] = (value[j] - value[i]) / (at[j] - at[i])
			k++
		}
	}
	slices.Sort(slopes[:k])
	// Sen (1968): ranks of the interval from the variance of Kendall's S.
	ranks := z80 * math.Sqrt(float64(n*(n-1)*(2*n+5))/18)
	low := max(int((float64(k)-ranks)/2), 0)
	return true, (slopes[(k-1)/2] + slopes[k/2]) / 2, (slopes[k-1-low] - slopes[low]) / 2
}

func (t *rate) Tick(time.Time, bool) Judgement { return Judgement{} }

func (t *rate) Evidence(e *Evidence) {
	e.Observed, e.RegimeRows = t.value, int(t.rows)
	hours := t.rule.Window.Hours()
	e.PerDay, e.Deviation, e.Normal = t.slope*24, t.slope*hours, t.value-t.slope*hours
	limit := t.rule.PerHour.High
	if t.slope < 0 {
		limit = t.rule.PerHour.Low
	}
	e.Limit = limit * hours
	e.Low, e.High = e.Normal+math.Min(e.Limit, 0), e.Normal+math.Max(e.Limit, 0)
	e.DaysToLimit = daysTo(t.rule.StopAt, t.value, t.slope*24, t.lean*24)
}

func (t *rate) Snapshot(dst []byte) []byte {
	w := snapshot.Writer{B: dst}
	for i := range t.parts {
		p := &t.parts[i]
		w.Int(p.index)
		w.Float(p.at)
		w.Float(p.value)
		w.Float(p.rows)
	}
	w.Int(t.open)
	w.Float(t.slope)
	w.Float(t.lean)
	w.Bool(t.known)
	w.Float(t.value)
	w.Int(t.rows)
	return w.B
}

func (t *rate) Restore(_ int, b []byte) error {
	r := snapshot.Reader{B: b}
	for i := range t.parts {
		t.parts[i] = ratePart{r.Int(), r.Float(), r.Float(), r.Float()}
	}
	t.open, t.slope, t.lean = r.Int(), r.Float(), r.Float()
	t.known, t.value, t.rows = r.Bool(), r.Float(), r.Int()
	return r.Err
}
