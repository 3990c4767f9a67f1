package telemetry

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// addPump enters a machine of a model with an oil temperature and a pressure.
func addPump(t *testing.T, w *works, key string) (machine, model uuid.UUID, ref history.Ref) {
	t.Helper()
	machine, ref = addMachine(t, w.pool, key)
	do(t, w.pool, func(tx pgx.Tx) error {
		m, err := machines.AddModel(t.Context(), tx, start, manager(), machines.Model{Manufacturer: "Acme", Name: "BC5 " + key, Kind: "concrete_pump"})
		if err != nil {
			return err
		}
		model = m.ID
		if _, err := machines.AddSignals(t.Context(), tx, start, manager(), model, []machines.Signal{
			{Name: "hydraulic_oil_temp", Label: "液压油温", LabelEN: "Hydraulic oil temperature", Unit: "Cel"}, {Name: "main_pressure", Label: "主压力", LabelEN: "Main pressure", Unit: "bar"},
		}); err != nil {
			return err
		}
		_, err = postgres.Run(t.Context(), tx, `UPDATE machine SET model_id = @model WHERE id = @machine`, pgx.NamedArgs{"model": model, "machine": machine})
		return err
	})
	return machine, model, ref
}

func (w *works) mapped(t *testing.T, m Mapping) (out Mapping, err error) {
	t.Helper()
	err = w.attempt(t, func(tx pgx.Tx) error {
		out, err = PutMapping(t.Context(), tx, w.log, w.clock.Now(), manager(), m)
		return err
	})
	return out, err
}

