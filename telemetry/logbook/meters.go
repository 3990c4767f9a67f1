package logbook

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
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
	read   map[uuid.UUID]meterRead // from which record those that are dirty were read last
}

type meterRead struct {
	lsn intakelog.LSN
	key string
}

type machineReset struct {
	machine uuid.UUID
	machines.MeterReset
}

// readMeters lets the meters follow the observations of a batch.
func (k *keeper) readMeters(b *telemetry.Batch) metersRead {
	out := metersRead{read: map[uuid.UUID]meterRead{}}
	touched := map[uuid.UUID]*meter{}
	for i := range b.Observations {
		o := &b.Observations[i]
		crash := formats.Contain(func() {
			m, reset := k.readMeter(o)
			if reset != nil {
				out.resets = append(out.resets, machineReset{o.MachineID, *reset})
			}
			if m != nil {
				m.saved = m.Last
				touched[o.MachineID] = m
				out.read[o.MachineID] = meterRead{o.LSN, o.Machine}
			}
		})
		if crash != nil {
			k.fail(o.LSN, o.Machine, crash)
		}
	}
	for _, m := range touched {
		out.dirty = append(out.dirty, m.Meter)
	}
	return out
}

// readMeter is a machine's meter where it is worth saving, nil otherwise.
func (k *keeper) readMeter(o *telemetry.Located) (worth *meter, reset *machines.MeterReset) {
	v, ok := o.Get(machines.OperatingHours)
	if !ok {
		return nil, nil
	}
	m := k.meters[o.MachineID]
	if m == nil {
		m = &meter{Meter: machines.Meter{MachineID: o.MachineID}}
		k.meters[o.MachineID] = m
	}
	save, reset := m.Observe(o.At, v, m.saved)
	if save {
		worth = m
	}
	return worth, reset
}
