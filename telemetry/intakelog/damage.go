package intakelog

import (
	"fmt"
	"path"
	"slices"
)

const (
	corruptDir   = "corrupt"
	corruptBytes = 64 << 20 // copied at most since Open
	maxDamage    = 1_000    // entries listed
)

// Damage is a place of the log that could not be read. Records From to To are
// lost; To < From means that none is. Of a torn tail To is an upper bound: what
// was cut off may have held fewer records, or none that was acknowledged.
type Damage struct {
	Segment  string
	Offset   int64
	Bytes    int64
	From, To LSN
	Reason   string
	Copy     string // the bytes, in the log's folder; "" when they could not be kept
	disk     bool   // it does not give the bytes back: the segment is moved to Copy when nobody needs the rest of it
}

// Damage lists what was found damaged since Open, at most 1,000 places.
func (l *Log) Damage() []Damage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Damage(nil), l.damage...)
}

// isIn says whether a listed damage is this one, or has told of its records.
func (d *Damage) isIn(listed Damage) bool {
	if d.Bytes == 0 {
		return d.From >= listed.From && d.To <= listed.To
	}
	return d.Segment == listed.Segment && d.Offset == listed.Offset && d.To <= listed.To
}

// hurt lists a damage once and copies its bytes away, so that somebody can look
// at them after the segment is gone.
func (l *Log) hurt(s *segment, d Damage) {
	d.Segment = s.name
	l.mu.Lock()
	s.plain, s.sick = true, s.sick || d.disk
	if slices.ContainsFunc(l.damage, d.isIn) {
		l.mu.Unlock()
		return
	}
	room := len(l.damage) < maxDamage
	keep := d.Bytes > 0 && !d.disk && l.copied+d.Bytes <= corruptBytes
	if keep {
		l.copied += d.Bytes
	}
	l.mu.Unlock()
	if keep {
		name, err := l.copyAway(s, d.Offset, d.Bytes)
		if err != nil {
			l.options.Log.Warn("damaged bytes of the intake log could not be copied", "segment", s.name, "error", err)
		}
		d.Copy = name
	}
	if d.disk {
		d.Copy = path.Join(corruptDir, s.name)
	}
	l.options.Log.Error("the intake log is damaged", "segment", s.name, "offset", d.Offset, "bytes", d.Bytes,
		"from_lsn", uint64(d.From), "to_lsn", uint64(d.To), "reason", d.Reason, "copy", d.Copy)
	if room {
		l.mu.Lock()
		l.damage = append(l.damage, d)
		l.mu.Unlock()
	}
}

func (l *Log) copyAway(s *segment, offset, size int64) (string, error) {
	name := path.Join(corruptDir, fmt.Sprintf("%s-%d-%d", s.name, offset, size))
	if f, err := l.fs.Open(name, false); err == nil {
		return name, f.Close() // found in an earlier run
	}
	f, err := l.fileOf(s)
	if err != nil {
		return "", err
	}
	content := make([]byte, size)
	n, _ := f.ReadAt(content, offset)
	if err := l.small(func() error { return replace(l.fs, name, content[:n]) }); err != nil {
		return "", err
	}
	return name, nil
}

// discard deletes the file of a segment that nobody needs. One that the disk
// does not give back is moved away, for somebody who may be able to read it.
func (l *Log) discard(s *segment) error {
	l.mu.Lock()
	keep := s.sick && l.quarantined+s.size <= max(l.options.MaxBytes/8, l.options.SegmentBytes)
	if keep {
		l.quarantined += s.size
	}
	l.mu.Unlock()
	if keep {
		return l.fs.Rename(s.name, path.Join(corruptDir, s.name))
	}
	return l.fs.Remove(s.name)
}
