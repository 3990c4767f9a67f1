package telemetry

import (
	"slices"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// settled is what a batch means for the history: the points to write and, for
// each record, what it was.
type settled struct {
	points  []history.Point
	lsns    []intakelog.LSN // of the points
	tally   tally
	letters []DeadLetter
	unknown []UnclaimedMessage
	strays  []intakelog.LSN // records of which something waits to be claimed, and nothing is stored
	doomed  []intakelog.LSN // records of which nothing but dead letters came
	gaps    bool            // the gap ledger is saved with this batch
}

// tally counts records; each is exactly one of these.
type tally struct {
	records, stored, duplicates, dead, unclaimed, refused, ticks, readings int64
}

// settle decides, once for a batch, which observations are new and what each
// record counts as. A message with nothing to store (a status, an attribute)
// counts as stored.
func (h *historian) settle(b *Batch) *settled {
	out := &settled{letters: b.Dead, unknown: b.Unclaimed, points: make([]history.Point, 0, len(b.Observations))}
	next := 0
	repeats := lsnSet{}
	for _, r := range b.Records {
		fresh := 0
		again := h.dedup.Again(r.Origin)
		for ; next < len(b.Observations) && b.Observations[next].LSN == r.LSN; next++ {
			o := &b.Observations[next]
			if again || h.dedup.Seen(&o.Observation) && !r.Replay { // what was seen before need not have been stored: its machine was unknown
				continue
			}
			fresh++
			h.quality.note(o)
			out.tally.readings += int64(len(o.Values))
			out.points = append(out.points, history.Point{Machine: o.Machine, MachineNo: o.MachineNo, Model: o.Model, At: o.At, Values: o.Values})
			out.lsns = append(out.lsns, o.LSN)
		}
		if again {
			repeats[r.LSN] = struct{}{}
			r = RecordParts{LSN: r.LSN, Observations: 1} // whatever it holds, it is here
		}
		out.count(r, fresh)
	}
	out.leaveOut(repeats)
	for i := range b.Numbers {
		h.gaps.note(&b.Numbers[i])
	}
	for device, at := range b.Devices {
		h.devices[device] = at
	}
	return out
}

// leaveOut drops what is said of records that an edge has sent once more.
func (out *settled) leaveOut(repeats lsnSet) {
	if len(repeats) == 0 {
		return
	}
	out.letters = slices.DeleteFunc(slices.Clone(out.letters), func(l DeadLetter) bool { return repeats.has(l.LSN) })
	out.unknown = slices.DeleteFunc(slices.Clone(out.unknown), func(u UnclaimedMessage) bool { return repeats.has(u.LSN) })
}

func (out *settled) count(r RecordParts, fresh int) {
	t := &out.tally
	if r.Tick {
		t.ticks++
		return
	}
	t.records++
	switch {
	case fresh > 0:
		t.stored++
	case r.Unclaimed > 0:
		out.strays = append(out.strays, r.LSN)
	case r.Observations+r.Known > 0:
		t.duplicates++
	case r.Dead > 0:
		out.doomed = append(out.doomed, r.LSN)
	default:
		t.stored++
	}
}

// with adds what the history refused as dead letters of their records. The
// record itself stays counted as stored: other values of it were.
func (out *settled) with(b *Batch, refused []history.Refusal) []DeadLetter {
	if len(refused) == 0 {
		return out.letters
	}
	letters := append([]DeadLetter{}, out.letters...)
	received := map[intakelog.LSN]time.Time{}
	for i := range b.Observations {
		received[b.Observations[i].LSN] = b.Observations[i].Received
	}
	parts := map[intakelog.LSN]int{}
	for _, r := range refused {
		lsn, p := out.lsns[r.Point], &out.points[r.Point]
		if parts[lsn]++; parts[lsn] > formats.MaxFaults {
			continue
		}
		letters = append(letters, DeadLetter{
			LSN: lsn, Part: 4*formats.MaxFaults + parts[lsn], ReceivedAt: received[lsn], Source: HistoryConsumer,
			Device: p.Machine, Payload: []byte{}, Decoder: HistoryConsumer,
		}.blame(r.Fault))
	}
	return letters
}

// settleKept counts the records whose fate the quota decides: kept, or refused.
func (t *tally) settleKept(out *settled, buried, kept lsnSet) {
	for _, lsn := range out.strays {
		switch {
		case kept.has(lsn):
			t.unclaimed++
		case buried.has(lsn):
			t.dead++
		default:
			t.refused++
		}
	}
	for _, lsn := range out.doomed {
		if buried.has(lsn) {
			t.dead++
		} else {
			t.refused++
		}
	}
}
