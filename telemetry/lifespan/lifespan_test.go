package lifespan

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules/prognosis"
	"github.com/thirdstate/thirdstate/telemetry/telemetrytest"
)

var start = telemetrytest.Start.Truncate(24 * time.Hour) // machines are built on a day

// worn is a machine that wears from some hour on until it fails, a row an hour.
func worn(seed uint64) prognosis.Life {
	n := rand.New(rand.NewPCG(seed, 3))
	from, rate := 40+60*n.Float64(), 0.008+0.008*n.Float64()
	l := prognosis.Life{Machine: fmt.Sprint(seed)}
	for age, wear := 0.0, 0.0; wear < 1; age++ {
		wear = math.Max(0, (age-from)*rate)
		l.Rows = append(l.Rows, prognosis.Row{Age: age, Values: []float64{60 + 3*wear*wear + 0.3*n.NormFloat64(), 50 - 2*wear + 0.2*n.NormFloat64(), 7 + n.NormFloat64()}})
	}
	return l
}

// trained is the model of twenty lives, as it is written.
var trained = sync.OnceValues(func() ([]byte, error) {
	lives := make([]prognosis.Life, 20)
	for i := range lives {
		lives[i] = worn(uint64(100 + i))
	}
	m, err := prognosis.Train(lives, prognosis.Options{Signals: []string{"heat", "flow", "noise"}, Unit: prognosis.Hours, Every: 3600, For: "BC56"})
	if err != nil {
		return nil, err
	}
	return m.Encode(), nil
})

// learnt is that model, with something else said about it.
func learnt(t testing.TB, change func(*prognosis.Model)) *prognosis.Model {
	t.Helper()
	text, err := trained()
	if err != nil {
		t.Fatal(err)
	}
	m, err := prognosis.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(m)
	}
	return m
}

type world struct {
	*Keeper
	t   *testing.T
	log bytes.Buffer
	of  machines.Model
}

// newWorld has a keeper over an empty folder and the model of machines BC56.
func newWorld(t *testing.T) *world {
	t.Helper()
	pool := postgrestest.New(t)
	w := &world{t: t}
	log := slog.New(slog.NewTextHandler(&w.log, nil))
	w.Keeper = &Keeper{Pool: pool, Clock: clock.New(start, 0, nil), Log: log, History: history.NewPostgres(pool), Shelf: &Shelf{Dir: t.TempDir(), Log: log}}
	w.do(func(tx pgx.Tx) (err error) {
		w.of, err = machines.AddModel(t.Context(), tx, start, identity.Program("test"), machines.Model{Manufacturer: "Beichen", Name: "BC56", Kind: "concrete_pump"})
		return err
	})
	return w
}

func (w *world) do(fn func(tx pgx.Tx) error) {
	w.t.Helper()
	telemetrytest.Do(w.t, w.Pool, fn)
}

func (w *world) put(name string, m *prognosis.Model) { w.file(name, m.Encode()) }

func (w *world) file(name string, data []byte) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.Shelf.Dir, name+Ending), data, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// machine is a new one of the model, built and added at start.
func (w *world) machine(serial string) machines.Machine {
	w.t.Helper()
	var m machines.Machine
	w.do(func(tx pgx.Tx) (err error) {
		m, err = machines.AddMachine(w.t.Context(), tx, start, identity.Program("test"), machines.Machine{Manufacturer: "Beichen", Serial: serial, ModelID: &w.of.ID, BuiltOn: &start, HasDevice: true})
		return err
	})
	return m
}

const seenSQL = `UPDATE machine SET last_seen_at = greatest(last_seen_at, @at) WHERE id = @id`