func (w *works) maps(t *testing.T, m Mapping) Mapping {
	t.Helper()
	out, err := w.mapped(t, m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// decoded reads the whole log with a stage and gives the values of each message.
func decoded(t *testing.T, w *works, s *Stage) (out []string) {
	t.Helper()
	_, last := w.log.Bounds()
	for at := intakelog.LSN(0); at < last; {
		b, err := s.Next(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range b.Observations {
			line := o.Machine
			for _, v := range o.Values {
				line += fmt.Sprintf(" %s=%.4g/%s", v.Signal, v.Value, v.Quality)
			}
			out = append(out, line)
		}
		at = b.To
	}
	return out
}

// TestMapping_HoldsFromItsPlaceInTheLogForEveryReader holds that a reader which
// follows the log and one which reads it all again later see the same.
func TestMapping_HoldsFromItsPlaceInTheLogForEveryReader(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	machine, model, _ := addPump(t, w, "PM1")
	addPump(t, w, "PM2")
	live := NewStage(w.log, w.pool, quiet())
	send := func() {
		w.send(t, "", "fleet/PM1/telemetry", `{"values":{"OilTemp":212,"P":100}}`)
		w.send(t, "", "fleet/PM2/telemetry", `{"values":{"OilTemp":212}}`)
		decoded(t, w, live)
	}
	send()
	ofModel := w.maps(t, Mapping{ModelID: &model, Raw: "OilTemp", Signal: "hydraulic_oil_temp", Unit: "Cel"})
	send()
	w.maps(t, Mapping{MachineID: &machine, Raw: "OilTemp", Signal: "hydraulic_oil_temp", Unit: "[degF]"})
	w.maps(t, Mapping{MachineID: &machine, Raw: "P", Signal: "main_pressure", Unit: "[psi]"})
	send()
	w.maps(t, Mapping{MachineID: &machine, Raw: "P", Ignored: true})
	if err := w.attempt(t, func(tx pgx.Tx) error { return DeleteMapping(t.Context(), tx, w.log, start, manager(), ofModel.ID) }); err != nil {
		t.Fatal(err)
	}
	w.send(t, "", "fleet/PM1/telemetry", `{"values":{"P":100}}`)
	w.send(t, "", "fleet/PM1/telemetry", `{"values":{"OilTemp":-500}}`)
	as := []string{
		"PM1 OilTemp=212/unmapped P=100/unmapped", "PM2 OilTemp=212/unmapped",
		"PM1 hydraulic_oil_temp=212/good P=100/unmapped", "PM2 OilTemp=212/unmapped",
		"PM1 hydraulic_oil_temp=100/good main_pressure=6.895/good", "PM2 OilTemp=212/unmapped",
		"PM1 hydraulic_oil_temp=-295.6/implausible",
	}
	want(t, decoded(t, w, live), as)
	want(t, decoded(t, w, NewStage(w.log, w.pool, quiet())), as)
	w.run(t, historyRun{})
	want(t, w.account(t, w.log.ID()), Account{Received: 8, Stored: 8, Readings: 10})
}

func TestMapping_OfAClaimedDeviceHoldsForItsKeptMessages(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	machine, _, ref := addPump(t, w, "PM1")
	w.send(t, "", "fleet/GW-7/telemetry", `{"values":{"Oil-Temp":212}}`)
	w.run(t, historyRun{})
	l := w.legend(t, machine, "GW-7")
	if len(l.Names) != 1 || l.Names[0].Raw != "Oil-Temp" || l.Names[0].Suggested != "hydraulic_oil_temp" || len(l.Names[0].Samples) != 1 || l.Names[0].Samples[0].Value != 212 {
		t.Fatalf("%+v", l.Names)
	}
	p, err := l.Preview("Oil-Temp", "hydraulic_oil_temp", "[degF]")
	if err != nil || p.Canonical != "Cel" || len(p.Samples) != 1 || math.Abs(p.Samples[0].Converted-100) > 1e-9 {
		t.Fatalf("%+v, %v", p, err)
	}
	w.maps(t, Mapping{MachineID: &machine, Raw: "Oil-Temp", Signal: "hydraulic_oil_temp", Unit: "[degF]"})
	if err := w.claim(t, "GW-7", machine); err != nil {
		t.Fatal(err)
	}
	w.run(t, historyRun{})
	rows, err := w.history.Rows(program(t.Context()), ref, start.Add(-time.Hour), start.Add(time.Hour), 0)
	if err != nil || len(rows) != 1 || rows[0].Values[0].Signal != "hydraulic_oil_temp" || math.Abs(rows[0].Values[0].Value-100) > 1e-9 || rows[0].Values[0].Quality != observation.Good {
		t.Fatalf("%+v, %v", rows, err)
	}
	l = w.legend(t, machine, "") // its history says what was sent
	if len(l.Names) != 1 || l.Names[0].Raw != "Oil-Temp" || l.Names[0].Mapping == nil {
		t.Fatalf("%+v", l.Names)
	}
}

func (w *works) legend(t *testing.T, machine uuid.UUID, device string) (l *Legend) {
	t.Helper()
	do(t, w.pool, func(tx pgx.Tx) (err error) {
		l, err = ReadLegend(t.Context(), tx, machine, device)
		return err
	})
	if err := l.AddHistory(program(t.Context()), w.history); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestMapping_RefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	machine, model, _ := addPump(t, w, "PM1")
	nobody := postgres.NewID()
	for _, c := range []struct {
		m    Mapping
		kind problem.Kind
		text string
	}{
		{Mapping{MachineID: &machine, Raw: "P", Signal: "hydraulic_oil_temp", Unit: "[psi]"}, problem.Invalid, "E_UNIT_MISMATCH: unit [psi] cannot become Cel"},
		{Mapping{ModelID: &model, Raw: "P", Signal: "main_pressure", Unit: "psi"}, problem.Invalid, `"psi" is no UCUM unit that is known`},
		{Mapping{ModelID: &model, Raw: "P", Signal: "Main_Presure", Unit: "bar"}, problem.Invalid, `the model has no signal "Main_Presure"; did you mean main_pressure?`},
		{Mapping{ModelID: &model, Raw: "P", Signal: "voltage", Unit: "V"}, problem.Invalid, `the model has no signal "voltage"`},
		{Mapping{ModelID: &model, MachineID: &machine, Raw: "P", Ignored: true}, problem.Invalid, "name a machine or a model"},
		{Mapping{Raw: "P", Ignored: true}, problem.Invalid, "name a machine or a model"},
		{Mapping{MachineID: &machine, Ignored: true}, problem.Invalid, "the name as it is sent must have 1 to 200 characters"},
		{Mapping{MachineID: &nobody, Raw: "P", Ignored: true}, problem.NotFound, ""},
		{Mapping{ModelID: &nobody, Raw: "P", Ignored: true}, problem.NotFound, "there is no such model"},
	} {
		_, err := w.mapped(t, c.m)
		if problem.Of(err) != c.kind || c.text != "" && err.Error() != c.text {
			t.Errorf("%+v: %v", c.m, err)
		}
	}
	want(t, value[int64](t, w.pool, `SELECT count(*) FROM signal_mapping`), int64(0))
	_, last := w.log.Bounds()
	want(t, last, intakelog.LSN(0)) // and nothing is noted in the log
}

func TestNearest_FindsWhatSendersMeant(t *testing.T) {
	t.Parallel()
	signals := []machines.Signal{{Name: "hydraulic_oil_temp", Label: "液压油温", LabelEN: "Hydraulic oil temperature"}, {Name: "main_pressure", Label: "主压力"}, {Name: "engine_speed"}}
	for raw, signal := range map[string]string{
		"Hydraulic_Oil_Temp": "hydraulic_oil_temp", "Hydraulic/OilTemp": "hydraulic_oil_temp", "hydraulic_oil_tmp": "hydraulic_oil_temp", "液压油温": "hydraulic_oil_temp",
		"mаin_рressure": "main_pressure", "ＭＡＩＮ＿ＰＲＥＳＳＵＲＥ": "main_pressure", "plc1.main_pressure.value": "main_pressure", "EngineSpeed": "engine_speed",
		"x": "", "": "", "fuel": "", "___": "",
	} {
		if got := Nearest(raw, signals); got != signal {
			t.Errorf("%s: %q", raw, got)
		}
	}
}
