package machines

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
)

// OperatingHours is the signal of the hour meter.
const OperatingHours = "operating_hours"

const (
	meterSlack   = 0.5              // hours: makers round
	meterConfirm = 10 * time.Minute // how long a lower value must last before it is believed
	meterStep    = 1.0              // hours after which a meter is worth saving
	changedStep  = 0.1              // the same for a meter with a base, whose hours nobody else writes
)

// Meter is how an hour meter stands, and what was counted before it was changed:
// a telematics unit or a control unit that is replaced begins anew.
type Meter struct {
	MachineID uuid.UUID  `db:"machine_id"`
	Base      float64    `db:"base"`
	Last      float64    `db:"last"`
	LastAt    time.Time  `db:"last_at"`
	Low       *float64   `db:"low"` // a lower value that waits to be confirmed
	LowAt     *time.Time `db:"low_at"`
}

// MeterReset says that a meter went back, from what to what.
type MeterReset struct {
	At       time.Time
	From, To float64
}

// Observe takes a value of the meter. save says that it is worth storing, reset
// is not nil when the meter has been changed: the hours before it are kept in Base.
// One low value is a fault of the sender; it must last ten minutes of event time.
func (m *Meter) Observe(at time.Time, v float64, saved float64) (save bool, reset *MeterReset) {
	if math.IsNaN(v) || v < 0 || v > 1e7 || !at.After(m.LastAt) {
		return false, nil
	}
	if v >= m.Last-meterSlack {
		dropped := m.Low != nil
		m.Last, m.LastAt, m.Low, m.LowAt = math.Max(v, m.Last), at, nil, nil
		step := meterStep
		if m.Base > 0 {
			step = changedStep
		}
		return dropped || m.Last-saved >= step, nil
	}
	if m.Low == nil || v < *m.Low-meterSlack {
		m.Low, m.LowAt = &v, &at
		return true, nil
	}
	if at.Sub(*m.LowAt) < meterConfirm {
		return false, nil
	}
	reset = &MeterReset{At: *m.LowAt, From: m.Last, To: *m.Low}
	m.Base += m.Last - *m.Low
	m.Last, m.LastAt, m.Low, m.LowAt = v, at, nil, nil
	return true, reset
}

const loadMetersSQL = `SELECT machine_id, base, last, last_at, low, low_at FROM machine_meter WHERE signal = @signal`

// Meters reads all hour meters.
func Meters(ctx context.Context, db postgres.DB) ([]Meter, error) {
	list, err := postgres.All[Meter](ctx, db, loadMetersSQL, pgx.NamedArgs{"signal": OperatingHours})
	if err != nil {
		return nil, fmt.Errorf("read the hour meters: %w", err)
	}
	return list, nil
}

const saveMetersSQL = `INSERT INTO machine_meter (machine_id, signal, base, last, last_at, low, low_at)
	SELECT * FROM unnest(@ids::uuid[], array_fill(@signal::text, ARRAY[cardinality(@ids::uuid[])]), @bases::float8[], @lasts::float8[], @ats::timestamptz[], @lows::float8[], @lowAts::timestamptz[])
	ON CONFLICT (machine_id, signal) DO UPDATE SET base = excluded.base, last = excluded.last, last_at = excluded.last_at, low = excluded.low, low_at = excluded.low_at`

const changedHoursSQL = `WITH locked AS (SELECT id FROM machine WHERE id = ANY(@ids::uuid[]) ORDER BY id FOR NO KEY UPDATE)
	UPDATE machine m SET operating_hours = GREATEST(m.operating_hours, s.hours)
	FROM locked, unnest(@ids::uuid[], @hours::float8[]) AS s (id, hours) WHERE m.id = locked.id AND m.id = s.id`

// SaveMeters stores meters; the hours of a machine whose meter was changed count on
// from what they were. What a meter says that was never changed is noted by SetSeen.
func SaveMeters(ctx context.Context, db postgres.DB, meters []Meter) error {
	if len(meters) == 0 {
		return nil
	}
	n := len(meters)
	ids, bases, lasts := make([]uuid.UUID, n), make([]float64, n), make([]float64, n)
	var changed []uuid.UUID
	var hours []float64
	ats, lows, lowAts := make([]time.Time, n), make([]*float64, n), make([]*time.Time, n)
	for i, m := range meters {
		ids[i], bases[i], lasts[i], ats[i], lows[i], lowAts[i] = m.MachineID, m.Base, m.Last, m.LastAt, m.Low, m.LowAt
		if m.Base != 0 {
			changed, hours = append(changed, m.MachineID), append(hours, m.Base+m.Last)
		}
	}
	args := pgx.NamedArgs{"ids": ids, "signal": OperatingHours, "bases": bases, "lasts": lasts, "ats": ats, "lows": lows, "lowAts": lowAts}
	if _, err := postgres.Run(ctx, db, saveMetersSQL, args); err != nil {
		return fmt.Errorf("save %d hour meters: %w", n, err)
	}
	if len(changed) == 0 {
		return nil
	}
	if _, err := postgres.Run(ctx, db, changedHoursSQL, pgx.NamedArgs{"ids": changed, "hours": hours}); err != nil {
		return fmt.Errorf("save the hours of %d machines with a changed meter: %w", len(changed), err)
	}
	return nil
}

// NoteReset writes a changed meter into the machine's life.
func NoteReset(ctx context.Context, db postgres.DB, machineID uuid.UUID, r MeterReset) error {
	return AddEvent(ctx, db, LifecycleEvent{MachineID: machineID, At: r.At, Kind: "meter_reset", Actor: "intake", Entity: "machine", EntityID: &machineID,
		Text:   fmt.Sprintf("小时计由 %.1f 变为 %.1f，此前的小时数已计入", r.From, r.To),
		TextEN: fmt.Sprintf("Hour meter went from %.1f to %.1f; the hours before are counted on", r.From, r.To)})
}
