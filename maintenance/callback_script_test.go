package maintenance

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

// visited gives a case a visit of the evening before, what the data say since, and
// a promise.
func (o *office) visited(ctx context.Context, t *testing.T, tx pgx.Tx, c Case, v *Verdict) {
	t.Helper()
	done := time.Date(2026, 6, 3, 20, 40, 0, 0, zone)
	o.run(ctx, t, tx, `INSERT INTO work_order (id, case_id, machine_id, customer_id, kind, title, state, technician_id, created_at, on_site_at, completed_at, state_at, result, activity)
		VALUES (@id, @case, @machine, @customer, 'repair', '清洗散热器', 'completed', @engineer, @at, @at, @at, @at, '洗了散热器。', 'service')`,
		pgx.NamedArgs{"id": postgres.NewID(), "case": c.ID, "machine": c.MachineID, "customer": c.CustomerID, "engineer": o.engineer, "at": done})
	o.run(ctx, t, tx, `UPDATE service_case SET verification = @v WHERE id = @id`, pgx.NamedArgs{"v": v, "id": c.ID})
	due := time.Date(2026, 6, 4, 12, 0, 0, 0, zone)
	if _, err := AddPromise(ctx, tx, morning, o.manager, Promise{CaseID: &c.ID, Text: "带风扇马达到场", TextEN: "bring a fan motor", Person: "陈海波", DueAt: due}); err != nil {
		t.Fatal(err)
	}
}

func TestGetCallback_SaysTheFirstSentenceFromTheFacts(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for _, c := range []struct {
		kind  string
		state CaseState
		want  machines.Text
	}{
		{"inform", Open, machines.Text{ZH: "刘总您好，我是王倩。您的设备尾号1418：液压油温偏高，现在还能用，但需要处理。什么时候方便我们上门检查？",
			EN: "Good day Mr Liu, 王倩 here. Your machine 1418: Hydraulic oil running hot. It still works, but needs attention. When may we come and check it?"}},
		{"courtesy", Verifying, machines.Text{ZH: "刘总您好，我是王倩。6月3日陈海波到过尾号1418现场：洗了散热器。陈海波答应 6月4日 12:00 前：带风扇马达到场。现在用着怎么样？",
			EN: "Good day Mr Liu, 王倩 here. Chen Haibo was at 1418 on 3 Jun: it was serviced. Chen Haibo promised by 4 Jun 12:00: bring a fan motor. How is it running now?"}},
		{"satisfaction", AwaitingCallback, machines.Text{ZH: "刘总您好，我是王倩。尾号1418的「液压油温偏高」已处理：6月3日洗了散热器，数据已恢复正常。陈海波答应 6月4日 12:00 前：带风扇马达到场。您对这次服务满意吗？",
			EN: `Good day Mr Liu, 王倩 here. 1418, "Hydraulic oil running hot", has been dealt with: it was serviced on 3 Jun; the data are back to normal. Chen Haibo promised by 4 Jun 12:00: bring a fan motor. Are you satisfied with it?`}},
	} {
		err := o.as(t, o.agent, func(ctx context.Context, tx pgx.Tx) error {
			matter := o.aCase(ctx, t, tx, o.a, c.state, c.kind)
			if c.kind != "inform" {
				o.visited(ctx, t, tx, matter, &Verdict{Passed: true, Enough: true, Deviation: 0.4, Limit: 1.5, Unit: "Cel"})
			}
			row, err := GetCallback(ctx, tx, o.aCall(ctx, t, tx, matter, c.kind).ID)
			if err != nil {
				return err
			}
			if row.Script != c.want {
				t.Errorf("%s:\n got %s\n     %s\nwant %s\n     %s", c.kind, row.Script.ZH, row.Script.EN, c.want.ZH, c.want.EN)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestSay_SpeaksOfTimesAndMachinesAsPeopleDo(t *testing.T) {
	t.Parallel()
	at := func(day, hour int) time.Time { return time.Date(2026, 6, day, hour, 30, 0, 0, zone) }
	for _, c := range []struct {
		got, want machines.Text
	}{
		{dayFrom(at(4, 8), at(3, 20)), machines.Text{ZH: "昨晚", EN: "last night"}},
		{dayFrom(at(4, 8), at(3, 10)), machines.Text{ZH: "昨天", EN: "yesterday"}},
		{dayFrom(at(4, 8), at(4, 1)), machines.Text{ZH: "今天", EN: "today"}},
		{dayFrom(at(4, 8), at(1, 1)), machines.Text{ZH: "6月1日", EN: "on 1 Jun"}},
		{clockFrom(at(4, 8), at(4, 12)), machines.Text{ZH: "12:30", EN: "12:30"}},
		{clockFrom(at(4, 8), at(5, 12)), machines.Text{ZH: "6月5日 12:30", EN: "5 Jun 12:30"}},
		{calledMachine("BC56T2411418", "泵车", "pump"), machines.Text{ZH: "尾号1418", EN: "1418"}},
		{calledMachine("KF-A", "空压机", ""), machines.Text{ZH: "空压机", EN: "空压机"}},
		{workDone("cleaned the fins.", "", "service"), machines.Text{ZH: "做了保养", EN: "cleaned the fins"}},
		{workDone("", "", ""), machines.Text{ZH: "做了检修", EN: "it was worked on"}},
		{deviationLeft(&Verdict{Enough: true, Deviation: -5.2, Unit: "Cel"}), machines.Text{ZH: "数据上还低 5.2 ℃", EN: "the data still show it 5.2 ℃ low"}},
		{deviationLeft(&Verdict{}), machines.Text{ZH: "数据还在验证", EN: "the data are still being verified"}},
		{greeting("", "", machines.Text{}), machines.Text{ZH: "您好，这里是服务中心。", EN: "Good day, service centre here. "}},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestInformScript_SaysHowBadItIs(t *testing.T) {
	t.Parallel()
	visit := time.Date(2026, 6, 4, 19, 30, 0, 0, zone)
	for _, c := range []struct {
		matter matter
		want   string
	}{
		{matter{Title: "红色停机灯亮", TitleEN: "Red stop lamp", Serial: "BC1418", FailureMode: machines.RedStopLamp}, "Your machine 1418: Red stop lamp. Please stop it at once and do not start it again before the cause is known. When may we come and check it?"},
		{matter{Title: "油温", TitleEN: "Oil sensor at fault", Serial: "BC1418", FailureMode: machines.SensorFailure}, "Your machine 1418: Oil sensor at fault. The machine itself is well. When may we come and check it?"},
		{matter{Title: "泵", TitleEN: "Pump stands", Serial: "BC1418", MachineDown: true, VisitAt: &visit}, "Your machine 1418 is down: Pump stands. It goes before everything else. We propose a visit on 4 Jun 19:30. Does that suit you?"},
	} {
		if got := informScript(c.matter).EN; got != c.want {
			t.Errorf("got %s\nwant %s", got, c.want)
		}
	}
}
