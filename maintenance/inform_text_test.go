package maintenance

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

func TestInformText_IsOneShortMessage(t *testing.T) {
	t.Parallel()
	visit := time.Date(2026, 6, 5, 14, 0, 0, 0, zone)
	owner := machines.Contact{Name: "刘建国", NameEN: "Liu Jianguo", Salutation: "刘总", SalutationEN: "Mr Liu"}
	for _, c := range []struct {
		message message
		want    machines.Text
	}{
		{message{Case: Case{Title: "液压油温偏高", TitleEN: "Hydraulic oil running hot"}, serial: "BC56T2411418", kind: "concrete_pump", extent: "7 ℃"},
			machines.Text{ZH: "【北辰服务】刘总：尾号1418泵车液压油温偏高约7 ℃，能干活，但浇筑中可能停泵。拟今晚或明早上门1小时，检查免费，请选时间。",
				EN: "[Beichen Service] Mr Liu, pump truck ..1418: Hydraulic oil running hot, about 7 ℃. It works, but may stop during a pour. We propose tonight or tomorrow morning, about 1 hour; the inspection is free. Please choose."}},
		{message{Case: Case{Title: "红色停机灯亮：机油压力：低于正常范围，最严重", TitleEN: "Red stop lamp: Engine oil pressure: below normal, most severe", FailureMode: machines.RedStopLamp}, serial: "BE21N1903288", kind: "excavator"},
			machines.Text{ZH: "【北辰服务】刘总：尾号3288挖掘机红色停机灯亮：机油压力：低于正常范围，最严重。请立即停机，不要再启动，我们马上联系您。",
				EN: "[Beichen Service] Mr Liu, excavator ..3288: Red stop lamp: Engine oil pressure: below normal, most severe. Please stop it at once and do not start it again; we call you right away."}},
		{message{Case: Case{Title: "先导压力下降", TitleEN: "Pilot pressure is falling"}, serial: "BE21N1903288", kind: "excavator", visitAt: &visit},
			machines.Text{ZH: "【北辰服务】刘总：尾号3288挖掘机先导压力下降，能干活，但可能中途停机。明天上门约1小时，检查免费。",
				EN: "[Beichen Service] Mr Liu, excavator ..3288: Pilot pressure is falling. It works, but may stop at work. We come tomorrow, about 1 hour; the inspection is free."}},
		{message{Case: Case{Title: "报修（停机）：动臂油管爆管，夜班停工", MachineDown: true, TitleEN: "Reported down"}, name: machines.Text{ZH: "21 吨挖掘机", EN: "21 t excavator"}},
			machines.Text{ZH: "【北辰服务】刘总：21 吨挖掘机报修（停机）：动臂油管爆管，夜班停工。已排在最前，正派人上门。",
				EN: "[Beichen Service] Mr Liu, 21 t excavator: Reported down. It comes first with us, somebody is being sent."}},
	} {
		c.message.sender, c.message.contact = machines.Text{ZH: "北辰服务", EN: "Beichen Service"}, owner
		got := c.message.text(time.Date(2026, 6, 4, 6, 10, 0, 0, zone))
		if got != c.want || utf8.RuneCountInString(got.ZH) > shortMessage {
			t.Errorf("%d characters\n got %s\n     %s\nwant %s\n     %s", utf8.RuneCountInString(got.ZH), got.ZH, got.EN, c.want.ZH, c.want.EN)
		}
	}
	long := message{Case: Case{Title: strings.Repeat("油管", 40)}, contact: owner, sender: machines.Text{ZH: "北辰服务"}, serial: "BC56T2411418", kind: "concrete_pump"}
	if got := long.text(visit).ZH; utf8.RuneCountInString(got) > shortMessage || !strings.Contains(got, "…") {
		t.Errorf("%d characters: %s", utf8.RuneCountInString(got), got)
	}
}

func TestExtent_IsWhatARuleHasMeasured(t *testing.T) {
	t.Parallel()
	for evidence, want := range map[string]string{
		`{"deviation":7.4,"unit":"Cel","sigma":1}`: "7℃", `{"deviation":-1.26,"unit":"bar","sigma":1}`: "1.3bar",
		`{"deviation":7.4,"unit":"Cel"}`: "", `{"deviation":0.2,"sigma":1}`: "", `{"deviation":"x"}`: "", ``: "",
	} {
		if got := extentOf([]machines.Finding{{}, {Evidence: json.RawMessage(evidence)}}); got != want {
			t.Errorf("%s: %q, want %q", evidence, got, want)
		}
	}
}

