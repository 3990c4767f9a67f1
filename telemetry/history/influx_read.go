package history

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	influxhttp "github.com/influxdata/influxdb-client-go/v2/api/http"
	"github.com/influxdata/influxdb-client-go/v2/api/query"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// maxFluxRecords bounds what one query may answer.
const maxFluxRecords = 3_000_000

func asCaller(ctx context.Context, pool *postgres.Pool, who identity.Principal, sql string, machine Ref) (rows []ownedSpan, err error) {
	err = postgres.As(ctx, pool, who, func(tx pgx.Tx) error {
		rows, err = postgres.All[ownedSpan](ctx, tx, sql, pgx.NamedArgs{"key": machine.Key, "no": machine.No, "customer": who.CustomerID})
		return err
	})
	return rows, err
}

// ask runs a Flux query and gives each record of its answer to take.
func (h *Influx) ask(ctx context.Context, flux string, take func(r *query.FluxRecord)) error {
	ctx, cancel := context.WithTimeout(ctx, influxTimeout)
	defer cancel()
	answer, err := h.queries.Query(ctx, flux)
	if err != nil {
		return h.fault("ask InfluxDB", err)
	}
	for n := 0; answer.Next(); n++ {
		if n == maxFluxRecords {
			cancel()
			_ = answer.Close()
			return problem.New(problem.TooLarge, "this is more than %d values: ask for less time or fewer signals", maxFluxRecords)
		}
		take(answer.Record())
	}
	if err := answer.Err(); err != nil {
		return h.fault("read the answer of InfluxDB", &influxhttp.Error{Err: err})
	}
	return nil
}

// number is a record's value; fields that others have written may be integers.
func number(r *query.FluxRecord) (float64, bool) {
	switch v := r.Value().(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	}
	return 0, false
}

// fluxValue is a value, or the quality of one.
type fluxValue struct {
	signal  string
	value   float64
	quality bool
}

// instants collects values by their time.
type instants struct {
	at    map[int64][]fluxValue
	names map[string]string // each signal's name once
}

func newInstants() *instants {
	return &instants{at: map[int64][]fluxValue{}, names: map[string]string{}}
}

func (in *instants) take(r *query.FluxRecord) {
	v, ok := number(r)
	if !ok {
		return
	}
	name, known := in.names[r.Field()]
	if !known {
		name = r.Field()
		in.names[name] = name
	}
	at := r.Time().UnixMicro()
	in.at[at] = append(in.at[at], fluxValue{name, v, r.Measurement() == influxQuality})
}

func (in *instants) observations(machine string) []observation.Observation {
	out := make([]observation.Observation, 0, len(in.at))
	for _, at := range slices.Sorted(maps.Keys(in.at)) {
		o := observation.Observation{Machine: machine, At: time.UnixMicro(at).UTC(), Received: time.UnixMicro(at).UTC(), Values: joinQualities(in.at[at])}
		if len(o.Values) > 0 {
			out = append(out, o)
		}
	}
	return out
}

// joinQualities gives the values in the order of their names, each with its
// quality; a quality without its value is nothing.
func joinQualities(list []fluxValue) []observation.Value {
	slices.SortStableFunc(list, func(a, b fluxValue) int { // qualities come behind
		if a.quality != b.quality && a.signal == b.signal {
			if a.quality {
				return 1
			}
			return -1
		}
		return strings.Compare(a.signal, b.signal)
	})
	values := make([]observation.Value, 0, len(list))
	for _, v := range list {
		last := len(values) - 1
		same := last >= 0 && values[last].Signal == v.signal
		switch {
		case v.quality && same:
			values[last].Quality = observation.Quality(v.value)
		case v.quality:
		case same: // of another series of the machine, with another model
			values[last].Value = v.value
		default:
			values = append(values, observation.Value{Signal: v.signal, Value: v.value})
		}
	}
	return values
}

// Rows reads the first limit values of each signal, which hold all of the first
// limit rows.
func (h *Influx) Rows(ctx context.Context, machine Ref, from, to time.Time, limit int) ([]observation.Observation, error) {
	spans, err := h.spans(ctx, machine)
	if err != nil {
		return nil, err
	}
	limit = boundedLimit(limit)
	var out []observation.Observation
	for _, s := range spans {
		s, some := s.cut(from, to)
		if !some || len(out) >= limit {
			continue
		}
		in := newInstants()
		flux := h.from(s, machine.Key, nil, influxMeasurement, influxQuality) + fmt.Sprintf(` |> limit(n: %d) |> drop(columns: ["_start", "_stop", "machine"])`, limit)
		if err := h.ask(ctx, flux, in.take); err != nil {
			return nil, fmt.Errorf("read rows of %s: %w", machine.Key, err)
		}
		out = append(out, in.observations(machine.Key)...)
	}
	return out[:min(limit, len(out))], nil
}

