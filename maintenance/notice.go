package maintenance

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// noticeRunes bounds the text of a notice.
const noticeRunes = 2000

const noticeColumns = `id, customer_id, machine_id, case_id, work_order_id, contact_id, technician_id, channel, recipient, text, text_en, language, state, created_at, sent_at, error`

const insertNoticeSQL = `INSERT INTO notice (` + noticeColumns + `)
VALUES (@id, @customer, @machine, @case, @order, @contact, @technician, @channel, @recipient, @text, @text_en, @language, 'queued', @now, NULL, '')`

// tell stores a notice and puts its delivery into the same transaction: either
// both are there after the commit or neither. What is told to our own people
// belongs to no customer, so that no customer reads it.
func tell(ctx context.Context, db postgres.DB, now time.Time, n Notice) error {
	tx, ok := db.(pgx.Tx)
	if !ok {
		return errors.New("a notice needs a transaction")
	}
	if !knownChannel(n.Channel) {
		return problem.New(problem.Invalid, "there is no channel %q", n.Channel)
	}
	if n.Text == "" || utf8.RuneCountInString(n.Text) > noticeRunes {
		return problem.New(problem.Invalid, "a notice has 1 to %d characters", noticeRunes)
	}
	if n.TechnicianID != nil {
		n.CustomerID = nil
	}
	if n.Language == "" {
		n.Language = "zh"
	}
	n.ID = postgres.NewID()
	if _, err := postgres.Run(ctx, db, insertNoticeSQL, pgx.NamedArgs{"id": n.ID, "customer": n.CustomerID, "machine": n.MachineID,
		"case": n.CaseID, "order": n.WorkOrderID, "contact": n.ContactID, "technician": n.TechnicianID, "channel": n.Channel,
		"recipient": n.Recipient, "text": n.Text, "text_en": n.TextEN, "language": n.Language, "now": now}); err != nil {
		return fmt.Errorf("store a notice: %w", err)
	}
	return enqueue(ctx, tx, deliverNotice{NoticeID: n.ID})
}

// manager is the person in the service organisation who is told of what went
// wrong and who takes over what others did not bring to an end.
type manager struct {
	Name     string `db:"name"`
	Language string `db:"language"`
}

// Another one than the present owner is preferred. A customer's transaction sees
// none of our users: then the role stands for the person.
const managerSQL = `SELECT name, language FROM app_user WHERE role = 'service-manager' AND disabled_at IS NULL
ORDER BY name = @except, created_at, id LIMIT 1`

func serviceManager(ctx context.Context, db postgres.DB, except string) (manager, error) {
	m, err := postgres.One[manager](ctx, db, managerSQL, pgx.NamedArgs{"except": except})
	if problem.Of(err) == problem.NotFound {
		return manager{Name: "service-manager", Language: "zh"}, nil
	}
	if err != nil {
		return m, fmt.Errorf("find the service manager: %w", err)
	}
	return m, nil
}

// tellManager tells the service manager something on the pages.
func tellManager(ctx context.Context, db postgres.DB, now time.Time, n Notice, text machines.Text) error {
	m, err := serviceManager(ctx, db, "")
	if err != nil {
		return err
	}
	n.CustomerID, n.ContactID = nil, nil
	n.Channel, n.Recipient, n.Language, n.Text, n.TextEN = "page", m.Name, m.Language, text.In(m.Language), text.EN
	return tell(ctx, db, now, n)
}

// TellManager tells the service manager what another part of the program has to say.
func TellManager(ctx context.Context, db postgres.DB, now time.Time, text machines.Text) error {
	return tellManager(ctx, db, now, Notice{}, text)
}

const noticesOfSQL = `SELECT ` + noticeColumns + ` FROM notice WHERE case_id = @case ORDER BY created_at, id LIMIT 500`

// noticesOf lists what was told about a case, oldest first.
func noticesOf(ctx context.Context, db postgres.DB, caseID uuid.UUID) ([]Notice, error) {
	return postgres.All[Notice](ctx, db, noticesOfSQL, pgx.NamedArgs{"case": caseID})
}
