package logbook

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
)

// meter is an hour meter and the value that was saved last.
type meter struct {
	machines.Meter
	saved float64
}

func (k *keeper) openMeters(ctx context.Context, tx pgx.Tx) error {
	list, err := machines.Meters(ctx, tx)
	if err != nil {
		return err
	}
	for _, m := range list {
		m.LastAt = m.LastAt.UTC()
		k.meters[m.MachineID] = &meter{Meter: m, saved: m.Last}
	}
	return nil
}

// metersRead is what a batch means for the hour meters.
type metersRead struct {
	dirty  []machines.Meter
	resets []machineReset
}

type machineReset struct {
	machine uuid.UUID
	machines.MeterReset
}

// readMeters lets the meters follow the observations of a batch.
func (k *keeper) readMeters(b *telemetry.Batch) (out metersRead) {
	touched := map[uuid.UUID]*meter{}
	for i := range b.Observations {
		o := &b.Observations[i]
		v, ok := o.Get(machines.OperatingHours)
		if !ok {
			continue
		}
		m := k.meters[o.MachineID]
		if m == nil {
			m = &meter{Meter: machines.Meter{MachineID: o.MachineID}}
			k.meters[o.MachineID] = m
		}
		save, reset := m.Observe(o.At, v, m.saved)
		if reset != nil {
			out.resets = append(out.resets, machineReset{o.MachineID, *reset})
		}
		if save {
			m.saved = m.Last
			touched[o.MachineID] = m
		}
	}
	for _, m := range touched {
		out.dirty = append(out.dirty, m.Meter)
	}
	return out
}

func (r metersRead) write(ctx context.Context, tx pgx.Tx) error {
	for _, one := range r.resets {
		if err := machines.NoteReset(ctx, tx, one.machine, one.MeterReset); err != nil {
			return err
		}
	}
	return machines.SaveMeters(ctx, tx, r.dirty)
}