func TestVisitChoices_AreTheNextTimesAtWhichTheMachineStands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		hour        int
		kind        string
		first, then machines.Text
	}{
		{6, "concrete_pump", machines.Text{ZH: "今晚 19:30", EN: "tonight 19:30"}, machines.Text{ZH: "明早 05:30", EN: "tomorrow morning 05:30"}},
		{18, "concrete_pump", machines.Text{ZH: "明早 05:30", EN: "tomorrow morning 05:30"}, machines.Text{ZH: "明晚 19:30", EN: "tomorrow evening 19:30"}},
		{2, "compressor", machines.Text{ZH: "今早 07:30", EN: "this morning 07:30"}, machines.Text{ZH: "今晚 19:30", EN: "tonight 19:30"}},
	} {
		now := time.Date(2026, 6, 4, c.hour, 10, 0, 0, zone)
		at := VisitChoices(now, c.kind)
		if len(at) != 2 || SlotName(now, at[0]) != c.first || SlotName(now, at[1]) != c.then {
			t.Errorf("at %d o'clock: %v", c.hour, at)
		}
	}
	now := time.Date(2026, 6, 4, 6, 10, 0, 0, zone)
	if got := SlotName(now, now.AddDate(0, 0, 3)); got != (machines.Text{ZH: "6月7日 06:10", EN: "7 Jun 06:10"}) {
		t.Errorf("far ahead: %v", got)
	}
}

// What an owner chooses on his phone is the order that the dispatcher finds, and
// the operator knows when and where.
func TestMoveCase_OwnerChoosesTheTimeOfTheVisit(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	c, _ := o.calling(t, o.a, Informed, "inform")
	at := time.Date(2026, 6, 4, 19, 30, 0, 0, zone).UTC()
	choose := func(who party, m CaseMove) error {
		return o.as(t, who.who, func(ctx context.Context, tx pgx.Tx) error {
			_, err := MoveCase(ctx, tx, morning, who.who, c.ID, m)
			return err
		})
	}
	wantProblem(t, choose(o.a, CaseMove{To: Planned}), problem.Invalid)
	past, far := morning.Add(-time.Hour), morning.Add(visitsAhead+time.Hour)
	wantProblem(t, choose(o.a, CaseMove{To: Planned, VisitAt: &past}), problem.Invalid)
	wantProblem(t, choose(o.a, CaseMove{To: Planned, VisitAt: &far}), problem.Invalid)
	wantProblem(t, choose(o.b, CaseMove{To: Planned, VisitAt: &at}), problem.NotFound)
	if err := choose(o.a, CaseMove{To: Planned, VisitAt: &at}); err != nil {
		t.Fatal(err)
	}
	err := o.as(t, o.manager, func(ctx context.Context, tx pgx.Tx) error {
		f, err := GetCase(ctx, tx, o.manager, c.ID)
		if err != nil {
			return err
		}
		if f.State != Planned || len(f.WorkOrders) != 1 || f.WorkOrders[0].State != OrderOpen || f.WorkOrders[0].PlannedAt == nil || !f.WorkOrders[0].PlannedAt.Equal(at) {
			t.Errorf("%s, %+v", f.State, f.WorkOrders)
		}
		if len(f.Callbacks) != 1 || f.Callbacks[0].State != "cancelled" {
			t.Errorf("he is still to be asked: %+v", f.Callbacks)
		}
		if len(f.Notices) != 1 || *f.Notices[0].ContactID != o.a.Operator || f.Notices[0].Text != "【设备服务】周师傅：尾号1418今晚 19:30上门检查，约1小时。" {
			t.Errorf("the operator: %+v", f.Notices)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Who defers and comes back by himself need not be asked again.
func TestMoveCase_OwnerComesBackAndIsNotCalled(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	c, _ := o.calling(t, o.a, Informed, "inform")
	until := morning.Add(72 * time.Hour)
	err := o.as(t, o.a.who, func(ctx context.Context, tx pgx.Tx) error {
		put, err := MoveCase(ctx, tx, morning, o.a.who, c.ID, CaseMove{To: Deferred, Until: &until, Reason: "浇筑中停泵、堵管", ReasonEN: "Stop and blockage during a pour"})
		if err != nil {
			return err
		}
		if put.DeferredBy != "刘建国" || put.RiskEN != "Stop and blockage during a pour" {
			t.Errorf("%+v", put)
		}
		if _, err = MoveCase(ctx, tx, morning, o.a.who, c.ID, CaseMove{To: Informed}); err != nil {
			return err
		}
		f, err := GetCase(ctx, tx, o.a.who, c.ID)
		if err != nil {
			return err
		}
		for _, call := range f.Callbacks {
			if call.State == "due" {
				t.Errorf("he is called: %+v", call)
			}
		}
		if note := f.Moves[0]; note.Note != "浇筑中停泵、堵管 — 刘建国" || note.NoteEN != "Stop and blockage during a pour — Liu Jianguo" {
			t.Errorf("%q / %q", note.Note, note.NoteEN)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
