package lifespan

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/thirdstate/thirdstate/internal/ucum"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/rules/prognosis"
)

// Bounds of one look at a machine.
const (
	windowRows  = 500
	windowTime  = 7 * 24 * time.Hour
	windows     = 8
	rolledUp    = 15 * time.Minute // what PostgreSQL keeps of days that it has pruned
	leastRows   = 20               // after which too wide gaps count
	mostGaps    = 0.5              // share of the rows that may be farther from the one before than they should
	meterAround = 7 * 24 * time.Hour
)

// follow is one machine (or a component) and the model that it is followed by.
type follow struct {
	Lifespan
	state
	model    *prognosis.Model
	every    time.Duration
	ref      history.Ref
	names    []string // signals, then contexts
	convert  []ucum.Linear
	follower *prognosis.Follower
	row      prognosis.Row
	stepped  int
}

// state is what is stored beside what is said.
type state struct {
	Place       time.Time  `db:"place"` // the history before it has been looked at
	LookedAt    time.Time  `db:"looked_at"`
	Behind      bool       `db:"behind"` // more is stored than one look takes
	State       []byte     `db:"state"`
	Meter       *meter     `db:"meter"`
	MeterOffset *float64   `db:"meter_offset"` // what the meter said when the component was installed
	LastRow     *time.Time `db:"last_row"`
	Gaps        float64    `db:"gaps"` // share of rows that were too far from the one before, lately
}

// meter says the age. Own = it is the model's signal: the hour meter stands in for it on
// machines that never sent it.
type meter struct {
	machines.Meter
	Own bool
}

// begin starts anew, at the beginning of the life or where raw values begin.
func (f *follow) begin(from time.Time) {
	f.follower = f.model.Follow()
	f.state = state{Place: from.Truncate(f.every), Meter: &meter{}}
	f.Rows, f.FromNew, f.Age = 0, true, nil
	f.say(prognosis.Estimate{}, string(prognosis.TooFew), time.Time{})
}

// width is how much is read at once.
func (f *follow) width() time.Duration {
	return max(min(windowRows*f.every, windowTime.Truncate(f.every)), f.every)
}

// ahead steps over what is stored before the horizon, at most a few windows of it. The
// place stays behind the last row that was there, so that what a machine sends after it
// was cut off for a window is found.
func (f *follow) ahead(ctx context.Context, h history.Store, horizon time.Time) error {
	if f.model.Age != "" && f.Component != "" && f.MeterOffset == nil {
		if err := f.findOffset(ctx, h); err != nil {
			return err
		}
	}
	horizon = horizon.Truncate(f.every)
	for n := 0; f.Place.Before(horizon); n++ {
		if n == windows {
			f.Behind = true
			return nil
		}
		to := f.Place.Add(f.width())
		if to.After(horizon) {
			to = horizon
		}
		if err := f.window(ctx, h, to); err != nil {
			return err
		}
		if to.Equal(horizon) {
			if f.LastRow != nil && horizon.Sub(*f.LastRow) <= f.width() {
				f.Place = f.LastRow.Add(f.every)
			}
			return nil
		}
		f.Place = to
	}
	return nil
}

// window shows the rows from the place on to the follower.
func (f *follow) window(ctx context.Context, h history.Store, to time.Time) error {
	asked := f.names
	if f.model.Age != "" {
		asked = slices.Concat(asked, f.meters())
	}
	rows := map[time.Time][]float64{}
	for part := range slices.Chunk(asked, 100) { // a query takes no more than 200
		series, err := h.Range(ctx, history.Query{Machine: f.ref, Signals: part, From: f.Place, To: to, Width: f.every})
		if err != nil {
			return fmt.Errorf("read what machine %s said from %s on: %w", f.ref.Key, f.Place.Format(time.RFC3339), err)
		}
		for _, one := range series {
			i := slices.Index(asked, one.Signal)
			for j, at := range one.At {
				row := rows[at]
				if row == nil {
					row = make([]float64, len(asked))
					for k := range row {
						row[k] = math.NaN()
					}
					rows[at] = row
				}
				if i >= 0 {
					row[i] = one.Mean[j]
				}
			}
		}
	}
	ats := make([]time.Time, 0, len(rows))
	for at := range rows {
		ats = append(ats, at)
	}
	slices.SortFunc(ats, time.Time.Compare)
	for _, at := range ats {
		f.step(at, rows[at])
	}
	return nil
}

