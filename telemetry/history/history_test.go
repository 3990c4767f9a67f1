package history

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/longform"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/telemetrytest"
)

// shelf is one history under test, with a machine of its own.
type shelf struct {
	Store
	pool    *postgres.Pool
	machine uuid.UUID
	ref     Ref
}

// claims are what every history must do. Each gets its own machine.
var claims = []struct {
	name  string
	check func(t *testing.T, s shelf)
}{
	{"GivesBackRowsInTheOrderOfTime", rowsInOrder},
	{"MergesTheSignalsOfOneInstant", mergesInstants},
	{"TakesTheLaterValue", takesLaterValue},
	{"StoresTheSameTwiceAsOnce", storesTwiceAsOnce},
	{"KeepsQuality", keepsQuality},
	{"KnowsTheNewestRow", knowsNewest},
	{"KeepsUnusualNames", keepsUnusualNames},
	{"KeepsUnusualNumbers", keepsUnusualNumbers},
	{"NeverStoresWhatIsNotFinite", neverStoresNaN},
	{"GivesFewPointsAsTheyAre", givesRawPoints},
	{"ReducesManyPoints", reducesPoints},
	{"ReducesToTheWidthThatIsAskedFor", reducesToWidth},
	{"ReducesNumbersThatNoSumHolds", reducesGreatNumbers},
	{"GivesTheSignalsThatAreAskedFor", givesAskedSignals},
	{"SurvivesANewModel", survivesNewModel},
	{"ShowsAnOwnerHisTime", showsOwnerHisTime},
	{"ShowsNobodyNothing", showsNobodyNothing},
	{"RefusesOwnersThatWrite", refusesOwnersThatWrite},
	{"RefusesWhatMakesNoSense", refusesNonsense},
}

func TestHistory_PostgreSQL(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	conform(t, NewPostgres(pool), pool)
}

func TestHistory_InfluxDB(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	conform(t, openInflux(t, telemetrytest.ShareInflux(t), InfluxConfig{Pool: pool}), pool)
}

// TestHistory_InfluxDBByFlux asks as InfluxDB 2 is asked, which does not say that it
// speaks InfluxQL.
func TestHistory_InfluxDBByFlux(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	h := openInflux(t, telemetrytest.ShareInflux(t), InfluxConfig{Pool: pool})
	version := "v2.7.12"
	h.version.Store(&version)
	conform(t, h, pool)
}

func conform(t *testing.T, h Store, pool *postgres.Pool) {
	for i, c := range claims {
		t.Run(c.name, func(t *testing.T) {
			machine, ref := addMachine(t, pool, fmt.Sprintf("PM-%d", i))
			c.check(t, shelf{Store: h, pool: pool, machine: machine, ref: ref})
		})
	}
	t.Run("TakesManyPoints", func(t *testing.T) { // and prunes them: after all others
		machine, ref := addMachine(t, pool, "PM-many")
		takesManyAndPrunes(t, shelf{Store: h, pool: pool, machine: machine, ref: ref})
	})
}

// point is a point of the shelf's machine, seconds after start.
func (s shelf) point(seconds int, values ...observation.Value) Point {
	return Point{Machine: s.ref.Key, MachineNo: s.ref.No, Model: "SY 5419,52 \"泵\"", At: start.Add(time.Duration(seconds) * time.Second), Values: values}
}

func val(signal string, v float64) observation.Value {
	return observation.Value{Signal: signal, Value: v}
}

func (s shelf) write(t *testing.T, points ...Point) {
	t.Helper()
	if err := s.Write(program(t.Context()), points); err != nil {
		t.Fatal(err)
	}
}

