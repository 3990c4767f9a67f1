package maintenance

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

// odd makes a machine of a party that differs from a usual one by some columns.
func (o *office) odd(ctx context.Context, t *testing.T, tx pgx.Tx, key, set string) uuid.UUID {
	t.Helper()
	id := postgres.NewID()
	o.run(ctx, t, tx, machineSQL, pgx.NamedArgs{"id": id, "serial": key, "name": key, "name_en": key, "customer": o.a.ID, "at": morning})
	o.run(ctx, t, tx, `UPDATE machine SET `+set+` WHERE id = @id`, pgx.NamedArgs{"id": id})
	return id
}

func TestToday_TellsWhatOnlyLooksLikeAFault(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.do(t, func(ctx context.Context, tx pgx.Tx) error {
		site := postgres.NewID()
		o.run(ctx, t, tx, `INSERT INTO site (id, customer_id, name, shut_until, shut_reason, shut_reason_en) VALUES (@id, @c, '雁峰', @until, '高考', 'Exams')`,
			pgx.NamedArgs{"id": site, "c": o.a.ID, "until": time.Date(2026, 6, 9, 0, 0, 0, 0, zone)})
		sensor := o.odd(ctx, t, tx, "KF132", "health = 'well'")
		o.aFinding(ctx, t, tx, machines.Finding{MachineID: sensor, Rule: "s", FailureMode: machines.SensorFailure, Title: "油温传感器故障，设备正常", TitleEN: "Sensor at fault, machine well", Severity: "advice", Source: "rule", OpenedAt: morning})
		old := o.odd(ctx, t, tx, "BE215", "has_device = false, connectivity = 'none', health = 'third_state'")
		o.aFinding(ctx, t, tx, machines.Finding{MachineID: old, Rule: "d", FailureMode: "leak", Title: "回转马达渗油", TitleEN: "Swing motor seep", Severity: "advice", Source: "daily_check", OpenedAt: morning})
		o.odd(ctx, t, tx, "BE365", "operating_status = 'locked', connectivity = 'silent', operating_note = '已锁机（融资租赁），非故障', operating_note_en = 'Locked by the lessor, not a fault'")
		o.odd(ctx, t, tx, "PT37", "connectivity = 'silent', site_id = '"+site.String()+"'")
		o.odd(ctx, t, tx, "GS500", "connectivity = 'no_coverage', last_seen_at = '2026-06-03 22:02Z'")
		o.odd(ctx, t, tx, "QY25", "connectivity = 'silent', last_seen_at = '2026-06-02 22:02Z'")
		o.odd(ctx, t, tx, "SOLD", "connectivity = 'silent', operating_status = 'scrapped'")
		board, err := Today(ctx, tx, morning)
		if err != nil {
			return err
		}
		want := []Attention{
			{MachineName: "KF132", Kind: "sensor_fault", Class: "info", Text: "油温传感器故障，设备正常", TextEN: "Sensor at fault, machine well"},
			{MachineName: "BE215", Kind: "no_device", Class: "advice", Text: "回转马达渗油", TextEN: "Swing motor seep"},
			{MachineName: "BE365", Kind: "locked", Class: "info", Text: "已锁机（融资租赁），非故障", TextEN: "Locked by the lessor, not a fault"},
			{MachineName: "PT37", Kind: "site_shut", Class: "info", Text: "高考，停工至6月9日，保养计时暂停", TextEN: "Exams, shut till 9 Jun, service clock paused"},
			{MachineName: "GS500", Kind: "no_coverage", Class: "info", Text: "无信号工地，最后数据 06:02，不派工", TextEN: "no coverage here, last data 06:02, no visit"},
			{MachineName: "QY25", Kind: "silent", Class: "advice", Text: "6月3日 06:02 起没有数据，原因不明，先查终端", TextEN: "no data since 3 Jun 06:02, cause unknown, check the device first"},
		}
		if len(board.Attention) != len(want) {
			t.Fatalf("%d rows: %+v", len(board.Attention), board.Attention)
		}
		for i, got := range board.Attention {
			got.MachineID, got.MachineNameEN = uuid.Nil, ""
			if got != want[i] {
				t.Errorf("row %d: %+v\nwant %+v", i, got, want[i])
			}
		}
		return nil
	})
}