// step shows one row: what the machine said from an instant on, averaged.
func (f *follow) step(at time.Time, values []float64) {
	age, known := f.ageAt(at, values[len(f.names):])
	if !slices.ContainsFunc(values[:len(f.model.Signals)], func(v float64) bool { return v == v }) {
		return // only the meter has moved
	}
	f.spacing(at)
	if !known {
		f.say(prognosis.Estimate{}, ageUnknown, at)
		return
	}
	if f.Age != nil {
		age = math.Max(age, *f.Age)
	}
	f.Age, f.row.Age = &age, age
	for i := range f.names {
		f.row.Values[i] = f.convert[i].Factor*values[i] + f.convert[i].Offset
	}
	said, _ := f.follower.Observe(&f.row)
	f.stepped++
	f.Rows, f.FromNew = f.follower.Rows(), f.follower.FromNew()
	why := f.follower.Why()
	switch {
	case why == prognosis.Circumstances && (f.Remaining != nil || f.Reason != string(prognosis.TooFew)):
		return // what was said before holds
	case why == "" && f.Rows > leastRows && f.Gaps > mostGaps:
		why = sparse
	}
	f.say(said, string(why), at.Add(f.every))
}

// spacing notes whether rows come as far apart as those that were learnt from; a stop of
// the machine is one gap.
func (f *follow) spacing(at time.Time) {
	if f.LastRow != nil {
		gap := 0.0
		if at.Sub(*f.LastRow) > f.every {
			gap = 1
		}
		f.Gaps += (gap - f.Gaps) / 50
	}
	f.LastRow = &at
}

// ageAt is the age at a row: from the meter, of which the values are, or from the calendar.
func (f *follow) ageAt(at time.Time, meters []float64) (age float64, known bool) {
	if f.model.Age == "" {
		return math.Max(0, at.Sub(f.Since).Hours()), true
	}
	if own := meters[0]; own == own {
		f.own()
		f.Meter.Observe(at, own, f.Meter.Last)
	} else if len(meters) > 1 && !f.Meter.Own {
		f.Meter.Observe(at, meters[1], f.Meter.Last)
	}
	if f.Meter.LastAt.IsZero() || f.Component != "" && f.MeterOffset == nil {
		return 0, false
	}
	age = f.Meter.Base + f.Meter.Last
	if f.MeterOffset != nil {
		age -= *f.MeterOffset
	}
	return math.Max(0, age), true
}

// meters are the signals that may say the age, the model's own first.
func (f *follow) meters() []string {
	if f.model.Unit == prognosis.Hours && f.model.Age != machines.OperatingHours && !f.Meter.Own {
		return []string{f.model.Age, machines.OperatingHours}
	}
	return []string{f.model.Age}
}

// own takes the age from the model's signal from now on: it has come.
func (f *follow) own() {
	if !f.Meter.Own {
		f.Meter, f.MeterOffset, f.Age = &meter{Own: true}, nil, nil
	}
}

// findOffset looks up what the meter said when the component was installed.
func (f *follow) findOffset(ctx context.Context, h history.Store) error {
	series, err := h.Range(ctx, history.Query{Machine: f.ref, Signals: f.meters(), From: f.Since.Add(-meterAround), To: f.Since.Add(meterAround), Width: time.Hour})
	if err != nil {
		return fmt.Errorf("read the meter of machine %s: %w", f.ref.Key, err)
	}
	for _, signal := range f.meters() {
		i := slices.IndexFunc(series, func(one history.Series) bool { return one.Signal == signal && len(one.At) > 0 })
		if i < 0 {
			continue
		}
		if signal == f.model.Age {
			f.own()
		}
		f.MeterOffset = nearest(&series[i], f.Since)
		break
	}
	return nil
}

// nearest is the value that came nearest to an instant.
func nearest(one *history.Series, to time.Time) *float64 {
	best := 0
	for j, at := range one.At {
		if at.Sub(to).Abs() < one.At[best].Sub(to).Abs() {
			best = j
		}
	}
	v := one.Mean[best]
	return &v
}

// conversions turn the machine's units into those of the model; false = they cannot.
func conversions(m *prognosis.Model, names []string, signals []machines.Signal) ([]ucum.Linear, bool) {
	list := make([]ucum.Linear, len(names))
	for i, name := range names {
		list[i] = ucum.Linear{Factor: 1}
		j := slices.IndexFunc(signals, func(s machines.Signal) bool { return s.Name == name })
		if m.Units[i] == "" || j < 0 || signals[j].Unit == "" {
			continue
		}
		l, err := ucum.Convert(signals[j].Unit, m.Units[i])
		if err != nil {
			return nil, false
		}
		list[i] = l
	}
	return list, true
}
