package rules

import (
	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

func (d *deviation) Snapshot(dst []byte) []byte {
	w := snapshot.Writer{B: dst}
	b := &d.baseline
	w.Bool(b.ready)
	b.fit.Snapshot(&w)
	w.Floats([]float64{b.level, b.minusMean, b.sigma, b.limit})
	d.smooth.Snapshot(&w)
	w.Float(d.dev)
	w.Float(d.observed)
	w.Int(d.onset)
	d.line.snapshot(&w)
	w.Int(d.rows)
	if !b.ready {
		d.learn.snapshot(&w)
	}
	return w.B
}

func (d *deviation) Restore(_ int, b []byte) error {
	r := snapshot.Reader{B: b}
	base := &d.baseline
	base.ready = r.Bool()
	base.fit.Restore(&r)
	if v := r.Floats(4); len(v) == 4 {
		base.level, base.minusMean, base.sigma, base.limit = v[0], v[1], v[2], v[3]
	}
	d.smooth.Restore(&r)
	d.dev, d.observed, d.onset = r.Float(), r.Float(), r.Int()
	d.line.restore(&r)
	d.rows = r.Int()
	if base.ready {
		d.learn = nil
	} else {
		d.learn.restore(&r)
	}
	return r.Err
}

func (l *learning) snapshot(w *snapshot.Writer) {
	l.clock.Snapshot(w)
	w.Float(l.passed)
	w.Int(l.rows)
	w.Bool(l.fitted)
	w.Floats(l.rests)
	w.Int(l.stride)
	w.Int(l.skip)
	w.Floats([]float64{l.last, l.pairs, l.lag, l.square, l.dev, l.strays, l.alphas, l.minus})
}

func (l *learning) restore(r *snapshot.Reader) {
	l.clock.Restore(r)
	l.passed, l.rows, l.fitted = r.Float(), r.Int(), r.Bool()
	l.rests, l.stride, l.skip = r.Floats(maxRests), r.Int(), r.Int()
	if v := r.Floats(8); len(v) == 8 {
		l.last, l.pairs, l.lag, l.square = v[0], v[1], v[2], v[3]
		l.dev, l.strays, l.alphas, l.minus = v[4], v[5], v[6], v[7]
	}
}
