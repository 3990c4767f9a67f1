package maintenance

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
)

func (o *office) meeting(t *testing.T) {
	t.Helper()
	may := func(day int) time.Time { return time.Date(2026, 5, day, 12, 0, 0, 0, zone) }
	o.do(t, func(ctx context.Context, tx pgx.Tx) error {
		for _, p := range []struct {
			of    uuid.UUID
			state string
			due   time.Time
		}{{o.a.ID, "kept", may(10)}, {o.a.ID, "broken", may(20)}, {o.a.ID, "open", may(30)}, {o.a.ID, "withdrawn", may(11)}, {o.a.ID, "kept", may(-10)},
			{o.a.ID, "open", morning.AddDate(0, 0, 5)}, {o.b.ID, "kept", may(10)}} {
			o.run(ctx, t, tx, `INSERT INTO promise (id, customer_id, text, person, made_at, due_at, state) VALUES (@id, @of, 'x', '赵敏', @made, @due, @state)`,
				pgx.NamedArgs{"id": postgres.NewID(), "of": p.of, "made": p.due.AddDate(0, 0, -3), "due": p.due, "state": p.state})
		}
		meeting := postgres.NewID()
		o.run(ctx, t, tx, `INSERT INTO meeting (id, month) VALUES (@id, '2026-06-01')`, pgx.NamedArgs{"id": meeting})
		for _, p := range []party{o.a, o.b} {
			o.run(ctx, t, tx, `INSERT INTO meeting_issue (id, meeting_id, customer_id, text, raised_by, raised_at) VALUES (@id, @m, @c, '同一个毛病别让我跑两趟', '刘建国', @at)`,
				pgx.NamedArgs{"id": postgres.NewID(), "m": meeting, "c": p.ID, "at": may(31)})
			c := o.aCase(ctx, t, tx, p, Open, "x")
			if _, err := AddComplaint(ctx, tx, morning, o.manager, Complaint{CaseID: &c.ID, Text: "x"}); err != nil {
				return err
			}
		}
		o.run(ctx, t, tx, `UPDATE machine SET health = 'third_state' WHERE id = @id`, pgx.NamedArgs{"id": o.b.Machine})
		o.odd(ctx, t, tx, "SECOND", "health = 'unknown', customer_id = '"+o.b.ID.String()+"'")
		return nil
	})
}

func TestMeetingPack_ARepresentativeSeesItsOwnByNameAndOthersAsNumbers(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.meeting(t)
	june := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	rep := identity.Principal{Name: "李振华", Role: identity.CustomerRepresentative, CustomerID: o.a.ID, Language: "zh"}
	for name, asked := range map[string]*uuid.UUID{"as it should be": &o.a.ID, "for all": nil, "for another": &o.b.ID} {
		p, err := MeetingPack(t.Context(), o.pool, rep, morning, june, asked)
		if err != nil {
			t.Fatal(err)
		}
		if *p.CustomerID != o.a.ID || len(p.Fleet) != 1 || p.Fleet[0].ID != o.a.Machine || p.Others != (HealthCount{ThirdState: 1, Unknown: 1}) {
			t.Errorf("%s: fleet %+v, others %+v", name, p.Fleet, p.Others)
		}
		if p.Kept != 1 || p.Broken != 2 || len(p.Promises) != 4 { // the one that nobody settled is broken too
			t.Errorf("%s: %d kept, %d broken of %+v", name, p.Kept, p.Broken, p.Promises)
		}
		if p.All == nil || p.All.Kept != 2 || p.All.Broken != 2 {
			t.Errorf("%s: of all customers %+v", name, p.All)
		}
		if len(p.Issues) != 1 || p.Issues[0].Text != "同一个毛病别让我跑两趟" || p.Issues[0].RaisedBy != "刘建国" {
			t.Errorf("%s: issues %+v", name, p.Issues)
		}
		if len(p.OpenCases) != 1 || *p.OpenCases[0].CustomerID != o.a.ID || len(p.Complaints) != 1 || *p.Complaints[0].CustomerID != o.a.ID {
			t.Errorf("%s: cases %+v, complaints %+v", name, p.OpenCases, p.Complaints)
		}
	}
}

func TestMeetingPack_StaffSeesAllOrOne(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.meeting(t)
	all, err := MeetingPack(t.Context(), o.pool, o.manager, morning, morning, nil)
	if err != nil {
		t.Fatal(err)
	}
	if all.CustomerID != nil || all.All != nil || len(all.Fleet) != 3 || all.Others != (HealthCount{}) || len(all.Issues) != 2 || all.Kept != 2 || !all.Month.Equal(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("all: %+v", all)
	}
	one, err := MeetingPack(t.Context(), o.pool, o.manager, morning, morning, &o.b.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(one.Fleet) != 2 || one.Others != (HealthCount{Well: 1}) || len(one.Issues) != 1 || one.Kept != 1 {
		t.Errorf("one: %+v", one)
	}
}