// says writes rows of a life, two messages an hour, from an hour on, with what is said beside the signals.
func (w *world) says(m machines.Machine, rows []prognosis.Row, from time.Time, beside func(row int) []observation.Value) {
	w.t.Helper()
	var points []history.Point
	at := from
	for i, r := range rows {
		for half := range 2 {
			at = from.Add(time.Duration(i)*time.Hour + time.Duration(10+30*half)*time.Minute)
			apart := 0.125 * float64(2*half-1)
			p := history.Point{Machine: m.Key, MachineNo: m.No, Model: "BC56", At: at}
			for s, name := range []string{"heat", "flow", "noise"} {
				p.Values = append(p.Values, observation.Value{Signal: name, Value: r.Values[s] + apart})
			}
			if beside != nil {
				p.Values = append(p.Values, beside(i)...)
			}
			points = append(points, p)
		}
	}
	if err := w.History.Write(telemetrytest.Program(w.t.Context()), points); err != nil {
		w.t.Fatal(err)
	}
	w.do(func(tx pgx.Tx) error {
		_, err := postgres.Run(w.t.Context(), tx, seenSQL, pgx.NamedArgs{"at": at, "id": m.ID})
		return err
	})
}

func (w *world) round(now time.Time) {
	w.t.Helper()
	if _, err := w.Round(w.t.Context(), now); err != nil {
		w.t.Fatal(err)
	}
}

// said is what is kept of a machine.
func (w *world) said(m machines.Machine) []MachineLifespan {
	w.t.Helper()
	var list []MachineLifespan
	w.do(func(tx pgx.Tx) (err error) {
		list, err = Of(w.t.Context(), tx, m.ID)
		return err
	})
	return list
}

// same holds that what is kept of a machine is what a follower says of the rows.
func (w *world) same(m machines.Machine, model *prognosis.Model, rows []prognosis.Row) {
	w.t.Helper()
	f := model.Follow()
	var e prognosis.Estimate
	var ok bool
	for i := range rows {
		e, ok = f.Observe(&rows[i])
	}
	list := w.said(m)
	switch {
	case len(list) != 1 || list[0].Rows != len(rows):
		w.t.Fatalf("%d rows: %+v", len(rows), list)
	case !ok:
		if list[0].Remaining != nil || list[0].Reason != string(f.Why()) {
			w.t.Errorf("no estimate (%s), and the server says %+v", f.Why(), list[0])
		}
	case list[0].Remaining == nil || math.Abs(*list[0].Remaining-e.Remaining) > 1e-9 || math.Abs(*list[0].Low-e.Low) > 1e-9 || (list[0].High == nil) != e.More || list[0].Beyond != (e.Remaining >= model.Cap):
		w.t.Errorf("%+v, and the server says %+v", e, list[0])
	}
}

func at(row int) time.Time { return start.Add(time.Duration(row) * time.Hour) }

func TestKeeper_SaysWhatAFollowerSaysOfTheSameRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	model := learnt(t, nil)
	w.put("BC56", model)
	m, life := w.machine("M1"), worn(7)
	for from := 0; from < len(life.Rows); from += 31 { // and each time another process goes on
		to := min(from+31, len(life.Rows))
		w.says(m, life.Rows[from:to], at(from), nil)
		w.Keeper = &Keeper{Pool: w.Pool, Clock: w.Clock, Log: w.Log, History: w.History, Shelf: &Shelf{Dir: w.Shelf.Dir, Log: w.Log}}
		w.round(at(to).Add(settled))
		w.same(m, model, life.Rows[:to])
		w.round(at(to).Add(settled)) // nothing is looked at twice
		w.same(m, model, life.Rows[:to])
	}
	last := w.said(m)[0]
	if *last.Remaining > 15 || !last.FromNew || last.Unit != "hour" || last.Model != "BC56" || last.ModelHash != model.Hash() {
		t.Errorf("at its end: %+v", last)
	}
	if w.Stepped() == 0 || w.Failures() != 0 || w.Followed() != 1 || w.Estimates() != 1 {
		t.Errorf("%d rows, %d failures, %d followed, %d estimates", w.Stepped(), w.Failures(), w.Followed(), w.Estimates())
	}
}