// rows are all rows of the machine as a map from seconds to values.
func (s shelf) rows(ctx context.Context, t *testing.T) map[int]map[string]float64 {
	t.Helper()
	list, err := s.Rows(ctx, s.ref, start.AddDate(-1, 0, 0), start.AddDate(1, 0, 0), 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[int]map[string]float64{}
	for i, o := range list {
		if i > 0 && !list[i-1].At.Before(o.At) {
			t.Fatalf("row %d is at %v, the one before at %v", i, o.At, list[i-1].At)
		}
		if o.Machine != s.ref.Key || o.At.Location() != time.UTC {
			t.Fatalf("row of %q at %v", o.Machine, o.At)
		}
		values := map[string]float64{}
		for _, v := range o.Values {
			values[v.Signal] = v.Value
		}
		out[int(o.At.Sub(start).Seconds())] = values
	}
	return out
}

type table = map[int]map[string]float64

func rowsInOrder(t *testing.T, s shelf) {
	s.write(t, s.point(20, val("a", 3)), s.point(0, val("a", 1), val("b", 9)), s.point(10, val("a", 2)))
	want(t, s.rows(program(t.Context()), t), table{0: {"a": 1, "b": 9}, 10: {"a": 2}, 20: {"a": 3}})
	list, err := s.Rows(program(t.Context()), s.ref, start, start.Add(20*time.Second), 0)
	if err != nil || len(list) != 2 {
		t.Fatalf("[from, to) has %d rows, want 2 (%v)", len(list), err)
	}
	list, err = s.Rows(program(t.Context()), s.ref, start, start.Add(time.Hour), 2)
	if err != nil || len(list) != 2 || !list[1].At.Equal(start.Add(10*time.Second)) {
		t.Fatalf("the limit gives %v (%v)", list, err)
	}
}

func mergesInstants(t *testing.T, s shelf) {
	s.write(t, s.point(0, val("a", 1)), s.point(0, val("b", 2)))
	s.write(t, s.point(0, val("c", 3)))
	want(t, s.rows(program(t.Context()), t), table{0: {"a": 1, "b": 2, "c": 3}})
}

func takesLaterValue(t *testing.T, s shelf) {
	s.write(t, s.point(0, val("a", 1), val("b", 1)), s.point(0, val("a", 2)))
	want(t, s.rows(program(t.Context()), t), table{0: {"a": 2, "b": 1}})
	s.write(t, s.point(0, val("b", -7)))
	want(t, s.rows(program(t.Context()), t), table{0: {"a": 2, "b": -7}})
}

func storesTwiceAsOnce(t *testing.T, s shelf) {
	for range 3 {
		s.write(t, s.point(0, val("a", 1)), s.point(1, val("a", 2), val("b", 3)))
	}
	want(t, s.rows(program(t.Context()), t), table{0: {"a": 1}, 1: {"a": 2, "b": 3}})
}

func keepsQuality(t *testing.T, s shelf) {
	s.write(t, s.point(0, val("a", 1), observation.Value{Signal: "b", Value: 2, Quality: observation.Unmapped}, observation.Value{Signal: "c", Value: 3, Quality: observation.Implausible}))
	list, err := s.Rows(program(t.Context()), s.ref, start, start.Add(time.Hour), 0)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	got := map[string]observation.Quality{}
	for _, v := range list[0].Values {
		got[v.Signal] = v.Quality
	}
	want(t, got, map[string]observation.Quality{"a": observation.Good, "b": observation.Unmapped, "c": observation.Implausible})
}

func knowsNewest(t *testing.T, s shelf) {
	if _, err := s.Latest(program(t.Context()), s.ref); problem.Of(err) != problem.NotFound {
		t.Fatalf("of nothing: %v", err)
	}
	s.write(t, s.point(60, val("a", 2)), s.point(0, val("a", 1), val("b", 1)), s.point(30, val("b", 5)))
	o, err := s.Latest(program(t.Context()), s.ref)
	if err != nil || !o.At.Equal(start.Add(time.Minute)) || len(o.Values) != 1 || o.Values[0] != val("a", 2) {
		t.Fatalf("%+v, %v", o, err)
	}
}

func keepsUnusualNames(t *testing.T, s shelf) {
	names := []string{"oil temp", "a,b", "a=b", `say "hi"`, "油温", "😀", "'; DROP TABLE sample; --", "${x}", ") |> yield()", "machine", "model", "a.b", "%41", "_field", "#"}
	row := map[string]float64{}
	var values []observation.Value
	for i, name := range names {
		row[name] = float64(i)
		values = append(values, val(name, float64(i)))
	}
	s.write(t, s.point(0, values...))
	want(t, s.rows(program(t.Context()), t), table{0: row})
	for i, name := range names {
		series, err := s.Range(program(t.Context()), Query{Machine: s.ref, Signals: []string{name}, From: start, To: start.Add(time.Hour)})
		if err != nil || len(series) != 1 || series[0].Signal != name || series[0].Mean[0] != float64(i) {
			t.Fatalf("signal %q: %v, %v", name, series, err)
		}
	}
}

func keepsUnusualNumbers(t *testing.T, s shelf) {
	row := map[string]float64{"zero": 0, "tiny": math.SmallestNonzeroFloat64, "huge": math.MaxFloat64, "low": -math.MaxFloat64, "third": 1.0 / 3, "whole": 9007199254740991}
	var values []observation.Value
	for _, name := range slices.Sorted(maps.Keys(row)) {
		values = append(values, val(name, row[name]))
	}
	s.write(t, s.point(0, values...))
	want(t, s.rows(program(t.Context()), t), table{0: row})
}

func neverStoresNaN(t *testing.T, s shelf) {
	err := s.Write(program(t.Context()), []Point{
		s.point(0, val("a", 1), val("b", math.NaN()), val("c", 2)), s.point(1, val("a", math.Inf(1))), s.point(2, val("a", math.Inf(-1)), val("b", 4)),
	})
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok || len(refused.Refused) != 3 {
		t.Fatalf("got %v", err)
	}
	for i, r := range refused.Refused {
		if r.Fault.Reason != formats.NumberRange || r.Point != i {
			t.Fatalf("refusal %d: %+v", i, r)
		}
	}
	want(t, s.rows(program(t.Context()), t), table{0: {"a": 1, "c": 2}, 2: {"b": 4}})
}

func givesRawPoints(t *testing.T, s shelf) {
	s.write(t, s.point(0, val("b", 1), val("a", 5)), s.point(10, val("b", 3)), s.point(20, val("b", 2)))
	series, err := s.Range(program(t.Context()), Query{Machine: s.ref, From: start, To: start.Add(20 * time.Second)})
	if err != nil || len(series) != 2 || series[0].Signal != "a" || series[1].Signal != "b" {
		t.Fatalf("%v, %v", series, err)
	}
	b := series[1]
	want(t, b.At, []time.Time{start, start.Add(10 * time.Second)})
	for _, values := range [][]float64{b.Mean, b.Low, b.High} {
		want(t, values, []float64{1, 3})
	}
}

func reducesPoints(t *testing.T, s shelf) {
	var points []Point
	for i := range 3_000 {
		points = append(points, s.point(i, val("a", float64(i)), val("b", 1)))
	}
	s.write(t, points...)
	from := start.Add(7 * time.Second) // no whole bucket of anybody's
	series, err := s.Range(program(t.Context()), Query{Machine: s.ref, Signals: []string{"a"}, From: from, To: start.Add(time.Hour), MaxPoints: 100})
	if err != nil || len(series) != 1 || series[0].Signal != "a" {
		t.Fatalf("%v, %v", series, err)
	}
	a, width := series[0], (Query{From: from, To: start.Add(time.Hour), MaxPoints: 100}).bucket()
	if len(a.At) > 100 || len(a.At) < 80 || a.Low[0] != 7 || a.High[len(a.High)-1] != 2_999 {
		t.Fatalf("%d buckets from %v to %v", len(a.At), a.Low[0], a.High[len(a.High)-1])
	}
	for i, at := range a.At {
		if at.Sub(from)%width != 0 || a.Mean[i] < a.Low[i] || a.Mean[i] > a.High[i] || math.Abs(a.Mean[i]-(a.Low[i]+a.High[i])/2) > 1e-6 {
			t.Fatalf("bucket %d at %v: %v in %v..%v", i, at, a.Mean[i], a.Low[i], a.High[i])
		}
		if i > 0 && a.Low[i] != a.High[i-1]+1 {
			t.Fatalf("between bucket %d and %d something is missing or doubled: %v, %v", i-1, i, a.High[i-1], a.Low[i])
		}
	}
}

// reducesToWidth: few values too, from From on, and values of other signals beside them.
func reducesToWidth(t *testing.T, s shelf) {
	s.write(t, s.point(10, val("a", 1)), s.point(30, val("a", 3), val("b", 7)), s.point(70, val("a", 5)), s.point(200, val("a", 9)))
	q := Query{Machine: s.ref, Signals: []string{"a", "b"}, From: start.Add(5 * time.Second), To: start.Add(185 * time.Second), Width: time.Minute}
	series, err := s.Range(program(t.Context()), q)
	if err != nil || len(series) != 2 {
		t.Fatalf("%v, %v", series, err)
	}
	a, b := series[0], series[1]
	if fmt.Sprint(a.Mean, a.High, b.Mean) != "[2 5] [3 5] [7]" || !a.At[0].Equal(q.From) || !a.At[1].Equal(q.From.Add(time.Minute)) || !b.At[0].Equal(q.From) {
		t.Errorf("%+v", series)
	}
	q.Width = time.Millisecond
	if _, err := s.Range(program(t.Context()), q); problem.Of(err) != problem.Invalid {
		t.Errorf("buckets of a millisecond: %v", err)
	}
}

func givesAskedSignals(t *testing.T, s shelf) {
	s.write(t, s.point(0, val("a", 1), val("b", 2), val("c", 3)))
	series, err := s.Range(program(t.Context()), Query{Machine: s.ref, Signals: []string{"c", "a", "never heard of"}, From: start, To: start.Add(time.Hour)})
	if err != nil || len(series) != 2 || series[0].Signal != "a" || series[1].Signal != "c" {
		t.Fatalf("%v, %v", series, err)
	}
	series, err = s.Range(program(t.Context()), Query{Machine: s.ref, Signals: []string{"never heard of"}, From: start, To: start.Add(time.Hour)})
	if err != nil || len(series) != 0 {
		t.Fatalf("of nothing: %v, %v", series, err)
	}
}

func survivesNewModel(t *testing.T, s shelf) {
	var points []Point
	for i := range 400 {
		p := s.point(i, val("a", float64(i)))
		p.Model = []string{"another", "", p.Model}[i%3]
		points = append(points, p)
	}
	s.write(t, points...)
	if rows := s.rows(program(t.Context()), t); len(rows) != 400 || rows[399]["a"] != 399 {
		t.Fatalf("%d rows", len(rows))
	}
	series, err := s.Range(program(t.Context()), Query{Machine: s.ref, From: start, To: start.Add(400 * time.Second), MaxPoints: 50})
	if err != nil || len(series) != 1 || len(series[0].At) > 50 {
		t.Fatalf("%v, %v", series, err)
	}
	for i := 1; i < len(series[0].At); i++ {
		if series[0].Low[i] != series[0].High[i-1]+1 || math.Abs(series[0].Mean[i]-(series[0].Low[i]+series[0].High[i])/2) > 1e-6 {
			t.Fatalf("bucket %d: %v in %v..%v", i, series[0].Mean[i], series[0].Low[i], series[0].High[i])
		}
	}
}

func showsOwnerHisTime(t *testing.T, s shelf) {
	first := sell(t, s.pool, s.machine, start.Add(10*time.Second))
	s.write(t, s.point(9, val("a", 9)), s.point(10, val("a", 10)), s.point(19, val("a", 19)), s.point(20, val("a", 20)), s.point(21, val("a", 21)))
	as := func(who identity.Principal) context.Context { return identity.With(t.Context(), who) }
	want(t, s.rows(as(first), t), table{10: {"a": 10}, 19: {"a": 19}, 20: {"a": 20}, 21: {"a": 21}})

	second := sell(t, s.pool, s.machine, start.Add(20*time.Second))
	want(t, s.rows(as(second), t), table{20: {"a": 20}, 21: {"a": 21}})
	want(t, s.rows(as(first), t), table{}) // the machine file is not his any more
	want(t, len(s.rows(program(t.Context()), t)), 5)
	want(t, len(s.rows(as(identity.Principal{Role: identity.Dispatcher}), t)), 5)

	series, err := s.Range(as(second), Query{Machine: s.ref, From: start, To: start.Add(time.Hour)})
	if err != nil || len(series) != 1 || series[0].Mean[0] != 20 || len(series[0].Mean) != 2 {
		t.Fatalf("range of the second owner: %v, %v", series, err)
	}
	if _, err := s.Latest(as(first), s.ref); problem.Of(err) != problem.NotFound {
		t.Fatalf("latest of the first owner: %v", err)
	}
	if o, err := s.Latest(as(second), s.ref); err != nil || o.Values[0].Value != 21 {
		t.Fatalf("latest of the second owner: %v, %v", o, err)
	}
	series, err = s.Range(as(first), Query{Machine: s.ref, From: start, To: start.Add(time.Hour)})
	if err != nil || len(series) != 0 {
		t.Fatalf("range of the first owner: %v, %v", series, err)
	}
}

func showsNobodyNothing(t *testing.T, s shelf) {
	s.write(t, s.point(0, val("a", 1)))
	if _, err := s.Rows(t.Context(), s.ref, start, start.Add(time.Hour), 0); problem.Of(err) != problem.Unauthenticated {
		t.Fatalf("without a principal: %v", err)
	}
	strangers := []identity.Principal{{Role: identity.OwnerAdmin, CustomerID: postgres.NewID()}, {Role: identity.OwnerViewer}, {Role: "burglar"}, {}}
	for _, who := range strangers {
		want(t, s.rows(identity.With(t.Context(), who), t), table{})
	}
}

func refusesOwnersThatWrite(t *testing.T, s shelf) {
	who := sell(t, s.pool, s.machine, start.Add(-time.Hour))
	err := s.Write(identity.With(t.Context(), who), []Point{s.point(0, val("a", 1))})
	if problem.Of(err) != problem.Forbidden {
		t.Fatalf("got %v", err)
	}
	want(t, s.rows(program(t.Context()), t), table{})
}

// reducesGreatNumbers writes error codes of devices into a day that is pruned later:
// neither a chart nor the pruning of everybody's history may fail of them.
func reducesGreatNumbers(t *testing.T, s shelf) {
	var points []Point
	day := start.AddDate(0, 0, -4).Truncate(24 * time.Hour)
	for i := range 400 {
		p := s.point(0, val("all", math.MaxFloat64), val("both", math.MaxFloat64*float64(1-i%3)), val("one", 1))
		if p.At = day.Add(time.Duration(i) * time.Second); i == 7 {
			p.Values[2].Value = 1e200
		}
		points = append(points, p)
	}
	s.write(t, points...)
	series, err := s.Range(program(t.Context()), Query{Machine: s.ref, From: day, To: day.Add(time.Hour), MaxPoints: 10})
	if err != nil || len(series) != 3 {
		t.Fatalf("%d series, %v", len(series), err)
	}
	for _, one := range series {
		for i, mean := range one.Mean {
			if !(mean >= one.Low[i] && mean <= one.High[i]) || math.IsInf(mean, 0) {
				t.Errorf("%s: bucket %d is %g in %g..%g", one.Signal, i, mean, one.Low[i], one.High[i])
			}
		}
	}
}

func refusesNonsense(t *testing.T, s shelf) {
	for name, q := range map[string]Query{
		"backward": {From: start, To: start.Add(-time.Second)}, "nothing": {From: start, To: start},
		"too many": {From: start, To: start.Add(1), MaxPoints: 5_001}, "negative": {From: start, To: start.Add(1), MaxPoints: -1},
		"too many signals": {From: start, To: start.Add(1), Signals: make([]string, 201)},
	} {
		q.Machine = s.ref
		if _, err := s.Range(program(t.Context()), q); problem.Of(err) != problem.Invalid {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func takesManyAndPrunes(t *testing.T, s shelf) {
	const batch = 5_000
	count := longform.Choose(20_000, 200_000)
	from := start.AddDate(0, 0, -4).Truncate(24 * time.Hour)
	step := 4 * 24 * time.Hour / time.Duration(count)
	for n := 0; n < count; n += batch {
		points := make([]Point, 0, batch)
		for i := n; i < n+batch; i++ {
			points = append(points, Point{Machine: s.ref.Key, MachineNo: s.ref.No, At: from.Add(time.Duration(i) * step), Values: []observation.Value{val("a", float64(i)), val("b", 1)}})
		}
		s.write(t, points...)
	}
	end := from.AddDate(0, 0, 4)
	all, err := s.Rows(program(t.Context()), s.ref, from, end, count+1)
	if err != nil || len(all) != count || all[count-1].Values[0].Value != float64(count-1) {
		t.Fatalf("%d rows of %d, %v", len(all), count, err)
	}
	series, err := s.Range(program(t.Context()), Query{Machine: s.ref, From: from, To: end})
	if err != nil || len(series) != 2 || len(series[0].At) < 900 || len(series[0].At) > 1_000 || series[0].Low[0] != 0 {
		t.Fatalf("%d series, %v", len(series), err)
	}
	days, err := s.Prune(program(t.Context()), from.AddDate(0, 0, 2).Add(5*time.Hour))
	if err != nil || days != 2 {
		t.Fatalf("pruned %d days, %v", days, err)
	}
	left, err := s.Rows(program(t.Context()), s.ref, from, end, count)
	if err != nil || len(left) != count/2 || !left[0].At.Equal(from.AddDate(0, 0, 2)) {
		t.Fatalf("%d rows are left, %v", len(left), err)
	}
	if days, err = s.Prune(program(t.Context()), from.AddDate(0, 0, 2)); err != nil || days != 0 {
		t.Fatalf("pruned %d days again, %v", days, err)
	}
}
