package telemetry

import (
	"math"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/ucum"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// meanings are what names mean, those of one name in the order in which they held.
type meanings map[string][]meaning

// meaning is what a name means in the records after one and up to another.
type meaning struct {
	after, upTo intakelog.LSN
	ignored     bool
	signal      string
	canonical   string
	linear      ucum.Linear
	lowest      float64 // what is below cannot be
	changes     bool    // the unit is another
}

type mappingRow struct {
	Of        uuid.UUID  `db:"of"` // machine or model
	Raw       string     `db:"raw"`
	Ignored   bool       `db:"ignored"`
	Signal    string     `db:"signal"`
	Unit      string     `db:"unit"`
	Canonical string     `db:"canonical"`
	FromLog   uuid.UUID  `db:"from_log"`
	FromLSN   int64      `db:"from_lsn"`
	ToLog     *uuid.UUID `db:"to_log"`
	ToLSN     *int64     `db:"to_lsn"`
}

const fleetMappingSQL = `SELECT coalesce(machine_id, model_id) AS of, raw, ignored, signal, unit, canonical, from_log, from_lsn, to_log, to_lsn
FROM signal_mapping ORDER BY 1, raw, created_at, id`

// meant gathers the meanings of names by machine or model. What was made before
// this log was begun holds from its start; what ended before never does.
func meant(rows []mappingRow, log uuid.UUID) map[uuid.UUID]meanings {
	out := map[uuid.UUID]meanings{}
	for i := range rows {
		r := &rows[i]
		m := meaning{upTo: math.MaxUint64, ignored: r.Ignored, signal: r.Signal, canonical: r.Canonical, lowest: ucum.Lowest(r.Canonical), changes: r.Unit != r.Canonical}
		if r.FromLog == log {
			m.after = intakelog.LSN(r.FromLSN) //nolint:gosec // never negative
		}
		if r.ToLog != nil {
			if *r.ToLog != log {
				continue
			}
			m.upTo = intakelog.LSN(*r.ToLSN) //nolint:gosec // never negative
		}
		if m.changes && !m.ignored {
			var err error
			if m.linear, err = ucum.Convert(r.Unit, r.Canonical); err != nil {
				continue // refused when it was made: stored as it comes
			}
		}
		if out[r.Of] == nil {
			out[r.Of] = meanings{}
		}
		out[r.Of][r.Raw] = append(out[r.Of][r.Raw], m)
	}
	return out
}

// at is what a name means in a record, nil where nobody has said.
func (of meanings) at(raw string, lsn intakelog.LSN) *meaning {
	list := of[raw]
	for i := len(list) - 1; i >= 0; i-- {
		if m := &list[i]; lsn > m.after && lsn <= m.upTo {
			return m
		}
	}
	return nil
}

// mean gives values as they came the names and units of the model's signals, in
// place. A value that cannot be, such as one below absolute zero, says so. What the
// sender says of its unit counts, unless somebody has said otherwise of the name; who
// names a unit of something else is refused.
func (d *decoding) mean(r *intakelog.Record, p *decodedRecord, m *knownMachine, reading *formats.Reading) []observation.Value {
	kept := reading.Values[:0]
	for i, v := range reading.Values {
		unit := ""
		if i < len(reading.Units) {
			unit = reading.Units[i]
		}
		means := m.meaningOf(v.Signal, r.LSN)
		canonical := m.signals[v.Signal]
		if means != nil {
			canonical = means.canonical
		}
		raw := v.Signal
		switch {
		case means == nil:
		case means.ignored:
			continue
		default:
			v.Signal = means.signal
			if means.changes {
				v.Value, unit = means.linear.Of(v.Value), ""
			}
			if v.Quality == observation.Good && v.Value < means.lowest {
				v.Quality = observation.Implausible
			}
		}
		if unit != "" && unit != canonical && canonical != "" {
			c := d.stage.units.of(unit, canonical)
			if c.mismatch != nil {
				p.refuseUnit(raw, c.mismatch)
				continue
			}
			c.apply(&v)
		}
		kept = append(kept, v)
	}
	return kept
}

func (m *knownMachine) meaningOf(raw string, lsn intakelog.LSN) *meaning {
	if means := m.own.at(raw, lsn); means != nil {
		return means
	}
	return m.models.at(raw, lsn)
}
