package intakelog

import (
	"errors"
	"sync"
)

const (
	reserveFile     = "reserve"
	defaultReserve  = 64 << 20
	minReserveSlice = 64 << 10
	allocateAhead   = 4 << 20
)

// reserve is a file that takes up room on the disk, to be given to what is small
// and must be written even when the disk is full: the places of the consumers,
// without which nothing can be deleted. Records never get it.
type reserve struct {
	mu   sync.Mutex
	want int64
	have int64
}

func (r *reserve) bytes() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.have
}

// lent is how much room the reserve wants back before records get any.
func (l *Log) lent() int64 { return l.reserve.want - l.reserve.bytes() }

// small writes something small; on a full disk the reserve makes room for it.
func (l *Log) small(write func() error) error {
	err := write()
	for noRoom(err) && l.makeRoom() {
		err = write()
	}
	return err
}

func (l *Log) makeRoom() bool {
	r := &l.reserve
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.have == 0 {
		return false
	}
	f, err := l.fs.Open(reserveFile, false)
	if err != nil {
		r.have = 0
		return false
	}
	defer f.Close()
	left := max(r.have-max(r.want/64, minReserveSlice), 0)
	if f.Truncate(left) != nil {
		return false
	}
	r.have = left
	l.options.Log.Warn("the disk of the intake log is full: a part of its reserve was given up", "left", left)
	return true
}

// fillReserve takes back what was given up, when there is room for more than that.
func (l *Log) fillReserve() {
	r := &l.reserve
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.have >= r.want {
		return
	}
	if free, err := l.fs.Free(); err != nil || free < r.want-r.have+int64(l.options.CommitBytes) {
		return
	}
	f, err := l.fs.Open(reserveFile, true)
	if err != nil {
		return
	}
	defer f.Close()
	if a, can := f.(allocator); can && a.Allocate(r.have, r.want-r.have, false) == nil {
		r.have = r.want
		return
	}
	_ = f.Truncate(r.have)
	for zeros := make([]byte, min(r.want-r.have, 1<<20)); r.have < r.want; {
		n, err := f.Write(zeros[:min(r.want-r.have, int64(len(zeros)))])
		if r.have += int64(n); err != nil {
			return
		}
	}
}

// limit decides how large the log may grow, how large its segments are, and how
// much of the disk is kept in reserve.
func (l *Log) limit(files []Entry) {
	o, r := &l.options, &l.reserve
	free, err := l.fs.Free()
	for _, s := range l.segments {
		free += s.size
	}
	for _, f := range files {
		if f.Name == reserveFile {
			r.have = f.Size
			free += f.Size
		}
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
		if err == nil {
			o.MaxBytes = min(o.MaxBytes, free/5)
		}
	}
	o.SegmentBytes = max(min(o.SegmentBytes, o.MaxBytes/8), minSegmentBytes)
	switch {
	case o.ReserveBytes > 0:
		r.want = o.ReserveBytes
	case o.ReserveBytes == 0 && err == nil:
		r.want = min(defaultReserve, free/64)
	}
	if r.have > r.want {
		l.shrinkReserve()
	}
}

func (l *Log) shrinkReserve() {
	r := &l.reserve
	if r.want == 0 {
		_ = l.fs.Remove(reserveFile)
		r.have = 0
		return
	}
	f, err := l.fs.Open(reserveFile, false)
	if err == nil {
		if err = errors.Join(f.Truncate(r.want), f.Close()); err == nil {
			r.have = r.want
		}
	}
}
