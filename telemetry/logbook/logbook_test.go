package logbook

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/j1939"
)

var start = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// desk is a logbook on a real log and a real database.
type desk struct {
	t       *testing.T
	pool    *postgres.Pool
	log     *intakelog.Log
	clock   *clock.Clock
	machine machines.Machine

	decoders telemetry.Decoders
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	log, err := intakelog.Open(t.TempDir(), intakelog.Options{SegmentBytes: 1 << 20, MaxBytes: 64 << 20, CommitDelay: -1, Consumers: []string{Consumer}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	d := &desk{t: t, pool: postgrestest.New(t), log: log, clock: clock.New(start, 0, nil), decoders: telemetry.OwnDecoders()}
	d.enter()
	return d
}

// enter enters the machine of the tests.
func (d *desk) enter() {
	d.t.Helper()
	d.do(func(ctx context.Context, tx pgx.Tx) (err error) {
		d.machine, err = machines.AddMachine(ctx, tx, start, identity.Program("test"), machines.Machine{Manufacturer: "Beichen", Serial: "EX215A0007", Name: "挖机", HasDevice: true})
		return err
	})
}

func (d *desk) do(fn func(ctx context.Context, tx pgx.Tx) error) {
	d.t.Helper()
	err := postgres.As(d.t.Context(), d.pool, identity.Program("test"), func(tx pgx.Tx) error { return fn(d.t.Context(), tx) })
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) send(topic, payload string) {
	d.t.Helper()
	r := intakelog.Record{Kind: intakelog.Message, Source: "embedded", Topic: topic, Payload: []byte(payload), Received: d.clock.Advance(time.Second)}
	if _, err := d.log.AppendWait(d.t.Context(), r); err != nil {
		d.t.Fatal(err)
	}
}

// keep runs the logbook until it has read all that is in the log.
func (d *desk) keep() *Status {
	d.t.Helper()
	ctx, cancel := context.WithCancel(d.t.Context())
	defer cancel()
	status := &Status{}
	failed := make(chan error, 1)
	go func() {
		failed <- Run(ctx, Config{Stage: telemetry.NewStageOf(d.log, d.pool, slog.New(slog.DiscardHandler), d.decoders), Pool: d.pool, Log: d.log, Clock: d.clock,
			Logger: slog.New(slog.DiscardHandler), Released: func(lsn intakelog.LSN) { d.log.Release(Consumer, lsn) }, Status: status})
	}()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-ticker.C {
		if _, last := d.log.Bounds(); status.At() >= last {
			break
		}
	}
	if _, last := d.log.Bounds(); status.At() < last {
		d.t.Errorf("the logbook stands at record %d of %d", status.At(), last)
	}
	cancel()
	if err := <-failed; err != nil {
		d.t.Fatal(err)
	}
	return status
}

// codes are the machine's codes as a person would tell them.
func (d *desk) codes() string {
	d.t.Helper()
	var list []string
	d.do(func(ctx context.Context, tx pgx.Tx) error {
		page, err := machines.TroubleCodes(ctx, tx, machines.TroubleFilter{MachineID: &d.machine.ID})
		for _, c := range page.Items {
			state := "active"
			if c.ClearedAt != nil {
				state = "cleared"
			}
			list = append(list, fmt.Sprintf("%s %s x%d %s-%s", c.Code, state, c.Occurrences, c.FirstSeenAt.UTC().Format("15:04:05"), c.LastSeenAt.UTC().Format("15:04:05")))
		}
		return err
	})
	return strings.Join(list, "; ")
}

// derived are the signals that were written for the rules.
func (d *desk) derived() (out []string) {
	d.t.Helper()
	first, _ := d.log.Bounds()
	records, err := d.log.Read(d.t.Context(), first-1, 1_000, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, r := range records {
		if r.Kind == intakelog.Derived {
			out = append(out, string(r.Payload))
		}
	}
	return out
}

func dm1(at time.Time, hex string) string {
	return fmt.Sprintf(`{"ts":%d,"id":"18FECA03","data":%q}`, at.UnixMilli(), hex)
}

const (
	hot  = "04FF6E000003FFFF" // SPN 110 FMI 0, amber
	fine = "00FF00000000FFFF"
)

func TestLogbook_ACodeLivesAndTellsTheRules(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	topic := "fleet/EX215A0007/can"
	for i, hex := range []string{fine, hot, hot, fine, hot} {
		d.send(topic, dm1(start.Add(time.Duration(i)*time.Second), hex))
	}
	d.keep()
	if got := d.codes(); got != "SPN110-FMI0 active x2 08:00:01-08:00:04" {
		t.Error(got)
	}
	want := []string{
		`{"ts":"2026-03-01T08:00:01Z","values":{"dtc.active":1,"dtc.critical":1,"dtc.red_stop":0,"dtc.spn110.fmi0":1,"dtc.warning_lamp":1}}`,
		`{"ts":"2026-03-01T08:00:03Z","values":{"dtc.active":0,"dtc.critical":0,"dtc.red_stop":0,"dtc.spn110.fmi0":0,"dtc.warning_lamp":0}}`,
		`{"ts":"2026-03-01T08:00:04Z","values":{"dtc.active":1,"dtc.critical":1,"dtc.red_stop":0,"dtc.spn110.fmi0":1,"dtc.warning_lamp":1}}`,
	}
	if got := d.derived(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

// That the red lamp goes on is told at once, though the code is there already; it
// names the code, and the amber lamp beside it no more.
func TestLogbook_TellsAtOnceThatALampGoesOn(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const red, dark = "14FF6E000003FFFF", "00FF6E000003FFFF"
	for i, hex := range []string{hot, red, red, dark} {
		d.send("fleet/EX215A0007/can", dm1(start.Add(time.Duration(i)*time.Second), hex))
	}
	d.keep()
	want := []string{
		`{"ts":"2026-03-01T08:00:00Z","values":{"dtc.active":1,"dtc.critical":1,"dtc.red_stop":0,"dtc.spn110.fmi0":1,"dtc.warning_lamp":1}}`,
		`{"ts":"2026-03-01T08:00:01Z","values":{"dtc.active":1,"dtc.critical":1,"dtc.red_stop":1,"dtc.red_stop.spn110.fmi0":1,"dtc.spn110.fmi0":1,"dtc.warning_lamp":0}}`,
		`{"ts":"2026-03-01T08:00:03Z","values":{"dtc.active":1,"dtc.critical":1,"dtc.red_stop":0,"dtc.spn110.fmi0":1,"dtc.warning_lamp":0}}`,
	}
	if got := d.derived(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

// What one control unit says reveals that another has fallen silent before: the word
// is of now, not of then, or the rules would take it for old.
func TestLogbook_TheNewestWordHasTheNewestTime(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	topic := "fleet/EX215A0007/can"
	for i := range 3 {
		d.send(topic, dm1(start.Add(time.Duration(i)*time.Second), hot))
	}
	d.send(topic, fmt.Sprintf(`{"ts":%d,"id":"18FECA00","data":"10FF64000101FFFF"}`, start.Add(time.Minute).UnixMilli()))
	d.keep()
	if got := d.codes(); got != "SPN100-FMI1 active x1 08:01:00-08:01:00; SPN110-FMI0 cleared x1 08:00:00-08:00:02" {
		t.Error(got)
	}
	want := `{"ts":"2026-03-01T08:01:00Z","values":{"dtc.active":1,"dtc.critical":1,"dtc.red_stop":1,"dtc.red_stop.spn100.fmi1":1,"dtc.spn100.fmi1":1,"dtc.spn110.fmi0":0,"dtc.warning_lamp":0}}`
	if got := d.derived(); got[len(got)-1] != want {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

// A restart, and messages that come again, change nothing.
func TestLogbook_IsTheSameAfterARestartAndASecondDelivery(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	all := func() {
		for i, hex := range []string{hot, fine, hot, fine} {
			d.send("fleet/EX215A0007/can", dm1(start.Add(time.Duration(i)*time.Second), hex))
			d.send("fleet/EX215A0007/dtc", fmt.Sprintf(`{"ts":%d,"protocol":"oem","code":"E360-2","active":%v}`, start.Add(time.Duration(i)*time.Second).UnixMilli(), i < 2))
		}
	}
	all()
	d.keep()
	first, derived := d.codes(), len(d.derived())
	if first != "SPN110-FMI0 cleared x2 08:00:00-08:00:02; E360-2 cleared x1 08:00:00-08:00:01" &&
		first != "E360-2 cleared x1 08:00:00-08:00:01; SPN110-FMI0 cleared x2 08:00:00-08:00:02" {
		t.Fatal(first)
	}
	d.keep()
	all()
	d.keep()
	if got := d.codes(); got != first || len(d.derived()) != derived {
		t.Errorf("%s with %d derived records, want %s with %d", got, len(d.derived()), first, derived)
	}
}

// The parts of a long message come in messages of their own, and the program stops
// in between.
func TestLogbook_PutsALongMessageTogetherOverARestart(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	data := []byte{0x04, 0xff, 0x66, 0x06, 0x0f, 0x02, 0x2a, 0x0a, 0x11, 0x7e}
	frames := j1939.Split(j1939.Message{Header: j1939.Header{PGN: j1939.PGNActive, Source: 3}, Data: data, At: start}, 50*time.Millisecond)
	for i, f := range frames {
		d.send("fleet/EX215A0007/can", fmt.Sprintf(`{"ts":%d,"id":"%08X","data":"%X"}`, f.At.UnixMilli(), f.ID, f.Data))
		if i == 1 {
			d.keep()
		}
	}
	d.keep()
	got := d.codes()
	if !strings.Contains(got, "SPN1638-FMI15 active") || !strings.Contains(got, "SPN2602-FMI17 active") {
		t.Error(got)
	}
}

// A code that has been away for days comes again and says when it began, which was
// before it was cleared: makers' fleets do. What comes after it goes on with that
// record; a second active one would be refused, and the logbook would stand still.
func TestLogbook_ACodeThatBeganBeforeItsLastRecordGoesOn(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.clock.Advance(4 * 24 * time.Hour)
	say := func(day int, began, active string) {
		at := start.Add(time.Duration(day) * 24 * time.Hour)
		d.send("fleet/EX215A0007/dtc", fmt.Sprintf(`{"ts":%q,"protocol":"oem","code":"E360-2","active":%s,"firstSeenAt":%q}`, at.Format(time.RFC3339), active, began))
		d.keep()
	}
	say(0, "2026-03-01T08:00:00Z", "true")
	say(1, "2026-03-01T08:00:00Z", "false")
	say(3, "2026-01-05T00:00:00Z", "true")
	say(4, "2026-01-05T00:00:00Z", "true")
	if got := d.codes(); got != "E360-2 cleared x1 08:00:00-08:00:00; E360-2 active x1 00:00:00-08:00:00" {
		t.Error(got)
	}
}

// A unit that has lost its clock says that a code began in the year 0, which the
// database cannot hold.
func TestLogbook_ATimeThatNobodyLivedInStopsNobody(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.send("fleet/EX215A0007/dtc", fmt.Sprintf(`{"ts":%d,"protocol":"oem","code":"E1","firstSeenAt":"0000-01-01T00:00:00Z"}`, start.UnixMilli()))
	d.keep()
	if got := d.codes(); got != "E1 active x1 08:00:00-08:00:00" {
		t.Error(got)
	}
}

func TestLogbook_CodesOfUnknownMachinesWaitToBeClaimed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.send("fleet/STRANGER/dtc", `{"spn":110,"fmi":0}`)
	d.keep()
	if got := d.codes(); got != "" {
		t.Error(got)
	}
}

func TestLogbook_AMeterThatGoesBackIsWrittenIntoTheLife(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for minute, hours := range []float64{4211.5, 4211.6, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.2, 0.3, 0.4} {
		d.send("fleet/EX215A0007/telemetry", fmt.Sprintf(`{"ts":%d,"values":{"operating_hours":%v}}`, start.Add(time.Duration(minute)*time.Minute).UnixMilli()-3_600_000, hours))
	}
	if status := d.keep(); status.Resets() != 1 {
		t.Errorf("%d resets", status.Resets())
	}
	d.keep()
	d.do(func(ctx context.Context, tx pgx.Tx) error {
		file, err := machines.ReadFile(ctx, tx, d.machine.ID)
		if err != nil {
			return err
		}
		resets := 0
		for _, e := range file.Events {
			if e.Kind == "meter_reset" {
				resets++
				if !strings.Contains(e.TextEN, "from 4211.6 to 0.1") || !strings.Contains(e.Text, "4211.6") {
					t.Errorf("%+v", e)
				}
			}
		}
		if resets != 1 || file.Machine.OperatingHours == nil || *file.Machine.OperatingHours < 4211.75 || *file.Machine.OperatingHours > 4211.95 {
			t.Errorf("%d resets, hours %v", resets, file.Machine.OperatingHours)
		}
		return nil
	})
}

func TestSignal_NamesWhatRulesSee(t *testing.T) {
	t.Parallel()
	spn, fmi := 523002, 12
	for want, c := range map[string]machines.TroubleCode{
		"dtc.spn523002.fmi12": {Code: "SPN523002-FMI12", SPN: &spn, FMI: &fmi},
		"dtc.e360-2":          {Code: "E360-2"},
		"dtc.__7":             {Code: "故障7"},
	} {
		if got := Signal(c); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// A fleet that says each second that all is well costs no transaction.
func TestLogbook_HealthyMachinesCostNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	k := &keeper{Config: Config{Status: &Status{}}, live: map[uuid.UUID]struct{}{}}
	for i := range 20 {
		d.send("fleet/EX215A0007/can", dm1(start.Add(time.Duration(i)*time.Second), fine))
	}
	b, err := telemetry.NewStage(d.log, d.pool, slog.New(slog.DiscardHandler)).Next(t.Context(), 0)
	if err != nil || len(b.Troubles) != 20 {
		t.Fatalf("%+v %v", b, err)
	}
	if k.concerns(k.entries(b)) {
		t.Error("a machine without codes concerns the logbook")
	}
}
