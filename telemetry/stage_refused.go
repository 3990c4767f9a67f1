package telemetry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// blames says whether an error is about what was to be stored, so that somebody's
// record is to blame.
func blames(err error) bool {
	if _, elsewhere := errors.AsType[elsewhereError](err); elsewhere || errors.Is(err, errElsewhere) {
		return false
	}
	return postgres.Refused(err)
}

// storeApart stores a stretch that the database has refused, in ever smaller parts
// and each in a transaction of its own, down to the records that are to blame.
func (h *historian) storeApart(ctx context.Context, b *Batch, out *settled) error {
	return postgres.Isolate(out.fates, func(list []fate) error {
		return h.storeStretch(ctx, b, out.part(h.at, list[len(list)-1].lsn))
	}, func(f fate, why error) error {
		return h.refuse(ctx, out.part(h.at, f.lsn), why)
	})
}

// refuse settles a record that the database does not take as a dead letter with
// its bytes. What else is said of it is kept where that is not to blame; where
// nothing can be kept it is counted as refused.
func (h *historian) refuse(ctx context.Context, out *settled, why error) error {
	f := &out.fates[0]
	if f.was == fateTick || !blames(why) {
		return why
	}
	letter, err := h.letterOf(ctx, f.lsn, RefusalOf(why))
	if err != nil {
		return err
	}
	doomed := []fate{{lsn: f.lsn, was: fateDoomed}}
	for _, kept := range []*settled{
		{from: out.from, to: out.to, fates: doomed, letters: append(append([]DeadLetter{}, out.letters...), letter), unknown: out.unknown},
		{from: out.from, to: out.to, fates: doomed, letters: []DeadLetter{letter}},
		{from: out.from, to: out.to, fates: doomed},
	} {
		if err = h.commit(ctx, kept, kept.letters, nil); !blames(err) {
			break
		}
	}
	if err != nil {
		return err
	}
	h.Log.Error("the database refuses what a record says; the record is kept as a dead letter", "lsn", f.lsn, "topic", letter.Topic, "device", letter.Device, "error", why)
	h.at = out.to
	h.Status.stored.Store(uint64(out.to))
	h.Status.refused.Add(1)
	return nil
}

// buryCrashes adds the dead letters of records over which the program has failed.
func (h *historian) buryCrashes(ctx context.Context, out *settled) error {
	for _, c := range out.crashes {
		letter, err := h.letterOf(ctx, c.lsn, c.fault)
		if err != nil {
			return err
		}
		h.Log.Error("a message made the program fail; it is kept and can be replayed after a fix", "lsn", c.lsn, "topic", letter.Topic, "error", c.fault.Detail)
		h.Status.refused.Add(1)
		after := sort.Search(len(out.letters), func(i int) bool { return out.letters[i].LSN > c.lsn })
		out.letters = slices.Insert(slices.Clone(out.letters), after, letter)
	}
	return nil
}

// letterOf is the dead letter of a record that was refused behind its decoding.
func (h *historian) letterOf(ctx context.Context, lsn intakelog.LSN, why formats.Fault) (DeadLetter, error) {
	records, err := h.Stage.records.Read(ctx, lsn-1, 1, nil)
	if err != nil {
		return DeadLetter{}, fmt.Errorf("read record %d of the intake log: %w", lsn, err)
	}
	if len(records) != 1 || records[0].LSN != lsn { // it was there a moment ago
		records = []intakelog.Record{{LSN: lsn, Source: HistoryConsumer, Received: h.Clock.Now()}}
	}
	return LetterOf(&records[0], HistoryConsumer, partHistory, why), nil
}

// The parts under which letters about whole records stand that readers of the log
// write after they were decoded.
const (
	partHistory = 6 * formats.MaxFaults
	PartLogbook = partHistory + 1
)

// maxRefusal bounds what is told of a refusal, in bytes: it may quote the data.
const maxRefusal = 400

// RefusalOf is the fault that a dead letter names when the database, or the
// program itself, would not write what a record says.
func RefusalOf(why error) formats.Fault {
	f := formats.Fault{Reason: formats.StoreRefused}
	if _, panicked := errors.AsType[*postgres.PanicError](why); panicked {
		f.Reason = formats.Crashed
	}
	if f.Detail = storable(why.Error()); len(f.Detail) > maxRefusal {
		f.Detail = storable(f.Detail[:maxRefusal]) + " …"
	}
	return f
}

// LetterOf is the dead letter of a whole record, with the start of its bytes. part
// keeps apart the letters that different readers write of one record.
func LetterOf(r *intakelog.Record, decoder string, part int, f formats.Fault) DeadLetter {
	return DeadLetter{
		LSN: r.LSN, Part: part, ReceivedAt: r.Received.UTC(), Source: r.Source, Topic: r.Topic, Device: speaker(r.Device, r.Topic),
		Payload: copied(r.Payload), PayloadBytes: int64(len(r.Payload)), Decoder: decoder,
	}.blame(f)
}

// Bury stores dead letters that another reader of the log has found, within the
// quotas, in its transaction. The account counts records by what the history makes
// of them, so that it says nothing of these.
func Bury(ctx context.Context, tx pgx.Tx, log uuid.UUID, letters []DeadLetter) error {
	_, err := bury(ctx, tx, log, letters, defaultQuota())
	return err
}

// saveGapsApart saves the ledger of each machine apart; whose numbers the database
// does not take begins anew.
func (h *historian) saveGapsApart(ctx context.Context) error {
	save := func(ids []uuid.UUID) error {
		return postgres.As(ctx, h.Pool, identity.Program("intake"), func(tx pgx.Tx) error { return h.gaps.saveOf(ctx, tx, ids) })
	}
	err := postgres.Isolate(sortedIDs(h.gaps.dirty), save, func(id uuid.UUID, why error) error {
		h.Log.Error("the gap ledger of a machine cannot be saved and begins anew", "machine", id, "error", why)
		h.gaps.forget(id)
		return nil
	})
	if err != nil {
		return err
	}
	return postgres.As(ctx, h.Pool, identity.Program("intake"), func(tx pgx.Tx) error { return saveGapsPlace(ctx, tx, h.LogID, h.at, h.Clock.Now()) })
}

// saveDevices notes from time to time when devices were heard. It is tried again
// the next time, unless a device's own name is what is refused.
func (h *historian) saveDevices(ctx context.Context) error {
	if len(h.devices) == 0 || time.Since(h.flushed) <= devicesEvery {
		return nil
	}
	err := postgres.Isolate(sortedKeys(h.devices), func(keys []string) error {
		return postgres.As(ctx, h.Pool, identity.Program("intake"), func(tx pgx.Tx) error { return touchDevices(ctx, tx, keys, h.devices) })
	}, func(key string, why error) error {
		h.Log.Error("it cannot be noted when a device was heard", "device", key, "error", why)
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		h.Log.Warn("it is noted later when devices were heard", "error", err)
		return nil
	}
	clear(h.devices)
	h.flushed = time.Now()
	return nil
}
