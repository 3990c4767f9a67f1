package rules

// onset says of a figure whether it exceeds every one of the last rows: what goes on
// is told once.
type onset struct {
	peaks [onsetBlocks]float64 // the greatest of each block of rows
	block int
	rows  int // in the present block
}

const (
	onsetRows   = 100
	onsetBlocks = 10
)

// step takes the next figure.
func (o *onset) step(v float64) bool {
	most := 0.0
	for _, p := range o.peaks {
		most = max(most, p)
	}
	if o.rows == onsetRows/onsetBlocks {
		o.rows, o.block = 0, (o.block+1)%onsetBlocks
		o.peaks[o.block] = 0
	}
	o.rows++
	o.peaks[o.block] = max(o.peaks[o.block], v)
	return v > most
}

func (o *onset) snapshot(w *writer) {
	w.floats(o.peaks[:])
	w.int(int64(o.block))
	w.int(int64(o.rows))
}

func (o *onset) restore(r *reader) {
	copy(o.peaks[:], r.floats(onsetBlocks))
	o.block, o.rows = int(r.int()), int(r.int())
	if o.block < 0 || o.block >= onsetBlocks {
		r.take(-1)
		o.block = 0
	}
}
