package telemetry

import (
	"slices"
	"sort"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// settled is what a stretch of the log means for the history: the points to write
// and, for each record, what it was. All lists are in the order of the log.
type settled struct {
	from, to intakelog.LSN // the records after from, up to and including to
	fates    []fate        // one a record
	points   []history.Point
	lsns     []intakelog.LSN // of the points
	letters  []DeadLetter
	unknown  []UnclaimedMessage
	gaps     bool // the gap ledger is saved with it
	crashes  []crashed
}

// crashed is a record over which the program has failed after it was decoded.
type crashed struct {
	lsn   intakelog.LSN
	fault formats.Fault
}

// fate is what became of a record.
type fate struct {
	lsn      intakelog.LSN
	was      recordFate
	readings int64 // values that are new
}

type recordFate uint8

const (
	fateTick   recordFate = iota // written by the program itself
	fateStored                   // or there was nothing to store
	fateDuplicate
	fateStray  // something of it waits to be claimed, and nothing is stored
	fateDoomed // nothing but dead letters came of it
)

// tally counts records; each is exactly one of these.
type tally struct {
	records, stored, duplicates, dead, unclaimed, refused, ticks, readings int64
}

// settle decides, once for a batch, which observations are new and what each
// record counts as. A message with nothing to store (a status, an attribute)
// counts as stored.
func (h *historian) settle(b *Batch) *settled {
	out := &settled{from: b.From, to: b.To, letters: b.Dead, unknown: b.Unclaimed, points: make([]history.Point, 0, len(b.Observations)), fates: make([]fate, 0, len(b.Records))}
	next := 0
	repeats := lsnSet{}
	for _, r := range b.Records {
		first := next
		for next < len(b.Observations) && b.Observations[next].LSN == r.LSN {
			next++
		}
		points := len(out.points)
		f := fate{lsn: r.LSN, was: fateDoomed}
		if crash := formats.Contain(func() { f = h.settleRecord(out, r, b.Observations[first:next], repeats) }); crash != nil {
			out.points, out.lsns = out.points[:points], out.lsns[:points]
			out.crashes = append(out.crashes, crashed{r.LSN, *crash})
		}
		out.fates = append(out.fates, f)
	}
	out.leaveOut(repeats)
	for i := range b.Numbers {
		if crash := formats.Contain(func() { h.gaps.note(&b.Numbers[i]) }); crash != nil {
			out.crashes = append(out.crashes, crashed{b.Numbers[i].LSN, *crash})
		}
	}
	for device, at := range b.Devices {
		h.devices[device] = at
	}
	return out
}

// settleRecord adds what is new of a record to the points.
func (h *historian) settleRecord(out *settled, r RecordParts, observations []Located, repeats lsnSet) fate {
	fresh, readings := 0, int64(0)
	again := h.dedup.Again(r.Origin)
	for i := range observations {
		o := &observations[i]
		if again || h.dedup.Seen(&o.Observation) && !r.Replay { // what was seen before need not have been stored: its machine was unknown
			continue
		}
		fresh++
		h.quality.note(o)
		readings += int64(len(o.Values))
		out.points = append(out.points, history.Point{Machine: o.Machine, MachineNo: o.MachineNo, Model: o.Model, At: o.At, Values: o.Values})
		out.lsns = append(out.lsns, o.LSN)
	}
	if again {
		repeats[r.LSN] = struct{}{}
		r = RecordParts{LSN: r.LSN, Observations: 1} // whatever it holds, it is here
	}
	return fate{r.LSN, fateOf(r, fresh), readings}
}

func fateOf(r RecordParts, fresh int) recordFate {
	switch {
	case r.Tick:
		return fateTick
	case fresh > 0:
		return fateStored
	case r.Unclaimed > 0:
		return fateStray
	case r.Observations+r.Known > 0:
		return fateDuplicate
	case r.Dead > 0:
		return fateDoomed
	}
	return fateStored
}

// part is what the records after one and up to another mean.
func (out *settled) part(from, to intakelog.LSN) *settled {
	fates := cutOut(out.fates, from, to, func(f *fate) intakelog.LSN { return f.lsn })
	points := cutOut(out.lsns, from, to, func(lsn *intakelog.LSN) intakelog.LSN { return *lsn })
	letters := cutOut(out.letters, from, to, func(l *DeadLetter) intakelog.LSN { return l.LSN })
	unknown := cutOut(out.unknown, from, to, func(u *UnclaimedMessage) intakelog.LSN { return u.LSN })
	return &settled{from: from, to: to, fates: out.fates[fates.first:fates.end], points: out.points[points.first:points.end], lsns: out.lsns[points.first:points.end],
		letters: out.letters[letters.first:letters.end], unknown: out.unknown[unknown.first:unknown.end]}
}

type stretch struct{ first, end int }

// cutOut finds the part of a list that lies after one record and up to another.
func cutOut[T any](list []T, from, to intakelog.LSN, of func(*T) intakelog.LSN) stretch {
	after := func(lsn intakelog.LSN) int {
		return sort.Search(len(list), func(i int) bool { return of(&list[i]) > lsn })
	}
	return stretch{after(from), after(to)}
}

// leaveOut drops what is said of records that an edge has sent once more.
func (out *settled) leaveOut(repeats lsnSet) {
	if len(repeats) == 0 {
		return
	}
	out.letters = slices.DeleteFunc(slices.Clone(out.letters), func(l DeadLetter) bool { return repeats.has(l.LSN) })
	out.unknown = slices.DeleteFunc(slices.Clone(out.unknown), func(u UnclaimedMessage) bool { return repeats.has(u.LSN) })
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

// count counts the records, now that it is known of which something was kept: the
// quotas decide that, and what they do not keep is refused.
func (out *settled) count(buried, kept lsnSet) (t tally) {
	for i := range out.fates {
		f := &out.fates[i]
		t.readings += f.readings
		if f.was == fateTick {
			t.ticks++
			continue
		}
		t.records++
		switch {
		case f.was == fateStored:
			t.stored++
		case f.was == fateDuplicate:
			t.duplicates++
		case f.was == fateStray && kept.has(f.lsn):
			t.unclaimed++
		case buried.has(f.lsn):
			t.dead++
		default:
			t.refused++
		}
	}
	return t
}
