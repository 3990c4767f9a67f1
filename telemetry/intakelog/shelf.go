package intakelog

import (
	"errors"
	"os"
	"slices"
	"sync"
	"syscall"
)

const (
	openSegments = 16 // files that stay open for the next who reads
	spareFiles   = 8  // descriptors held for the time when there are none
)

// fileOf returns the file of a segment that the caller holds, and opens it when
// nobody has.
func (l *Log) fileOf(s *segment) (File, error) {
	l.mu.Lock()
	f := s.file
	l.mu.Unlock()
	if f != nil {
		return f, nil
	}
	f, err := l.fs.Open(s.name, false)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.file != nil {
		_ = f.Close()
		return s.file, nil
	}
	l.shelve(s, f)
	return f, nil
}

// shelve keeps a segment's file open, and closes the one that is open longest
// and idle when there are too many.
func (l *Log) shelve(s *segment, f File) {
	s.file = f
	l.opened = append(l.opened, s)
	if len(l.opened) <= openSegments {
		return
	}
	i := slices.IndexFunc(l.opened, func(o *segment) bool { return o.readers == 0 && o != s && !l.isLast(o) })
	if i >= 0 {
		l.close(l.opened[i])
	}
}

func (l *Log) isLast(s *segment) bool {
	n := len(l.segments)
	return n > 0 && l.segments[n-1] == s
}

// close closes a segment's file when it is open.
func (l *Log) close(s *segment) {
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
	if i := slices.Index(l.opened, s); i >= 0 {
		l.opened = slices.Delete(l.opened, i, i+1)
	}
}

// drop closes a segment's file for good, or leaves that to its last reader.
func (l *Log) drop(s *segment) {
	s.gone = true
	if s.readers == 0 {
		l.close(s)
	}
}

// spared is a folder with some descriptors in hand, so that a process whose
// connections have used them up can still write and read its log.
type spared struct {
	FS
	dir   string
	mu    sync.Mutex
	spare []*os.File
}

func (d *spared) Open(name string, create bool) (f File, err error) {
	for f, err = d.FS.Open(name, create); exhausted(err) && d.giveUp(); {
		f, err = d.FS.Open(name, create)
	}
	return f, err
}

func (d *spared) SyncDir() (err error) {
	for err = d.FS.SyncDir(); exhausted(err) && d.giveUp(); {
		err = d.FS.SyncDir()
	}
	return err
}

// Free is how many bytes the disk still takes.
func (d *spared) Free() (int64, error) {
	if t, tells := d.FS.(interface{ Free() (int64, error) }); tells {
		return t.Free()
	}
	return freeBytes(d.dir)
}

func (d *spared) giveUp() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.spare)
	if n == 0 {
		return false
	}
	_ = d.spare[n-1].Close()
	d.spare = d.spare[:n-1]
	return true
}

// refill takes back what was given up, as far as there is any.
func (d *spared) refill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.spare) < spareFiles {
		f, err := os.Open(d.dir)
		if err != nil {
			return
		}
		d.spare = append(d.spare, f)
	}
}

func (d *spared) release() {
	for {
		if !d.giveUp() {
			return
		}
	}
}

// exhausted says whether an error is the process's lack of means, which says
// nothing of the file.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)
}
