package sisters

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// version is of the form in which cohorts are kept.
const version = 1

type record struct {
	Version int `json:"version"`
	Cohort
}

// Encode writes a cohort down, in less than MaxBytes.
func (c *Cohort) Encode() ([]byte, error) {
	for n := len(c.Points); ; n /= 2 { // names are a few letters, most often
		b, err := json.Marshal(record{version, Cohort{c.Of, c.At.UTC(), c.Points[:n]}})
		if err != nil {
			return nil, fmt.Errorf("write down the cohort of %s: %w", c.Of, err)
		}
		if len(b) < MaxBytes || n == 0 {
			return b, nil
		}
	}
}

// Decode reads what Encode wrote, by this version of the program or an older one.
func Decode(b []byte) (*Cohort, error) {
	if len(b) >= MaxBytes {
		return nil, fmt.Errorf("a cohort of %d bytes, at most %d", len(b), MaxBytes)
	}
	var r record
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&r); err != nil {
		return nil, fmt.Errorf("is no cohort: %w", err)
	}
	if r.Version != version {
		return nil, fmt.Errorf("the cohort has version %d, this program reads %d", r.Version, version)
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return &r.Cohort, nil
}

func (c *Cohort) check() error {
	switch {
	case c.Of == "" || len(c.Of) > maxName:
		return errors.New("the cohort is of no kind of machine")
	case c.At.Year() < 1970 || c.At.Year() > 2200:
		return fmt.Errorf("the cohort is of the year %d", c.At.Year())
	case len(c.Points) > MaxPoints:
		return fmt.Errorf("the cohort has %d points, at most %d", len(c.Points), MaxPoints)
	case !slices.IsSortedFunc(c.Points, func(a, b Point) int { return a.Compare(b.Subject) }):
		return errors.New("the cohort's points are not in order")
	}
	for i := range c.Points {
		p := &c.Points[i]
		r := &p.Ranks
		sane := (p.Machines == 0 || p.Machines >= Least) && p.Machines <= Most && math.Abs(p.Middle) < 1e300 && p.Spread >= 0 && p.Spread < 1e300 &&
			r.Machines >= max(Least, p.Machines) && r.Machines <= 2*Most && r.Marks[0] >= 0 && slices.IsSorted(r.Marks[:]) && len(p.Rule)+len(p.Signal) <= maxName
		if !sane {
			return fmt.Errorf("the cohort's point %d makes no sense", i+1)
		}
	}
	return nil
}

// placeBytes and rankBytes are lengths in a snapshot.
const (
	placeBytes = 2 + 4*8
	rankBytes  = 2 + 2*8 + 4*marks
)

// Append writes a place down, bit for bit.
func (p *Place) Append(dst []byte) []byte {
	return appendWord(dst, p.Machines, p.At, p.Away, p.Middle, p.Spread)
}

// ReadPlace takes back what Append wrote.
func ReadPlace(b []byte) (p Place, err error) {
	if len(b) != placeBytes {
		return p, errors.New("a place among sisters is cut or damaged")
	}
	readWord(b, &p.Machines, &p.At, &p.Away, &p.Middle, &p.Spread)
	return p, nil
}

// Append writes a rank down, bit for bit.
func (r *Rank) Append(dst []byte) []byte {
	dst = appendWord(dst, r.Machines, r.At, r.Away)
	for _, m := range r.Marks {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(m))
	}
	return dst
}

// ReadRank takes back what Append wrote.
func ReadRank(b []byte) (r Rank, err error) {
	if len(b) != rankBytes {
		return r, errors.New("a rank among sisters is cut or damaged")
	}
	b = readWord(b, &r.Machines, &r.At, &r.Away)
	for i := range r.Marks {
		r.Marks[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return r, nil
}

func appendWord(dst []byte, machines int, at int64, values ...float64) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(machines)) //nolint:gosec // 2 * Most at most
	dst = binary.LittleEndian.AppendUint64(dst, uint64(at))       //nolint:gosec // taken back as it was
	for _, v := range values {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
	}
	return dst
}

// readWord takes back what appendWord wrote, and returns what is behind it.
func readWord(b []byte, machines *int, at *int64, values ...*float64) []byte {
	*machines = int(binary.LittleEndian.Uint16(b))
	*at = int64(binary.LittleEndian.Uint64(b[2:])) //nolint:gosec // as appendWord wrote it
	b = b[10:]
	for i, v := range values {
		*v = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return b[8*len(values):]
}
