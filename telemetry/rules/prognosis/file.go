package prognosis

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
)

// A model as bytes: magic, format, SHA-256 of what follows, then the model. The hash
// names it.
const (
	magic    = "thirdstate remaining life\n"
	format   = 2
	header   = len(magic) + 1 + sha256.Size
	MaxBytes = 8 << 20 // of a model as bytes
	maxName  = 200     // bytes of a signal's name
)

// Hash names the model by what is in it: 64 hexadecimal digits.
func (m *Model) Hash() string {
	sum := sha256.Sum256(m.content())
	return hex.EncodeToString(sum[:])
}

// Encode writes the model down. The same model is always the same bytes.
func (m *Model) Encode() []byte {
	content := m.content()
	sum := sha256.Sum256(content)
	b := append(make([]byte, 0, header+len(content)), magic...)
	b = append(b, format)
	b = append(b, sum[:]...)
	return append(b, content...)
}

// Decode reads what Encode wrote. What it gives has been looked at as a whole: it can be
// followed, whatever the bytes were.
func Decode(b []byte) (*Model, error) {
	switch {
	case !bytes.HasPrefix(b, []byte(magic)):
		return nil, errors.New("is not a model of remaining life: thirdstate train writes one")
	case len(b) > MaxBytes:
		return nil, fmt.Errorf("is larger than %d bytes", MaxBytes)
	case len(b) < header:
		return nil, errors.New("is cut")
	case b[len(magic)] != format:
		return nil, fmt.Errorf("has the format %d, this program reads %d: train it anew", b[len(magic)], format)
	}
	content := b[header:]
	if sum := sha256.Sum256(content); !bytes.Equal(sum[:], b[len(magic)+1:header]) {
		return nil, errors.New("is damaged: it is not what its hash says")
	}
	r := &reader{b: content}
	m := r.model()
	if r.bad || len(r.b) > 0 {
		return nil, errors.New("is damaged")
	}
	return m, nil
}

func (m *Model) content() []byte {
	w := &writer{}
	w.names(m.Signals)
	w.names(m.Contexts)
	w.names([]string{m.Unit})
	w.names(slices.DeleteFunc([]string{m.Age}, func(s string) bool { return s == "" }))
	w.texts(m.For, m.Component)
	w.texts(m.Units...)
	w.floats(m.Cap, m.Typical, m.Step, m.Every, m.Fresh, float64(m.Lives), float64(m.Rows))
	w.floats(m.memory.initial, m.memory.fast, m.memory.mid, m.memory.slow)
	w.normal(m.normal)
	w.outlook(&m.outlook)
	w.head(&m.known)
	w.head(&m.late)
	return w.b
}

func (w *writer) head(h *head) {
	w.count(len(h.forests))
	if len(h.forests) == 0 {
		return
	}
	w.floats(h.accuracy.RMSE, h.accuracy.ByAge, h.accuracy.Covered, h.accuracy.Width)
	w.floats(h.margins.low[:]...)
	w.floats(h.margins.high[:]...)
	for i := range h.forests {
		w.forest(&h.forests[i])
	}
}

func (r *reader) head(signals, least int) head {
	var h head
	forests := r.count(least, folds)
	if forests == 0 {
		return h
	}
	h.accuracy = Accuracy{r.within(0, math.MaxFloat32), r.within(0, math.MaxFloat32), r.within(0, 1.000001), r.within(0, math.MaxFloat32)}
	for b := range bands {
		h.margins.low[b] = r.within(-math.MaxFloat32, 0)
	}
	for b := range bands {
		h.margins.high[b] = r.within(0, math.MaxFloat32)
	}
	for range forests {
		h.forests = append(h.forests, r.forest(signals))
	}
	return h
}

