package logbook

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// share is what a batch says of one machine.
type share struct {
	machine uuid.UUID
	key     string
	entries []entry
	meters  []machines.Meter // at most one
	resets  []machineReset
	meterAt intakelog.LSN // record that the meter was read from last
}

// refusal is records of one machine of which the logbook can keep nothing.
type refusal struct {
	key   string
	lsns  []intakelog.LSN
	fault formats.Fault
}

// shares splits what a batch says by machine, in the order in which they are locked.
func (k *keeper) shares(entries []entry, m metersRead) []share {
	at := map[uuid.UUID]int{}
	var list []share
	of := func(id uuid.UUID) *share {
		i, ok := at[id]
		if !ok {
			i = len(list)
			at[id] = i
			list = append(list, share{machine: id})
		}
		return &list[i]
	}
	for _, e := range entries {
		if _, live := k.live[e.machine]; live {
			s := of(e.machine)
			s.key, s.entries = e.key, append(s.entries, e)
		}
	}
	for _, meter := range m.dirty {
		s := of(meter.MachineID)
		s.meters, s.key, s.meterAt = append(s.meters, meter), m.read[meter.MachineID].key, m.read[meter.MachineID].lsn
	}
	for _, reset := range m.resets {
		s := of(reset.machine)
		s.resets = append(s.resets, reset)
	}
	slices.SortFunc(list, func(a, b share) int { return bytes.Compare(a.machine[:], b.machine[:]) })
	return list
}

// together writes the shares of a batch at once.
func (k *keeper) together(ctx context.Context, tx pgx.Tx, list []share, w *written) error {
	var meters []machines.Meter
	for i := range list {
		meters = append(meters, list[i].meters...)
		for _, r := range list[i].resets {
			if err := machines.NoteReset(ctx, tx, r.machine, r.MeterReset); err != nil {
				return err
			}
		}
		w.resets += len(list[i].resets)
	}
	if err := machines.SaveMeters(ctx, tx, meters); err != nil {
		return err
	}
	return k.writeCodes(ctx, tx, list, w)
}

// apart writes the shares of a batch machine by machine as far as that is needed.
func (k *keeper) apart(ctx context.Context, tx pgx.Tx, list []share, w *written) error {
	return postgres.Isolate(list, func(part []share) error {
		try := &written{told: map[uuid.UUID]told{}}
		err := postgres.Attempt(ctx, tx, func(tx pgx.Tx) error { return k.together(ctx, tx, part, try) })
		if err == nil {
			w.changes, w.dropped, w.resets = w.changes+try.changes, w.dropped+try.dropped, w.resets+try.resets
			w.signals = append(w.signals, try.signals...)
			maps.Copy(w.told, try.told)
		}
		return err
	}, func(one share, why error) error {
		w.refused = append(w.refused, one.refused(why))
		return nil
	})
}

// refused are the records that say something of a machine's codes, else the last
// one that was heard of it.
func (s *share) refused(why error) refusal {
	r := refusal{key: s.key, fault: telemetry.RefusalOf(why)}
	for _, e := range s.entries {
		if e.trouble != nil {
			r.lsns = append(r.lsns, e.lsn)
		}
	}
	if s.meterAt > 0 {
		r.lsns = append(r.lsns, s.meterAt)
	}
	if len(r.lsns) == 0 {
		r.lsns = append(r.lsns, s.entries[len(s.entries)-1].lsn)
	}
	slices.Sort(r.lsns)
	r.lsns = slices.Compact(r.lsns)
	return r
}

// bury keeps refused records as dead letters, whose replay the logbook reads like
// any other message. Those that were read before this start have theirs.
func (k *keeper) bury(ctx context.Context, tx pgx.Tx, list []refusal) error {
	var letters []telemetry.DeadLetter
	for _, r := range list {
		for _, lsn := range r.lsns {
			if lsn <= k.known {
				continue
			}
			records, err := k.Log.Read(ctx, lsn-1, 1, nil)
			if err != nil {
				return fmt.Errorf("read record %d of the intake log: %w", lsn, err)
			}
			if len(records) == 1 && records[0].LSN == lsn {
				letters = append(letters, telemetry.LetterOf(&records[0], Consumer, telemetry.PartLogbook, r.fault))
			}
		}
	}
	slices.SortFunc(letters, func(a, b telemetry.DeadLetter) int { return int(a.LSN) - int(b.LSN) }) //nolint:gosec // of one batch
	letters = slices.CompactFunc(letters, func(a, b telemetry.DeadLetter) bool { return a.LSN == b.LSN })
	return postgres.Isolate(letters, func(part []telemetry.DeadLetter) error {
		return postgres.Attempt(ctx, tx, func(tx pgx.Tx) error { return telemetry.Bury(ctx, tx, k.Log.ID(), part) })
	}, func(d telemetry.DeadLetter, why error) error {
		k.Logger.Error("a dead letter of the logbook cannot be kept", "lsn", d.LSN, "error", why)
		return nil
	})
}
