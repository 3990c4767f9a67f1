package rules

func (d *deviation) Snapshot(dst []byte) []byte {
	w := writer{dst}
	b := &d.baseline
	w.bool(b.ready)
	b.fit.snapshot(&w)
	w.floats([]float64{b.level, b.minusMean, b.sigma, b.limit})
	d.smooth.snapshot(&w)
	w.float(d.dev)
	w.float(d.observed)
	w.int(d.onset)
	d.line.snapshot(&w)
	w.int(d.rows)
	if !b.ready {
		d.learn.snapshot(&w)
	}
	return w.b
}

func (d *deviation) Restore(_ int, b []byte) error {
	r := reader{b: b}
	base := &d.baseline
	base.ready = r.bool()
	base.fit.restore(&r)
	if v := r.floats(4); len(v) == 4 {
		base.level, base.minusMean, base.sigma, base.limit = v[0], v[1], v[2], v[3]
	}
	d.smooth.restore(&r)
	d.dev, d.observed, d.onset = r.float(), r.float(), r.int()
	d.line.restore(&r)
	d.rows = r.int()
	if base.ready {
		d.learn = nil
	} else {
		d.learn.restore(&r)
	}
	return r.err
}

func (s *smoothing) snapshot(w *writer) {
	w.int(s.last)
	w.int(s.period)
	w.bool(s.paused)
	w.int(s.passed)
	w.float(s.alpha)
}

func (s *smoothing) restore(r *reader) {
	s.last, s.period, s.paused, s.passed, s.alpha = r.int(), r.int(), r.bool(), r.int(), r.float()
}

func (l *learning) snapshot(w *writer) {
	l.clock.snapshot(w)
	w.float(l.passed)
	w.int(l.rows)
	w.bool(l.fitted)
	w.floats(l.rests)
	w.int(l.stride)
	w.int(l.skip)
	w.floats([]float64{l.last, l.pairs, l.lag, l.square, l.dev, l.strays, l.alphas, l.minus})
}

func (l *learning) restore(r *reader) {
	l.clock.restore(r)
	l.passed, l.rows, l.fitted = r.float(), r.int(), r.bool()
	l.rests, l.stride, l.skip = r.floats(maxRests), r.int(), r.int()
	if v := r.floats(8); len(v) == 8 {
		l.last, l.pairs, l.lag, l.square = v[0], v[1], v[2], v[3]
		l.dev, l.strays, l.alphas, l.minus = v[4], v[5], v[6], v[7]
	}
}
