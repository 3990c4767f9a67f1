package watcher

import (
	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// onset says of a figure whether it exceeds every one of the last rows, and all but a
// few stretches so far: what goes on is told once, and what comes again and again is
// how the machine is.
type onset struct {
	peaks  [onsetBlocks]float64 // the greatest of each block of rows
	block  int
	rows   int                 // in the present block
	blocks int                 // of the present stretch
	most   float64             // of the present stretch
	record [onsetOften]float64 // the greatest stretches so far, the greatest first
}

const (
	onsetRows   = 100 // of a stretch
	onsetBlocks = 10
	onsetOften  = 8 // stretches as great: no news any more
)

// step takes the next figure.
func (o *onset) step(v float64) bool {
	most := o.record[onsetOften-1]
	for _, p := range o.peaks {
		most = max(most, p)
	}
	if o.rows == onsetRows/onsetBlocks {
		o.rows, o.block = 0, (o.block+1)%onsetBlocks
		o.peaks[o.block] = 0
		if o.blocks++; o.blocks == onsetBlocks {
			o.remember()
		}
	}
	o.rows++
	o.peaks[o.block] = max(o.peaks[o.block], v)
	o.most = max(o.most, v)
	return v > most
}

// remember ends a stretch.
func (o *onset) remember() {
	i := onsetOften - 1
	if o.most > o.record[i] {
		for ; i > 0 && o.record[i-1] < o.most; i-- {
			o.record[i] = o.record[i-1]
		}
		o.record[i] = o.most
	}
	o.blocks, o.most = 0, 0
}

func (o *onset) snapshot(w *snapshot.Writer) {
	w.Floats(o.peaks[:])
	w.Int(int64(o.block))
	w.Int(int64(o.rows))
	w.Int(int64(o.blocks))
	w.Float(o.most)
	w.Floats(o.record[:])
}

func (o *onset) restore(r *snapshot.Reader) {
	copy(o.peaks[:], r.Floats(onsetBlocks))
	o.block, o.rows, o.blocks, o.most = int(r.Int()), int(r.Int()), int(r.Int()), r.Float()
	copy(o.record[:], r.Floats(onsetOften))
	if o.block < 0 || o.block >= onsetBlocks {
		r.Take(-1)
		o.block = 0
	}
}
