package maintenance

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// Inform tells the customer of a case: the contact that is named, else the owner;
// text "" = the standard message in the contact's language. The first telling
// stamps the case, moves it to informed and takes the call off the queue.
func Inform(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, id uuid.UUID, contactID *uuid.UUID, channel, text string) (Case, error) {
	c, err := lockCase(ctx, db, id)
	if err != nil {
		return Case{}, err
	}
	if c.State.Ended() {
		return Case{}, refuse(problem.Conflict, "the case has ended", "服务单已结束")
	}
	contact, err := contactOf(ctx, db, c, contactID)
	if err != nil {
		return Case{}, err
	}
	said := machines.Text{ZH: strings.TrimSpace(text)}
	if said.ZH == "" {
		if said, err = InformText(ctx, db, now, c, contact); err != nil {
			return Case{}, err
		}
	}
	return inform(ctx, db, now, who, c, contact, channel, said)
}

func inform(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Case, contact machines.Contact, channel string, said machines.Text) (Case, error) {
	if c.Undecided() {
		return Case{}, refuseUndecided()
	}
	recipient := contact.Phone
	if recipient == "" {
		recipient = contact.Name
	}
	if err := tell(ctx, db, now, Notice{CustomerID: c.CustomerID, MachineID: &c.MachineID, CaseID: &c.ID, ContactID: &contact.ID,
		Channel: channel, Recipient: recipient, Text: said.In(contact.Language), TextEN: said.EN, Language: contact.Language}); err != nil {
		return Case{}, err
	}
	note := machines.Text{ZH: "已告知" + contact.Name + "：" + said.ZH, EN: "told " + machines.InLanguage("en", contact.Name, contact.NameEN) + ": " + said.In("en")}
	if c.State == Open || c.State == Triaged {
		return stepCase(ctx, db, now, who, c, Informed, note, nil)
	}
	if c.InformedAt == nil {
		after := c
		after.InformedAt = &now
		var err error
		if c, err = changeCase(ctx, db, now, who, "informed", c, after); err != nil {
			return Case{}, err
		}
		if err := cancelCallbacks(ctx, db, now, who.Name, c.ID, "inform"); err != nil {
			return Case{}, err
		}
	}
	return c, noteCase(ctx, db, now, who, c, note)
}

// tellFirst is the order in which a customer's people are told.
var tellFirst = []string{"owner", "manager", "representative", "legal", "operator", "finance"}

// contactOf is the person that is named, or the first of the customer's people.
func contactOf(ctx context.Context, db postgres.DB, c Case, id *uuid.UUID) (machines.Contact, error) {
	if c.CustomerID == nil {
		return machines.Contact{}, refuse(problem.Conflict, "the machine has no owner that could be told", "该设备没有登记机主，无法告知")
	}
	people, err := machines.Contacts(ctx, db, c.CustomerID)
	if err != nil {
		return machines.Contact{}, err
	}
	if id != nil {
		for _, p := range people {
			if p.ID == *id {
				return p, nil
			}
		}
		return machines.Contact{}, notFound("contact of this customer")
	}
	if len(people) == 0 {
		return machines.Contact{}, refuse(problem.Conflict, "no person of this customer is known", "该客户没有联系人")
	}
	return firstOf(people), nil
}

func firstOf(people []machines.Contact) machines.Contact {
	return slices.MinFunc(people, func(a, b machines.Contact) int {
		return slices.Index(tellFirst, a.Capacity) - slices.Index(tellFirst, b.Capacity)
	})
}

// decider is who decides at a customer, nil where nobody is known.
func decider(ctx context.Context, db postgres.DB, customer uuid.UUID) (*machines.Contact, error) {
	people, err := machines.Contacts(ctx, db, &customer)
	if err != nil || len(people) == 0 {
		return nil, err
	}
	first := firstOf(people)
	return &first, nil
}