func TestToday_EachNumberIsTheLengthOfItsList(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.do(t, func(ctx context.Context, tx pgx.Tx) error {
		up := o.aCase(ctx, t, tx, o.a, Verifying, "up")
		proved := o.aCase(ctx, t, tx, o.a, AwaitingCallback, "proved") // the machine is well again
		down := o.aCase(ctx, t, tx, o.a, Triaged, "down")
		o.run(ctx, t, tx, `UPDATE service_case SET machine_down = true WHERE id = @id`, pgx.NamedArgs{"id": down.ID})
		o.aCase(ctx, t, tx, o.a, Closed, "over")
		o.aCase(ctx, t, tx, o.a, Waiting, machines.SensorFailure) // the machine is well
		o.aCall(ctx, t, tx, proved, "satisfaction")
		if err := dueCallback(ctx, tx, morning, down, "inform", morning.Add(time.Minute)); err != nil { // not due yet
			return err
		}
		for _, in := range []time.Duration{time.Hour, 25 * time.Hour} {
			if _, err := AddPromise(ctx, tx, morning, o.manager, Promise{CustomerID: &o.a.ID, Text: "x", Person: "y", DueAt: morning.Add(in)}); err != nil {
				return err
			}
		}
		for _, state := range []string{"dispatched", "accepted"} {
			o.run(ctx, t, tx, `INSERT INTO work_order (id, machine_id, customer_id, kind, title, state, technician_id, created_at, dispatched_at, state_at)
				VALUES (@id, @machine, @customer, 'repair', 'x', @state, @engineer, @at, @at, @at)`, pgx.NamedArgs{"id": postgres.NewID(), "machine": o.a.Machine,
				"customer": o.a.ID, "state": state, "engineer": o.engineer, "at": morning})
		}
		for _, settled := range []time.Time{morning.Add(-time.Hour), morning.Add(-30 * time.Hour)} { // the first one was broken today
			o.run(ctx, t, tx, `INSERT INTO promise (id, customer_id, text, person, made_at, due_at, state, settled_at) VALUES (@id, @c, 'x', 'y', @at, @at, 'broken', @at)`,
				pgx.NamedArgs{"id": postgres.NewID(), "c": o.a.ID, "at": settled})
		}
		b, err := Today(ctx, tx, morning)
		if err != nil {
			return err
		}
		if len(b.ThirdState) != 1 || b.ThirdState[0].ID != up.ID || len(b.Down) != 1 || b.Down[0].ID != down.ID || len(b.PromisesAtRisk) != 2 || len(b.CallbacksDue) != 1 || len(b.NotAccepted) != 1 {
			t.Errorf("third state %d, down %d, promises %d, calls %d, not accepted %d", len(b.ThirdState), len(b.Down), len(b.PromisesAtRisk), len(b.CallbacksDue), len(b.NotAccepted))
		}
		return nil
	})
}

func TestSummary_CountsWhatBecameOfTheCasesOfAMonth(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	june := time.Date(2026, 6, 1, 0, 0, 0, 0, zone)
	o.do(t, func(ctx context.Context, tx pgx.Tx) error {
		set := func(p party, mode, columns string) Case {
			c := o.aCase(ctx, t, tx, p, Closed, mode)
			o.run(ctx, t, tx, `UPDATE service_case SET `+columns+` WHERE id = @id`, pgx.NamedArgs{"id": c.ID})
			return c
		}
		early := set(o.a, "early", "work_completed_at = '2026-06-02Z', closed_at = '2026-06-03Z', verdict = 'true'")
		set(o.a, "too late", "work_completed_at = '2026-06-02Z', machine_down = true")
		set(o.a, "in May", "work_completed_at = '2026-05-02Z'")
		set(o.b, "another's", "work_completed_at = '2026-06-02Z'")
		wrong := set(o.a, "wrong", "work_completed_at = '2026-06-02Z', closed_at = '2026-06-03Z', verdict = 'false_alarm'")
		missed := set(o.a, "missed", "origin = 'request', machine_down = true, opened_at = '2026-06-02Z'")
		set(o.b, "known before", "origin = 'request', machine_down = true, opened_at = '2026-06-02Z'")
		o.aFinding(ctx, t, tx, machines.Finding{MachineID: o.b.Machine, Rule: "r", FailureMode: "x", Severity: "warning", Source: "rule", OpenedAt: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)})
		late := o.aCase(ctx, t, tx, o.a, Deferred, "put off")
		o.run(ctx, t, tx, `INSERT INTO case_move (id, case_id, customer_id, at, from_state, to_state, actor) VALUES (@id, @case, @customer, '2026-06-02Z', 'informed', 'deferred', 'x')`,
			pgx.NamedArgs{"id": postgres.NewID(), "case": late.ID, "customer": o.a.ID})
		s, err := summarise(ctx, tx, june, june.AddDate(0, 1, 0), &o.a.ID)
		if err != nil {
			return err
		}
		for name, c := range map[string]struct {
			got  []CaseRef
			want Case
		}{"found early": {s.FoundEarly, early}, "false alarms": {s.FalseAlarms, wrong}, "missed": {s.Missed, missed}, "deferred": {s.Deferred, late}} {
			if len(c.got) != 1 || c.got[0].ID != c.want.ID || c.got[0].TitleEN == "" {
				t.Errorf("%s: %+v, want case %d", name, c.got, c.want.Number)
			}
		}
		all, err := summarise(ctx, tx, june, june.AddDate(0, 1, 0), nil)
		if err != nil || len(all.FoundEarly) != 2 || len(all.Missed) != 1 {
			t.Errorf("of all: %+v %v", all, err)
		}
		return nil
	})
}
