package logbook

import (
	"context"
	"slices"
	"sort"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/j1939"
)

// entry is one thing that a batch says of a machine: a report of its codes, or
// only that it went on.
type entry struct {
	lsn     intakelog.LSN
	machine uuid.UUID
	key     string
	at      time.Time
	trouble *formats.Trouble
}

// entries puts reports and signs of life in the order of the log. Parts of bus
// messages are put together here, because they may come in several records.
func (k *keeper) entries(b *telemetry.Batch) []entry {
	list := make([]entry, 0, len(b.Troubles)+len(b.Observations))
	for i := range b.Troubles {
		t := &b.Troubles[i]
		list = append(list, entry{t.LSN, t.MachineID, t.Key, t.At, &t.Trouble})
	}
	for i := range b.Frames {
		f := &b.Frames[i]
		crash := formats.Contain(func() {
			if t := k.assemble(f); t != nil {
				list = append(list, entry{f.LSN, f.MachineID, f.Key, t.At, t})
			}
		})
		if crash != nil {
			delete(k.buses, f.MachineID)
			k.fail(f.LSN, f.Key, crash)
		}
	}
	for i := range b.Observations {
		o := &b.Observations[i]
		list = append(list, entry{o.LSN, o.MachineID, o.Machine, o.At, nil})
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].lsn < list[j].lsn })
	for i := range list {
		if t := list[i].trouble; t != nil && len(t.Codes) > 0 {
			k.live[list[i].machine] = struct{}{}
		}
	}
	return list
}

// assemble gives the report that a frame completes, nil where there is none.
func (k *keeper) assemble(f *telemetry.LocatedFrame) *formats.Trouble {
	bus := k.buses[f.MachineID]
	if bus == nil {
		if len(k.buses) >= maxBuses {
			clear(k.buses)
		}
		bus = &j1939.Assembler{}
		k.buses[f.MachineID] = bus
	}
	lost := bus.Lost()
	m, whole := bus.Add(f.Frame.Frame)
	k.Status.lost.Add(uint64(bus.Lost() - lost)) //nolint:gosec // never less
	if !whole || m.PGN != j1939.PGNActive && m.PGN != j1939.PGNPrevious {
		return nil
	}
	r, err := j1939.ReadReport(m, f.Conversion)
	if err != nil {
		k.Logger.Warn("a message of several frames is no list of trouble codes", "machine", f.Key, "lsn", f.LSN, "error", err)
		return nil
	}
	t := formats.TroubleOf(f.Key, m.At, r)
	return &t
}

// concerns says whether a batch may change a code's life. A machine that never had
// a code costs nothing, however often it says that it has none.
func (k *keeper) concerns(entries []entry) bool {
	return slices.ContainsFunc(entries, func(e entry) bool { _, live := k.live[e.machine]; return live })
}

// fail notes a record over which the program has failed.
func (k *keeper) fail(lsn intakelog.LSN, key string, crash *formats.Fault) {
	k.failed = append(k.failed, refusal{key: key, lsns: []intakelog.LSN{lsn}, fault: *crash})
}

// writeCodes lets the codes live through a batch, and finds out what the rules are told.
func (k *keeper) writeCodes(ctx context.Context, tx pgx.Tx, list []share, w *written) error {
	var ids []uuid.UUID
	for i := range list {
		if len(list[i].entries) > 0 {
			ids = append(ids, list[i].machine)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	book, err := machines.LoadTrouble(ctx, tx, ids)
	if err != nil {
		return err
	}
	s := signals{keeper: k, book: book, told: w.told}
	for i := range list {
		for _, e := range list[i].entries {
			news := e.trouble != nil && book.Report(report(e), postgres.NewID)
			book.Heard(e.machine, e.at)
			s.note(e, news)
		}
	}
	if err := book.Save(ctx, tx); err != nil {
		return err
	}
	w.changes, w.dropped, w.signals = len(book.Changes()), book.Dropped(), s.records
	return nil
}

// report is a message's word in the terms of the machine file.
func report(e entry) machines.TroubleReport {
	t := e.trouble
	r := machines.TroubleReport{MachineID: e.machine, At: t.At, Protocol: t.Protocol, SourceAddress: some(t.Source), Whole: t.Whole, Previous: t.Previous, Period: t.Period}
	for _, c := range t.Codes {
		r.Codes = append(r.Codes, machines.ReportedCode{On: c.Active, Since: c.Since, TroubleCode: machines.TroubleCode{
			Code: c.Code, SPN: some(c.SPN), FMI: some(c.FMI), UnitCount: some(c.Count), Severity: c.Severity, Description: c.TextZH, DescriptionEN: c.Text,
			MIL: c.Lamps.MIL, RedStop: c.Lamps.RedStop, AmberWarning: c.Lamps.AmberWarning, Protect: c.Lamps.Protect,
		}})
	}
	return r
}

func some(n int) *int {
	if n < 0 {
		return nil
	}
	return &n
}
