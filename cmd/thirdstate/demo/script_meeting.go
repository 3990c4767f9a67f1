package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/maintenance"
)

const addMeetingSQL = `INSERT INTO meeting (id, month, held_at, chair, chair_en) VALUES (@id, @month, @held, '李振华', 'Li Zhenhua') ON CONFLICT (month) DO NOTHING`

const meetingOfSQL = `SELECT id FROM meeting WHERE month = @month`

const addIssueSQL = `INSERT INTO meeting_issue (id, meeting_id, customer_id, text, text_en, raised_by, raised_by_en, raised_at)
VALUES (@id, @meeting, @customer, @text, @text_en, @by, @by_en, @at)`

// meeting is the representatives' meeting: the one of last month was held, the
// coming one has matters that were raised word for word.
func (p *people) meeting() []event {
	day := 24 * time.Hour
	month := time.Date(p.end().In(Zone).Year(), p.end().In(Zone).Month(), 1, 0, 0, 0, 0, time.UTC)
	issue := func(before time.Duration, name, customer, by, byEN, text, textEN string) event {
		return event{p.end().Add(-before), about("issue", name), func(ctx context.Context, tx pgx.Tx, now time.Time) error {
			return raise(ctx, tx, now, month, customer, by, byEN, text, textEN)
		}}
	}
	return []event{
		{p.end().Add(-27 * day), "last meeting", func(ctx context.Context, tx pgx.Tx, now time.Time) error {
			return openMeeting(ctx, tx, month.AddDate(0, -1, 0), &now)
		}},
		{p.end().Add(-10 * day), "coming meeting", func(ctx context.Context, tx pgx.Tx, _ time.Time) error { return openMeeting(ctx, tx, month, nil) }},
		issue(6*day, "twice", "砼达泵送", "刘建国", "Liu Jianguo", "同一个毛病别让我跑两趟", "Do not make me come twice for the same fault"),
		issue(5*day, "night", "恒固混凝土", "李振华", "Li Zhenhua", "夜里浇筑停机，配件要能送到工地", "When a night pour stops, the part must come to the site"),
		issue(3*day, "price", "湘南矿业", "曹德明", "Cao Deming", "保养费先讲清楚再上门", "Say what the service costs before you come"),
	}
}

func openMeeting(ctx context.Context, tx pgx.Tx, month time.Time, held *time.Time) error {
	if _, err := postgres.Run(ctx, tx, addMeetingSQL, pgx.NamedArgs{"id": postgres.NewID(), "month": month, "held": held}); err != nil {
		return fmt.Errorf("add the meeting: %w", err)
	}
	return nil
}

func raise(ctx context.Context, tx pgx.Tx, now, month time.Time, customer, by, byEN, text, textEN string) error {
	if err := openMeeting(ctx, tx, month, nil); err != nil {
		return err
	}
	meeting, err := postgres.Value[uuid.UUID](ctx, tx, meetingOfSQL, pgx.NamedArgs{"month": month})
	if err != nil {
		return fmt.Errorf("find the meeting: %w", err)
	}
	id, err := customerNamed(ctx, tx, customer)
	if err != nil {
		return err
	}
	_, err = postgres.Run(ctx, tx, addIssueSQL, pgx.NamedArgs{"id": postgres.NewID(), "meeting": meeting, "customer": id, "text": text, "text_en": textEN, "by": by, "by_en": byEN, "at": now})
	if err != nil {
		return fmt.Errorf("raise a matter: %w", err)
	}
	return nil
}

// complaints are two: one was answered, one waits.
func (p *people) complaints() []event {
	day := 24 * time.Hour
	slow := maintenance.Complaint{Class: "service", Text: "约好上午来，下午才到，耽误半天", TextEN: "Promised for the morning, came in the afternoon: half a day lost", RaisedBy: "曹德明"}
	bill := maintenance.Complaint{Class: "billing", Text: "里程费算了两次，请核对", TextEN: "Mileage was charged twice, please check", RaisedBy: "彭国栋"}
	return []event{
		{p.end().Add(-11 * day), "complaint slow", p.complain("湘南矿业", slow)},
		{p.end().Add(-10 * day), "complaint slow answered", func(ctx context.Context, tx pgx.Tx, now time.Time) error {
			open, err := maintenance.Complaints(ctx, tx, "received")
			if err != nil {
				return err
			}
			for _, c := range open {
				if c.Text == slow.Text {
					_, err := maintenance.AnswerComplaint(ctx, tx, now, p.manager, c.ID, "已致歉；当天派工晚了 2 小时 40 分，已改派工规则，减免本次里程费", 0)
					return err
				}
			}
			return nil
		}},
		{p.end().Add(-18 * time.Hour), "complaint bill", p.complain("衡阳路桥", bill)},
	}
}

func (p *people) complain(customer string, c maintenance.Complaint) func(context.Context, pgx.Tx, time.Time) error {
	return func(ctx context.Context, tx pgx.Tx, now time.Time) error {
		id, err := customerNamed(ctx, tx, customer)
		if err != nil || id == nil {
			return err
		}
		c.CustomerID = id
		_, err = maintenance.AddComplaint(ctx, tx, now, p.caller, c)
		return err
	}
}
