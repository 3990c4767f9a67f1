package prognosis

import "fmt"

// missingShare of the signals may be without values for long.
const missingShare = 0.25

// Follower applies a model to one machine, from its first row on: a new one, or one that
// is heard of in the middle of its life.
type Follower struct {
	model    *Model
	rows     float64
	began    float64 // age at the first row
	tracks   []track
	absent   []float64 // rows since the last value of each signal
	features []float32
	scratch  []float64
	why      Reason
}

// Follow begins with a machine that has not been heard yet.
func (m *Model) Follow() *Follower {
	n := len(m.Signals)
	return &Follower{model: m, tracks: make([]track, n), absent: make([]float64, n), features: make([]float32, features(n)), scratch: make([]float64, n), why: TooFew}
}

// take shows a row to the tracks; false = in such circumstances nothing was learnt.
func (f *Follower) take(r *Row) bool {
	m := f.model
	x := r.Values[len(m.Signals):]
	g := m.normal.find(x)
	if g == nil {
		return false
	}
	if f.rows == 0 {
		f.began = r.Age
	}
	f.rows++
	for s := range f.tracks {
		f.absent[s]++
		if v := r.Values[s]; v == v {
			f.absent[s] = 0
		}
		f.tracks[s].add(m.normal.away(g, s, r.Values[s], x), &m.memory)
	}
	return true
}

// Observe shows the next row of the machine. Where it says nothing (false), Why says why.
func (f *Follower) Observe(r *Row) (Estimate, bool) {
	var e Estimate
	e, f.why = f.observe(r)
	return e, f.why == ""
}

// Why is the reason for which the last row has no estimate, "" where it has one.
func (f *Follower) Why() Reason { return f.why }

func (f *Follower) observe(r *Row) (Estimate, Reason) {
	m, h := f.model, &f.model.known
	taken := f.take(r)
	if f.began > m.Fresh {
		h = &m.late
	}
	switch {
	case !taken:
		return Estimate{}, Circumstances
	case f.rows < m.memory.fast:
		return Estimate{}, TooFew
	case len(h.forests) == 0:
		return Estimate{}, Begun
	case f.missing():
		return Estimate{}, Missing
	case m.outlook.away(f.tracks, f.scratch) > m.outlook.limit:
		return Estimate{}, Unlike
	}
	sum := 0.0
	for i := range h.forests {
		sum += h.forests[i].ask(f.features, f.tracks, r.Age, i == 0)
	}
	e := Estimate{Remaining: clamp(sum/float64(len(h.forests)), m.Cap)}
	e.Low, e.High = h.margins.around(e.Remaining, m.Cap)
	e.More = e.High >= m.Cap*(1-1e-9)
	return e, ""
}

// missing says whether too much of what was learnt from does not come any more.
func (f *Follower) missing() bool {
	n := 0
	for _, rows := range f.absent {
		if rows > f.model.memory.mid {
			n++
		}
	}
	return float64(n) > missingShare*float64(len(f.absent))
}

// Rows is how many have been taken.
func (f *Follower) Rows() int { return int(f.rows) }

// FromNew says whether the machine is followed from the beginning of its life.
func (f *Follower) FromNew() bool { return f.rows == 0 || f.began <= f.model.Fresh }

// Snapshot appends the follower's state, from which Restore goes on bit for bit.
func (f *Follower) Snapshot(dst []byte) []byte {
	w := &writer{dst}
	w.floats(f.rows, f.began)
	w.count(len(f.tracks))
	for i := range f.tracks {
		t := &f.tracks[i]
		w.floats(t.n, t.initial, t.fast, t.mid, t.slow, f.absent[i])
	}
	return w.b
}

// Restore takes a state that a follower of the same model has written.
func (f *Follower) Restore(b []byte) error {
	r := &reader{b: b}
	rows, began := r.within(0, 1<<53), r.finite()
	n := r.count(len(f.tracks), len(f.tracks))
	tracks, absent := make([]track, n), make([]float64, n)
	for i := range tracks {
		tracks[i] = track{r.within(0, 1<<53), r.finite(), r.finite(), r.finite(), r.finite()}
		absent[i] = r.within(0, 1<<53)
	}
	if r.bad || len(r.b) > 0 {
		return fmt.Errorf("the state is not one of a model of %d signals", len(f.tracks))
	}
	f.rows, f.began, f.tracks, f.absent = rows, began, tracks, absent
	return nil
}
