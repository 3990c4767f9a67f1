package maintenance

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

func TestCaller_AnOperatorsNumberFindsTheMatterAndTheFirstSentence(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	err := o.as(t, o.agent, func(ctx context.Context, tx pgx.Tx) error {
		c := o.aCase(ctx, t, tx, o.a, InWork, "fouled_cooler")
		o.visited(ctx, t, tx, c, &Verdict{Enough: true, Deviation: 5.2, Limit: 1.5, Unit: "Cel"})
		o.aCase(ctx, t, tx, o.b, Open, "another's")
		if err := tell(ctx, tx, morning.Add(-time.Hour), Notice{CustomerID: &o.a.ID, ContactID: &o.a.Owner, Channel: "sms", Recipient: "x", Text: "y"}); err != nil {
			return err
		}
		for _, number := range []string{"13973420041", "+8613973420041", "86 139 7342 0041", "0086-13973420041", "+8613973420041"} {
			f, err := Caller(ctx, tx, morning, number)
			if err != nil {
				t.Errorf("%s: %v", number, err)
				continue
			}
			if f.Contact.ID != o.a.Operator || f.Owner == nil || f.Owner.ID != o.a.Owner || f.Customer.ID != o.a.ID || len(f.Machines) != 1 || f.Machines[0].ID != o.a.Machine ||
				len(f.OpenCases) != 1 || f.OpenCases[0].ID != c.ID || len(f.Promises) != 1 || f.LastContactAt == nil || !f.LastContactAt.Equal(morning.Add(-time.Hour)) {
				t.Errorf("%s: %+v", number, f)
			}
			want := machines.Text{ZH: "周师傅您好，我是王倩。尾号1418昨晚洗了散热器，数据上还高 5.2 ℃，陈海波答应 12:00 前：带风扇马达到场。现在设备怎么样？",
				EN: "Good day Mr Zhou, 王倩 here. 1418: it was serviced last night, the data still show it 5.2 ℃ high, and Chen Haibo promised by 12:00: bring a fan motor. How is it running now?"}
			if f.FirstSentence != want {
				t.Errorf("%s:\n got %s\n     %s\nwant %s\n     %s", number, f.FirstSentence.ZH, f.FirstSentence.EN, want.ZH, want.EN)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCaller_KnowsWhoOnceReportedAndNobodyElse(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	err := o.as(t, o.agent, func(ctx context.Context, tx pgx.Tx) error {
		c := o.aCase(ctx, t, tx, o.a, Open, "x")
		o.run(ctx, t, tx, `UPDATE service_case SET operator_phone = '13500001111', machine_down = true WHERE id = @id`, pgx.NamedArgs{"id": c.ID})
		f, err := Caller(ctx, tx, morning, "+8613500001111")
		if err != nil {
			return err
		}
		if f.Customer.ID != o.a.ID || f.Contact.Capacity != "operator" || f.FirstSentence.ZH != "您好，我是王倩。尾号1418的「液压油温偏高」我们在处理。现在设备怎么样？" {
			t.Errorf("%+v", f)
		}
		f, err = Caller(ctx, tx, morning, "13807340026") // no open matter
		if err != nil || f.Customer.ID != o.b.ID || f.FirstSentence.EN != "Good day Mr Liu, 王倩 here. There is no open matter with your machines. What can I do for you?" {
			t.Errorf("%+v %v", f.FirstSentence, err)
		}
		_, err = Caller(ctx, tx, morning, "13500002222")
		wantProblem(t, err, problem.NotFound)
		_, err = Caller(ctx, tx, morning, "12; DROP TABLE contact")
		wantProblem(t, err, problem.Invalid)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNormalPhone_IsE164(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]string{
		"13807340417": "+8613807340417", "0734-8123456": "+867348123456", "8613807340417": "+8613807340417", "+49 171 5550100": "+491715550100",
		"0049(171)5550100": "+491715550100", "": "", "abc": "", "+": "", "+12": "", "123456789012345678": "",
	} {
		got, err := normalPhone(number)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q %v, want %q", number, got, err, want)
		}
	}
}