// What a machine sends after it was cut off is found, and nothing is stepped before it has settled.
func TestKeeper_FindsWhatCameLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	model := learnt(t, nil)
	w.put("BC56", model)
	m, life := w.machine("M1"), worn(7)
	w.says(m, life.Rows[:40], at(0), nil)
	w.round(at(40).Add(settled - time.Minute))
	w.same(m, model, life.Rows[:39])
	w.round(at(70).Add(settled))
	w.same(m, model, life.Rows[:40])
	w.says(m, life.Rows[40:80], at(40), nil)
	w.round(at(81).Add(settled))
	w.same(m, model, life.Rows[:80])
}

func TestKeeper_FollowsOverInfluxDBToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := telemetrytest.StartInflux(t, false)
	h, err := history.NewInflux(history.InfluxConfig{URL: server.URL, Bucket: server.Bucket(t), Pool: w.Pool, Now: func() time.Time { return at(400) }})
	if err != nil {
		t.Fatal(err)
	}
	w.History = h
	model := learnt(t, nil)
	w.put("BC56", model)
	m, life := w.machine("M1"), worn(7)
	w.says(m, life.Rows, at(0), nil)
	w.round(at(len(life.Rows)).Add(settled))
	w.same(m, model, life.Rows)
}

// The age comes from the hour meter, which may be another after a repair; without one nothing is said.
func TestKeeper_TakesTheAgeFromTheHourMeter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	model := learnt(t, func(m *prognosis.Model) { m.Age = "meter" })
	w.put("BC56", model)
	with, without, life := w.machine("M1"), w.machine("M2"), worn(7)
	w.says(with, life.Rows, at(0), func(row int) []observation.Value {
		hours := float64(row)
		if row >= 90 { // its control unit was changed
			hours -= 90
		}
		return []observation.Value{{Signal: machines.OperatingHours, Value: hours}}
	})
	w.says(without, life.Rows, at(0), nil)
	w.round(at(len(life.Rows)).Add(settled))
	list := w.said(with)
	if len(list) != 1 || list[0].Remaining == nil || math.Abs(*list[0].Age-life.Rows[len(life.Rows)-1].Age) > 2 || *list[0].Remaining > 15 {
		t.Errorf("%+v", list)
	}
	if list := w.said(without); len(list) != 1 || list[0].Remaining != nil || list[0].Reason != ageUnknown {
		t.Errorf("without a meter: %+v", list)
	}
}

// Of two meters the model's own says the age, though messages bring them by turns and the
// other one came first.
func TestKeeper_TakesTheAgeFromOneMeter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("BC56", learnt(t, func(m *prognosis.Model) { m.Age = "meter" }))
	w.put("pump", learnt(t, func(m *prognosis.Model) { m.Age, m.For, m.Component = "meter", "BC56", "main_pump" }))
	m, life := w.machine("M1"), worn(7)
	w.do(func(tx pgx.Tx) error {
		_, err := machines.AddComponent(t.Context(), tx, at(0), identity.Program("test"), machines.Component{MachineID: m.ID, Code: "main_pump", Name: "主泵"})
		return err
	})
	w.says(m, life.Rows, at(0), func(row int) []observation.Value {
		if row%2 == 0 {
			return []observation.Value{{Signal: machines.OperatingHours, Value: 5000 + float64(row)}}
		}
		return []observation.Value{{Signal: "meter", Value: float64(row)}}
	})
	w.round(at(len(life.Rows)).Add(settled))
	list := w.said(m)
	if len(list) != 2 {
		t.Fatalf("%+v", list)
	}
	for _, one := range list {
		if one.Age == nil || math.Abs(*one.Age-float64(len(life.Rows))) > 3 {
			t.Errorf("%q: at an age of %v after %d hours", one.Component, one.Age, len(life.Rows))
		}
	}
}