func (r *reader) model() *Model {
	m := &Model{Signals: r.names(1, maxSignals), Contexts: r.names(0, maxContext)}
	signals, contexts := len(m.Signals), len(m.Contexts)
	if unit := r.names(1, 1); len(unit) == 1 {
		m.Unit = unit[0]
	}
	for _, age := range r.names(0, 1) {
		m.Age = age
	}
	if texts := r.texts(2); len(texts) == 2 {
		m.For, m.Component = texts[0], texts[1]
	}
	m.Units = r.texts(signals + contexts)
	m.Cap, m.Typical, m.Step = r.above(0), r.above(0), r.within(0, math.MaxFloat32)
	m.Every, m.Fresh = r.within(0, math.MaxFloat32), r.within(0, math.MaxFloat32)
	m.Lives, m.Rows = int(r.within(1, maxLives)), int(r.within(1, 1<<40))
	m.memory = memory{r.within(1, 1<<40), r.within(1, 1<<40), r.within(1, 1<<40), r.within(1, 1<<40)}
	m.normal = r.normal(signals, contexts)
	m.outlook = r.outlook(signals)
	m.known = r.head(signals, 1)
	m.late = r.head(signals, 0)
	m.Accuracy, m.Late = m.known.accuracy, m.late.accuracy
	return m
}

func (w *writer) normal(n *normal) {
	w.list(n.width)
	w.list(n.mean)
	w.list(n.low)
	w.list(n.high)
	w.count(len(n.slope))
	for _, slope := range n.slope {
		w.list(slope)
	}
	w.count(len(n.regime))
	for i := range n.regime {
		w.list(n.regime[i].at)
		w.list(n.regime[i].level)
		w.list(n.regime[i].spread)
	}
}

func (r *reader) normal(signals, contexts int) *normal {
	n := &normal{width: r.list(0, contexts), mean: r.list(0, contexts), low: r.list(0, contexts), high: r.list(0, contexts)}
	for range r.count(0, signals) {
		n.slope = append(n.slope, r.list(contexts, contexts))
	}
	for range r.count(1, mostRegimes) {
		g := regime{at: r.list(0, contexts), level: r.list(signals, signals), spread: r.list(signals, signals)}
		r.need(len(g.at) == len(n.width))
		n.regime = append(n.regime, g)
	}
	switch settings, plane := len(n.width) > 0, len(n.slope) > 0; {
	case contexts == 0:
		r.need(!settings && !plane && len(n.regime) == 1)
	case settings:
		r.need(!plane && len(n.width) == contexts && len(n.mean)+len(n.low)+len(n.high) == 0)
	default:
		r.need(len(n.slope) == signals && len(n.mean) == contexts && len(n.low) == contexts && len(n.high) == contexts && len(n.regime) == 1)
	}
	return n
}

func (w *writer) forest(f *forest) {
	w.list(f.index.slope)
	w.floats(f.index.level, f.base)
	w.count(len(f.trees))
	for i := range f.trees {
		t := &f.trees[i]
		w.count(len(t.nodes))
		for _, n := range t.nodes {
			w.b = binary.LittleEndian.AppendUint16(w.b, n.feature)
			w.b = binary.LittleEndian.AppendUint32(w.b, math.Float32bits(n.limit))
			w.b = append(w.b, byte(n.left), byte(n.right))
		}
		for _, v := range t.leaves {
			w.b = binary.LittleEndian.AppendUint32(w.b, math.Float32bits(v))
		}
	}
}

func (r *reader) forest(signals int) forest {
	f := forest{index: index{slope: r.list(signals, signals), level: r.finite()}, base: r.finite()}
	for range r.count(0, treesPerFold) {
		f.trees = append(f.trees, r.tree(features(signals)))
	}
	return f
}

// tree reads one whose every way ends: a node leads to later nodes or to leaves.
func (r *reader) tree(features int) tree {
	var t tree
	nodes := r.count(0, mostLeaves-1)
	for i := range nodes {
		b := r.take(8)
		if b == nil {
			return t
		}
		n := node{
			feature: binary.LittleEndian.Uint16(b), limit: math.Float32frombits(binary.LittleEndian.Uint32(b[2:])),
			left: int16(int8(b[6])), right: int16(int8(b[7])), //nolint:gosec // as they were written
		}
		ends := func(to int16) bool { return to < 0 && int(^to) <= nodes || int(to) > i && int(to) < nodes }
		r.need(int(n.feature) < features && n.limit == n.limit && ends(n.left) && ends(n.right))
		t.nodes = append(t.nodes, n)
	}
	for range nodes + 1 {
		if b := r.take(4); b != nil {
			v := math.Float32frombits(binary.LittleEndian.Uint32(b))
			r.need(v-v == 0)
			t.leaves = append(t.leaves, v)
		}
	}
	return t
}