// lookBack is how far behind now the newest row is looked for, further and further:
// a machine that has been silent for ten years is as good as one that never spoke.
var lookBack = [...]time.Duration{time.Hour, 24 * time.Hour, 8 * 24 * time.Hour, 60 * 24 * time.Hour, 400 * 24 * time.Hour, 3_650 * 24 * time.Hour} //nolint:gochecknoglobals // a constant list

// lookAhead is how far ahead of now a device's clock is believed, and more.
const lookAhead = time.Hour

// Latest reads the newest value of each signal and keeps those of the newest
// instant. It never asks for all time: each window ends where the last one began.
func (h *Influx) Latest(ctx context.Context, machine Ref) (observation.Observation, error) {
	spans, err := h.spans(ctx, machine)
	if err != nil {
		return observation.Observation{}, err
	}
	now := h.now()
	to := now.Add(lookAhead)
	for _, back := range lookBack {
		from := now.Add(-back)
		for _, s := range slices.Backward(spans) {
			s, some := s.cut(from, to)
			if !some {
				continue
			}
			in := newInstants()
			flux := h.from(s, machine.Key, nil, influxMeasurement, influxQuality) + ` |> last() |> drop(columns: ["_start", "_stop", "machine"])`
			if err := h.ask(ctx, flux, in.take); err != nil {
				return observation.Observation{}, fmt.Errorf("read the newest row of %s: %w", machine.Key, err)
			}
			if list := in.observations(machine.Key); len(list) > 0 {
				return list[len(list)-1], nil
			}
		}
		to = from
	}
	return observation.Observation{}, problem.New(problem.NotFound, "machine %s has reported nothing", machine.Key)
}

// Range reads values as they are where they are few enough, else lets InfluxDB
// reduce them to buckets.
func (h *Influx) Range(ctx context.Context, q Query) ([]Series, error) {
	q, err := q.checked()
	if err != nil {
		return nil, err
	}
	all, err := h.spans(ctx, q.Machine)
	if err != nil {
		return nil, err
	}
	var spans []span
	for _, s := range all {
		if s, some := s.cut(q.From, q.To); some {
			spans = append(spans, s)
		}
	}
	ql, err := h.speaksQL(ctx)
	if err != nil {
		return nil, err
	}
	var series []Series
	if ql {
		series, err = h.rangeByQL(ctx, q, spans)
	} else {
		series, err = h.rangeByFlux(ctx, q, spans)
	}
	if err != nil {
		return nil, fmt.Errorf("read the history of %s: %w", q.Machine.Key, err)
	}
	return series, nil
}

func (h *Influx) rangeByFlux(ctx context.Context, q Query, spans []span) ([]Series, error) {
	if q.Width > 0 {
		return h.reducedRange(ctx, q, spans)
	}
	series, few, err := h.rawRange(ctx, q, spans)
	if err == nil && !few {
		series, err = h.reducedRange(ctx, q, spans)
	}
	return series, err
}

func (h *Influx) rangeByQL(ctx context.Context, q Query, spans []span) ([]Series, error) {
	series, most, err := h.reduceByQL(ctx, q, spans)
	switch {
	case err != nil:
		return nil, err
	case most == 0: // CSV does not tell nothing from a query that failed
		return h.rangeByFlux(ctx, q, spans)
	case most <= q.MaxPoints && q.Width == 0:
		series, _, err = h.rawRange(ctx, q, spans)
	}
	return series, err
}