// A machine that was only entered is not new: the calendar does not say how old it is.
func TestKeeper_DoesNotTakeAnEnteredMachineAsNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	model := learnt(t, nil)
	w.put("BC56", model)
	m, life := w.machine("M1"), worn(7)
	built := func(on *time.Time) {
		w.do(func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE machine SET built_on = $1, created_at = $2 WHERE id = $3`, on, at(1), m.ID)
			return err
		})
	}
	built(nil)
	w.says(m, life.Rows[:60], at(0), nil)
	w.round(at(60).Add(settled))
	if list := w.said(m); len(list) != 1 || list[0].Reason != ageUnknown {
		t.Errorf("nobody knows when it was built: %+v", list)
	}
	built(&start)
	w.round(at(60).Add(settled))
	w.same(m, model, life.Rows[:60])
}

// The life of a component begins when it is installed, and again when it is changed.
func TestKeeper_BeginsAnewWithANewComponent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("BC56", learnt(t, func(m *prognosis.Model) { m.Component = "main_pump" }))
	m, life := w.machine("M1"), worn(7)
	install := func(when time.Time) {
		w.do(func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), `UPDATE component SET removed_at = $1 WHERE machine_id = $2`, when, m.ID); err != nil {
				return err
			}
			_, err := machines.AddComponent(t.Context(), tx, when, identity.Program("test"), machines.Component{MachineID: m.ID, Code: "main_pump", Name: "主泵"})
			return err
		})
	}
	w.says(m, life.Rows, at(0), nil)
	w.round(at(len(life.Rows)).Add(settled))
	if list := w.said(m); len(list) != 0 {
		t.Errorf("it has no such component: %+v", list)
	}
	install(at(0))
	end := len(life.Rows)
	w.round(at(end).Add(settled))
	if list := w.said(m); len(list) != 1 || list[0].Remaining == nil || *list[0].Remaining > 15 || list[0].Component != "main_pump" || list[0].ComponentName != "主泵" {
		t.Errorf("%+v", list)
	}
	install(at(end))
	w.says(m, life.Rows[:30], at(end), nil)
	w.round(at(end + 30).Add(settled))
	if list := w.said(m); len(list) != 1 || !list[0].Since.Equal(at(end)) || list[0].Rows != 30 || list[0].Remaining == nil || *list[0].Remaining < 50 {
		t.Errorf("with a new pump: %+v", list)
	}
}

func TestKeeper_SaysWhyThereIsNoEstimate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("BC56", learnt(t, func(m *prognosis.Model) { m.Units = []string{"", "L/min", ""} }))
	young, strange, rare, life := w.machine("M1"), w.machine("M2"), w.machine("M3"), worn(7)
	w.says(young, life.Rows[:2], at(0), nil)
	other := worn(8).Rows[:60]
	for i := range other { // flow rises with the heat
		other[i].Values[1] += 0.2 * float64(i)
	}
	w.says(strange, other, at(0), nil)
	for i := range 45 { // a row in three hours
		w.says(rare, life.Rows[i:i+1], at(3*i), nil)
	}
	w.round(at(140))
	for serial, want := range map[string]string{"M1": string(prognosis.TooFew), "M2": string(prognosis.Unlike), "M3": sparse} {
		m := map[string]machines.Machine{"M1": young, "M2": strange, "M3": rare}[serial]
		if list := w.said(m); len(list) != 1 || list[0].Remaining != nil || list[0].Reason != want {
			t.Errorf("%s: want %s: %+v", serial, want, list)
		}
	}
	w.do(func(tx pgx.Tx) error {
		_, err := machines.AddSignals(t.Context(), tx, start, identity.Program("test"), w.of.ID, []machines.Signal{{Name: "flow", Unit: "Cel"}})
		return err
	})
	w.says(young, life.Rows[2:60], at(2), nil)
	w.round(at(141))
	if list := w.said(young); len(list) != 1 || list[0].Reason != otherUnits {
		t.Errorf("temperatures for flows: %+v", list)
	}
	w.do(func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE remaining_life SET behind = true`)
		return err
	})
	w.round(at(142))
	if n, err := w.Round(t.Context(), at(142)); n != 0 || err != nil {
		t.Errorf("%d machines are looked at again: %v", n, err)
	}
}

