package telemetry

import (
	"errors"

	"github.com/thirdstate/thirdstate/internal/ucum"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// maxConversions bounds the pairs of units that are remembered; senders make units up.
const maxConversions = 10_000

// conversions are how values in senders' units become those of signals.
type conversions map[[2]string]unitConversion

// unitConversion is a conversion, or why there is none.
type unitConversion struct {
	linear   ucum.Linear
	lowest   float64
	unknown  bool  // nobody knows the unit: the value is stored as it comes
	mismatch error // it measures something else
}

// of says how a unit that a sender has named becomes the one of a signal.
func (c conversions) of(unit, canonical string) unitConversion {
	key := [2]string{unit, canonical}
	if known, ok := c[key]; ok {
		return known
	}
	if len(c) >= maxConversions {
		clear(c)
	}
	linear, _, err := ucum.ConvertSpoken(unit, canonical)
	made := unitConversion{linear: linear, lowest: ucum.Lowest(canonical)}
	if _, mismatch := errors.AsType[*ucum.MismatchError](err); mismatch {
		made.mismatch = err
	}
	made.unknown = err != nil && made.mismatch == nil
	c[key] = made
	return made
}

// apply converts a value.
func (c *unitConversion) apply(v *observation.Value) {
	switch {
	case c.unknown:
		if v.Quality == observation.Good {
			v.Quality = observation.Unmapped
		}
		return
	default:
		v.Value = c.linear.Of(v.Value)
	}
	if v.Quality == observation.Good && v.Value < c.lowest {
		v.Quality = observation.Implausible
	}
}

// partUnit is from where on dead letters of values in wrong units are counted among
// the parts of a record.
const partUnit = 7 * formats.MaxFaults

func (p *decodedRecord) refuseUnit(signal string, mismatch error) {
	if len(p.mismatches) == formats.MaxFaults {
		p.unnamed++
		return
	}
	p.mismatches = append(p.mismatches, formats.Fault{Reason: formats.UnitMismatch, Path: signal, Detail: mismatch.Error()})
}

// buryMismatches names the values of a record whose units measure something else than
// their signals; the others are stored.
func (d *decoding) buryMismatches(r *intakelog.Record, p *decodedRecord, parts *RecordParts) {
	for i := range p.mismatches {
		if i == len(p.mismatches)-1 && p.unnamed > 0 {
			p.mismatches[i].AndMore(p.unnamed)
		}
		d.bury(r, p, partUnit+i, p.mismatches[i], parts)
	}
}
