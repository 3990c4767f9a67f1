package telemetry

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

const (
	windowBits  = 1_024   // sequence numbers remembered for one boot
	maxBoots    = 8       // boots remembered for one machine
	generations = 262_144 // exact observations in one generation; two are kept
)

// Dedup recognises observations that it has seen before: by machine, boot and
// sequence number in a sliding window, else by machine, instant and values. An
// observation without a time of its own is never a duplicate, because equal
// values are legal. Its size is bounded; what it has forgotten counts as new,
// which the history overwrites with the same. Not safe for concurrent use.
type Dedup struct {
	boots  map[string][]bootWindow // by machine, the boot used last first
	recent map[uint64]struct{}
	older  map[uint64]struct{}

	origin *Origin // asked for last
	again  bool    // and the answer
}

type bootWindow struct {
	boot string
	high uint64
	bits [windowBits / 64]uint64 // bit i: high-i was seen
}

// NewDedup returns an empty memory.
func NewDedup() *Dedup {
	return &Dedup{boots: map[string][]bootWindow{}, recent: map[uint64]struct{}{}, older: map[uint64]struct{}{}}
}

// Seen says whether an observation was seen before and remembers it.
func (d *Dedup) Seen(o *observation.Observation) bool {
	if o.Boot != "" {
		if seen, known := d.window(o.Machine, o.Boot).seen(o.Seq); known {
			return seen
		}
	} else if o.Flags&(observation.NoTime|observation.ClockAhead) != 0 {
		return false
	}
	return d.exact(fingerprint(o))
}

// Again says whether a record that an edge has forwarded was seen before. An edge
// sends in the order of its log, and after a cut from some place on again: what is
// far behind its newest record was seen. All that one record holds is asked for
// with the same pointer.
func (d *Dedup) Again(o *Origin) bool {
	if o == nil || o == d.origin {
		return o != nil && d.again
	}
	seen, known := d.window("edge:"+o.Edge, o.Log.String()).seen(o.LSN)
	d.origin, d.again = o, seen || !known
	return d.again
}

// window returns the window of a boot, making room by the one used longest ago.
func (d *Dedup) window(machine, boot string) *bootWindow {
	list := d.boots[machine]
	for i := range list {
		if list[i].boot == boot {
			if i > 0 {
				list[0], list[i] = list[i], list[0]
			}
			return &list[0]
		}
	}
	if len(list) == maxBoots {
		list = list[:maxBoots-1]
	}
	list = slices.Insert(list, 0, bootWindow{boot: boot})
	d.boots[machine] = list
	return &list[0]
}

// seen marks a number; known is false for one so old that the window cannot tell.
func (w *bootWindow) seen(seq uint64) (seen, known bool) {
	empty := w.bits[0]&1 == 0 // the highest is always marked
	if empty || seq > w.high {
		shift := seq - w.high
		if empty {
			shift = windowBits
		}
		w.shift(shift)
		w.high = seq
		w.bits[0] |= 1
		return false, true
	}
	back := w.high - seq
	if back >= windowBits {
		return false, false
	}
	mask := uint64(1) << (back % 64)
	word := &w.bits[back/64]
	seen = *word&mask != 0
	*word |= mask
	return seen, true
}

// shift moves all marks n numbers back.
func (w *bootWindow) shift(n uint64) {
	if n >= windowBits {
		w.bits = [windowBits / 64]uint64{}
		return
	}
	words, bits := int(n/64), n%64 //nolint:gosec // n is small here
	for i := len(w.bits) - 1; i >= 0; i-- {
		var v uint64
		if i-words >= 0 {
			v = w.bits[i-words] << bits
		}
		if bits > 0 && i-words-1 >= 0 {
			v |= w.bits[i-words-1] >> (64 - bits)
		}
		w.bits[i] = v
	}
}

func (d *Dedup) exact(key uint64) bool {
	if _, ok := d.recent[key]; ok {
		return true
	}
	if _, ok := d.older[key]; ok {
		return true
	}
	if len(d.recent) >= generations {
		d.older, d.recent = d.recent, make(map[uint64]struct{}, 1024)
	}
	d.recent[key] = struct{}{}
	return false
}

// fingerprint is FNV-1a over machine, instant and values: the same in every run.
func fingerprint(o *observation.Observation) uint64 {
	h := hash(14695981039346656037).text(o.Machine).number(uint64(o.At.UnixMicro())) //nolint:gosec // only the bits count
	for i := range o.Values {
		h = h.text(o.Values[i].Signal).number(math.Float64bits(o.Values[i].Value))
	}
	return uint64(h)
}

type hash uint64

func (h hash) text(s string) hash {
	for i := range len(s) {
		h = (h ^ hash(s[i])) * 1099511628211
	}
	return (h ^ 0xff) * 1099511628211
}

func (h hash) number(v uint64) hash {
	for range 8 {
		h = (h ^ hash(v&0xff)) * 1099511628211
		v >>= 8
	}
	return h
}

const dedupVersion = 1

var errDedup = errors.New("the memory of duplicates is damaged")

// Snapshot appends the memory's state to b.
func (d *Dedup) Snapshot(b []byte) []byte {
	b = append(b, dedupVersion)
	b = binary.AppendUvarint(b, uint64(len(d.boots)))
	for _, machine := range sortedKeys(d.boots) {
		b = appendText(b, machine)
		list := d.boots[machine]
		b = binary.AppendUvarint(b, uint64(len(list)))
		for i := range list {
			b = appendText(b, list[i].boot)
			b = binary.BigEndian.AppendUint64(b, list[i].high)
			for _, word := range list[i].bits {
				b = binary.BigEndian.AppendUint64(b, word)
			}
		}
	}
	for _, set := range []map[uint64]struct{}{d.recent, d.older} {
		b = binary.AppendUvarint(b, uint64(len(set)))
		for _, key := range sortedKeys(set) {
			b = binary.BigEndian.AppendUint64(b, key)
		}
	}
	return b
}

// Restore replaces the state by a snapshot's; on an error nothing is changed.
func (d *Dedup) Restore(b []byte) error {
	r := snapshotReader{b: b}
	if r.byte() != dedupVersion {
		return errDedup
	}
	fresh := NewDedup()
	for n := r.uvarint(); n > 0 && r.ok(); n-- {
		machine := r.text()
		count := r.uvarint()
		if count > maxBoots {
			return errDedup
		}
		list := make([]bootWindow, 0, count)
		for ; count > 0 && r.ok(); count-- {
			w := bootWindow{boot: r.text(), high: r.uint64()}
			for i := range w.bits {
				w.bits[i] = r.uint64()
			}
			list = append(list, w)
		}
		fresh.boots[machine] = list
	}
	for _, set := range []map[uint64]struct{}{fresh.recent, fresh.older} {
		for n := r.uvarint(); n > 0 && r.ok(); n-- {
			set[r.uint64()] = struct{}{}
		}
	}
	if !r.ok() || len(r.b) != 0 {
		return errDedup
	}
	*d = *fresh
	return nil
}