// rawRange reads values as they are; few is false where a signal has too many.
func (h *Influx) rawRange(ctx context.Context, q Query, spans []span) (series []Series, few bool, err error) {
	values := map[string]map[int64]float64{}
	for _, s := range spans {
		flux := h.from(s, q.Machine.Key, q.Signals, influxMeasurement) + fmt.Sprintf(` |> limit(n: %d) |> drop(columns: ["_start", "_stop", "machine"])`, q.MaxPoints+1)
		err := h.ask(ctx, flux, func(r *query.FluxRecord) {
			if v, ok := number(r); ok {
				if values[r.Field()] == nil {
					values[r.Field()] = map[int64]float64{}
				}
				values[r.Field()][r.Time().UnixMicro()] = v
			}
		})
		if err != nil {
			return nil, false, err
		}
	}
	set := seriesSet{}
	for signal, list := range values {
		if len(list) > q.MaxPoints {
			return nil, false, nil
		}
		for _, at := range slices.Sorted(maps.Keys(list)) {
			set.of(signal).add(time.UnixMicro(at), list[at], list[at], list[at])
		}
	}
	return set.list(), true, nil
}

// bucketOf is where a reduced value belongs.
type bucketOf struct {
	signal string
	at     int64
}

const reduceFlux = `data = %s |> window(every: %s, offset: %s)
data |> count() |> drop(columns: ["_stop", "machine"]) |> yield(name: "count")
data |> mean() |> drop(columns: ["_stop", "machine"]) |> yield(name: "mean")
data |> min() |> drop(columns: ["_stop", "machine"]) |> yield(name: "min")
data |> max() |> drop(columns: ["_stop", "machine"]) |> yield(name: "max")`

func (h *Influx) reducedRange(ctx context.Context, q Query, spans []span) ([]Series, error) {
	width := q.bucket()
	offset := time.Duration(q.From.UnixMicro()%width.Microseconds()) * time.Microsecond
	parts := map[bucketOf]map[string]map[string]float64{} // by bucket, model and result
	for _, s := range spans {
		flux := fmt.Sprintf(reduceFlux, h.from(s, q.Machine.Key, q.Signals, influxMeasurement), fluxDuration(width), fluxDuration(offset))
		err := h.ask(ctx, flux, func(r *query.FluxRecord) {
			v, ok := number(r)
			if !ok {
				return
			}
			index := r.Start().Sub(q.From) / width // a span may begin within a bucket
			b := bucketOf{r.Field(), q.From.Add(index * width).UnixMicro()}
			model, _ := r.ValueByKey("model").(string)
			key := s.from.String() + model
			if parts[b] == nil {
				parts[b] = map[string]map[string]float64{}
			}
			if parts[b][key] == nil {
				parts[b][key] = map[string]float64{}
			}
			parts[b][key][r.Result()] = v
		})
		if err != nil {
			return nil, err
		}
	}
	return joined(parts), nil
}

// joined makes one bucket of what several series say of it: their model tags differ.
func joined(parts map[bucketOf]map[string]map[string]float64) []Series {
	buckets := make(map[bucketOf]*summary, len(parts))
	for b, list := range parts {
		var all summary
		for _, p := range list {
			if p["count"] > 0 {
				all.add(p["count"], p["min"], p["mean"], p["max"])
			}
		}
		if all.n > 0 {
			buckets[b] = &all
		}
	}
	return seriesOf(buckets)
}

// seriesOf lists buckets by signal and time.
func seriesOf(buckets map[bucketOf]*summary) []Series {
	keys := make([]bucketOf, 0, len(buckets))
	for b := range buckets {
		keys = append(keys, b)
	}
	slices.SortFunc(keys, func(a, b bucketOf) int {
		return cmp.Or(strings.Compare(a.signal, b.signal), cmp.Compare(a.at, b.at))
	})
	set := seriesSet{}
	for _, b := range keys {
		s := buckets[b]
		set.of(b.signal).add(time.UnixMicro(b.at), s.mean(), s.low, s.high)
	}
	return set.list()
}

// Counts says how many values there are of each machine in a stretch of time.
func (h *Influx) Counts(ctx context.Context, from, to time.Time) (map[string]int64, error) {
	flux := fmt.Sprintf(`from(bucket: %s) |> %s |> filter(fn: (r) => r._measurement == %s) |> count() |> keep(columns: ["machine", "_value"]) |> group(columns: ["machine"]) |> sum()`,
		fluxText(h.bucket), span{from, to}.flux(), fluxText(influxMeasurement))
	counts := map[string]int64{}
	err := h.ask(ctx, flux, func(r *query.FluxRecord) {
		machine, _ := r.ValueByKey("machine").(string)
		if n, ok := number(r); ok {
			counts[machine] += int64(n)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("count the values of %s: %w", from.Format(time.RFC3339), err)
	}
	return counts, nil
}
