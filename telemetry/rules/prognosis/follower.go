package prognosis

import "fmt"

// Follower applies a model to one machine, whose first row is taken to be of a new one.
type Follower struct {
	model    *Model
	rows     float64
	tracks   []track
	features []float32
}

// Follow begins with a new machine.
func (m *Model) Follow() *Follower {
	return &Follower{model: m, tracks: make([]track, len(m.Signals)), features: make([]float32, features(len(m.Signals)))}
}

// take shows a row to the tracks; false = in such circumstances nothing was learnt.
func (f *Follower) take(r *Row) bool {
	m := f.model
	x := r.Values[len(m.Signals):]
	g := m.normal.find(x)
	if g == nil {
		return false
	}
	f.rows++
	for s := range f.tracks {
		f.tracks[s].add(m.normal.away(g, s, r.Values[s], x), &m.memory)
	}
	return true
}

// Observe shows the next row of the machine. It says nothing (false) of the very first
// rows, and in circumstances that no life was in.
func (f *Follower) Observe(r *Row) (Estimate, bool) {
	m := f.model
	if !f.take(r) || f.rows < m.memory.fast {
		return Estimate{}, false
	}
	sum := 0.0
	for i := range m.forests {
		sum += m.forests[i].ask(f.features, f.tracks, r.Age, i == 0)
	}
	e := Estimate{Remaining: clamp(sum/float64(len(m.forests)), m.Cap)}
	e.Low, e.High = m.margins.around(e.Remaining, m.Cap)
	e.More = e.High >= m.Cap*(1-1e-9)
	return e, true
}

// Snapshot appends the follower's state, from which Restore goes on bit for bit.
func (f *Follower) Snapshot(dst []byte) []byte {
	w := &writer{dst}
	w.floats(f.rows)
	w.count(len(f.tracks))
	for i := range f.tracks {
		t := &f.tracks[i]
		w.floats(t.n, t.initial, t.fast, t.mid, t.slow)
	}
	return w.b
}

// Restore takes a state that a follower of the same model has written.
func (f *Follower) Restore(b []byte) error {
	r := &reader{b: b}
	rows := r.within(0, 1<<53)
	tracks := make([]track, r.count(len(f.tracks), len(f.tracks)))
	for i := range tracks {
		tracks[i] = track{r.within(0, 1<<53), r.finite(), r.finite(), r.finite(), r.finite()}
	}
	if r.bad || len(r.b) > 0 {
		return fmt.Errorf("the state is not one of a model of %d signals", len(f.tracks))
	}
	f.rows, f.tracks = rows, tracks
	return nil
}