// A file that is bad, or cannot be applied, is named and told of once; the others are applied.
func TestShelf_ABadFileLeavesTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	model := learnt(t, nil)
	w.put("BC56", model)
	w.put("a second", learnt(t, func(m *prognosis.Model) { m.Component = ""; m.Cap = 99; m.For = "bc56" }))
	w.put("flights", learnt(t, func(m *prognosis.Model) { m.Every = 0; m.For = "jet" }))
	w.put("counted", learnt(t, func(m *prognosis.Model) { m.Unit = prognosis.Rows; m.For = "press" }))
	w.put("slow", learnt(t, func(m *prognosis.Model) { m.Every = 30 * 86400; m.For = "glacier" }))
	w.file("cut", model.Encode()[:2000])
	m, life := w.machine("M1"), worn(7)
	w.says(m, life.Rows, at(0), nil)
	w.round(at(300))
	w.round(at(301))
	w.same(m, model, life.Rows)
	want := map[string]string{"BC56": "", "a second": "comes first", "flights": "no time", "counted": "no time", "slow": "720h0m0s apart", "cut": "damaged"}
	for _, one := range w.Shelf.Models() {
		if fault, known := want[one.Name]; !known || !strings.Contains(one.Fault, fault) || (fault == "") != (one.Fault == "") {
			t.Errorf("%s: %q", one.Name, one.Fault)
		}
		delete(want, one.Name)
	}
	if n := strings.Count(w.log.String(), "is not applied"); len(want) > 0 || n != 4 {
		t.Errorf("missing %v; told %d times of four bad files:\n%s", want, n, w.log.String())
	}
	w.file("BC56", []byte("scrap")) // the model goes on as it was read
	w.round(at(302))
	if list := w.said(m); len(list) != 1 || list[0].ModelHash != model.Hash() {
		t.Errorf("%+v", list)
	}
	for _, name := range []string{"BC56", "a second", "flights", "counted", "slow", "cut"} {
		if err := os.Remove(filepath.Join(w.Shelf.Dir, name+Ending)); err != nil {
			t.Fatal(err)
		}
	}
	w.round(at(303))
	if list := w.said(m); len(list) != 0 || len(w.Shelf.Models()) != 0 {
		t.Errorf("no file is left: %+v", list)
	}
}

// An owner sees his machines, from the day on which he bought them.
func TestOf_ShowsAnOwnerHisOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("BC56", learnt(t, nil))
	mine, other, life := w.machine("M1"), w.machine("M2"), worn(7)
	me, him := telemetrytest.Sell(t, w.Pool, mine.ID, start), telemetrytest.Sell(t, w.Pool, other.ID, start)
	w.says(mine, life.Rows, at(0), nil)
	w.says(other, life.Rows, at(0), nil)
	w.round(at(300))
	sees := func(who identity.Principal, m machines.Machine) (n, all int) {
		t.Helper()
		err := postgres.As(t.Context(), w.Pool, who, func(tx pgx.Tx) error {
			one, err := Of(t.Context(), tx, m.ID)
			if err != nil {
				return err
			}
			every, err := Shortest(t.Context(), tx)
			n, all = len(one), len(every)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n, all
	}
	for _, c := range []struct {
		who     identity.Principal
		of      machines.Machine
		n, list int
	}{{me, mine, 1, 1}, {me, other, 0, 1}, {him, other, 1, 1}, {him, mine, 0, 1}} {
		if n, list := sees(c.who, c.of); n != c.n || list != c.list {
			t.Errorf("%d and %d rows, want %d and %d", n, list, c.n, c.list)
		}
	}
	w.do(func(tx pgx.Tx) error {
		return machines.Transfer(t.Context(), tx, at(300), identity.Program("test"), mine.ID, him.CustomerID)
	})
	if n, list := sees(him, mine); n != 1 || list != 2 {
		t.Errorf("after the sale its new owner sees %d, %d", n, list)
	}
	if n, list := sees(me, mine); n != 0 || list != 0 {
		t.Errorf("after the sale its old owner sees %d, %d", n, list)
	}
}
