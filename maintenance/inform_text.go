package maintenance

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// shortMessage is how many characters a Chinese SMS has: a longer one is sent,
// and paid, as two.
const shortMessage = 70

// InformText is the standard message to a customer about a case: what is the
// matter, how bad it is, what we propose. The Chinese one is one SMS.
func InformText(ctx context.Context, db postgres.DB, now time.Time, c Case, contact machines.Contact) (machines.Text, error) {
	t, err := messageAbout(ctx, db, c, contact)
	if err != nil {
		return machines.Text{}, err
	}
	if t.visitAt, err = nextVisit(ctx, db, c.ID); err != nil {
		return machines.Text{}, err
	}
	return t.text(now), nil
}

// messageAbout reads what a message to a person about a case says.
func messageAbout(ctx context.Context, db postgres.DB, c Case, contact machines.Contact) (message, error) {
	m, err := machines.GetRow(ctx, db, c.MachineID)
	if err != nil {
		return message{}, err
	}
	t := message{Case: c, contact: contact, serial: m.Serial, name: inBoth(m.Name, m.NameEN), kind: m.Kind, site: inBoth(m.SiteName, m.SiteNameEN)}
	if t.sender, err = senderName(ctx, db); err != nil {
		return message{}, err
	}
	findings, err := machines.CaseFindings(ctx, db, c.ID)
	if err != nil {
		return message{}, err
	}
	t.extent = extentOf(findings)
	return t, nil
}

// message is what a message to a customer is made of.
type message struct {
	Case
	contact machines.Contact
	serial  string
	name    machines.Text
	kind    string
	site    machines.Text
	sender  machines.Text
	extent  string // by how much, with its unit
	visitAt *time.Time
}

func (t message) text(now time.Time) machines.Text {
	head, tail := t.address(), t.proposal(now)
	about := machines.Text{}
	if t.extent != "" {
		about = machines.Text{ZH: "约" + t.extent, EN: ", about " + t.extent}
	}
	title := inBoth(t.Title, t.TitleEN)
	room := shortMessage - utf8.RuneCountInString(head.ZH+about.ZH+tail.ZH)
	return machines.Text{ZH: head.ZH + clip(title.ZH, max(room, 6)) + about.ZH + tail.ZH, EN: head.EN + title.EN + about.EN + tail.EN}
}

// address names sender, addressee and machine, as people know it.
func (t message) address() machines.Text {
	to := inBoth(t.contact.Salutation, t.contact.SalutationEN)
	if to.ZH == "" {
		to = inBoth(t.contact.Name, t.contact.NameEN)
	}
	machine := t.name
	if tail := tailOf(t.serial); tail != "" {
		noun := kindNoun(t.kind)
		machine = machines.Text{ZH: "尾号" + tail + noun.ZH, EN: strings.TrimSpace(noun.EN + " .." + tail)}
	}
	return machines.Text{ZH: "【" + t.sender.ZH + "】" + to.ZH + "：" + machine.ZH, EN: "[" + t.sender.EN + "] " + to.EN + ", " + machine.EN + ": "}
}

// proposal says how bad it is and what we propose.
func (t message) proposal(now time.Time) machines.Text {
	switch {
	case t.MachineDown:
		return machines.Text{ZH: "。已排在最前，正派人上门。", EN: ". It comes first with us, somebody is being sent."}
	case t.FailureMode == machines.RedStopLamp:
		return machines.Text{ZH: "。请立即停机，不要再启动，我们马上联系您。", EN: ". Please stop it at once and do not start it again; we call you right away."}
	case t.FailureMode == machines.SensorFailure:
		return machines.Text{ZH: "。可照常使用，传感器随下次上门更换。", EN: ". It can be used as usual; the sensor is changed at the next visit."}
	}
	state := machines.Text{ZH: "，能干活，但可能中途停机。", EN: ". It works, but may stop at work. "}
	if t.kind == "concrete_pump" {
		state = machines.Text{ZH: "，能干活，但浇筑中可能停泵。", EN: ". It works, but may stop during a pour. "}
	}
	if t.visitAt != nil {
		at := spokenSlot(now, *t.visitAt)
		return and(state, machines.Text{ZH: at.ZH + "上门约1小时，检查免费。", EN: "We come " + at.EN + ", about 1 hour; the inspection is free."})
	}
	slots := VisitChoices(now, t.kind)
	first, second := spokenSlot(now, slots[0]), spokenSlot(now, slots[1])
	return and(state, machines.Text{ZH: "拟" + first.ZH + "或" + second.ZH + "上门1小时，检查免费，请选时间。",
		EN: "We propose " + first.EN + " or " + second.EN + ", about 1 hour; the inspection is free. Please choose."})
}

// forOperator tells the person at the machine when to keep it where.
func (t message) forOperator(now, at time.Time) machines.Text {
	head, when := t.address(), SlotName(now, at)
	where := machines.Text{ZH: "，请把车留在" + t.site.ZH, EN: "; please keep it at " + t.site.EN}
	if t.kind != "concrete_pump" && t.kind != "excavator" || t.site.ZH == "" {
		where = machines.Text{}
	}
	return machines.Text{ZH: head.ZH + when.ZH + "上门检查，约1小时" + where.ZH + "。", EN: head.EN + "we come to check it " + when.EN + ", about 1 hour" + where.EN + "."}
}

const mostOperators = 5 // of one customer who are told of a visit

// tellOperators tells the people who work with a machine when a visit is.
func tellOperators(ctx context.Context, db postgres.DB, now time.Time, c Case, at time.Time) error {
	people, err := machines.Contacts(ctx, db, c.CustomerID)
	if err != nil || c.CustomerID == nil {
		return err
	}
	told := 0
	for _, p := range people {
		if p.Capacity != "operator" || p.Phone == "" || told == mostOperators {
			continue
		}
		told++
		t, err := messageAbout(ctx, db, c, p)
		if err != nil {
			return err
		}
		text := t.forOperator(now, at)
		err = tell(ctx, db, now, Notice{CustomerID: c.CustomerID, MachineID: &c.MachineID, CaseID: &c.ID, ContactID: &p.ID, Channel: "sms",
			Recipient: p.Phone, Text: text.In(p.Language), TextEN: text.EN, Language: p.Language})
		if err != nil {
			return err
		}
	}
	return nil
}

// tailOf are the last four digits of a serial number, which are on a machine's
// side in big figures; "" where it does not end in four.
func tailOf(serial string) string {
	if n := len(serial); n >= 4 && strings.Trim(serial[n-4:], "0123456789") == "" {
		return serial[n-4:]
	}
	return ""
}

// kindNoun is what people call a kind of machine.
func kindNoun(kind string) machines.Text {
	for _, k := range kindNouns {
		if k.kind == kind {
			return k.text
		}
	}
	return machines.Text{}
}

// kindNouns lists the kinds of machines that have a name in both languages. Add yours here.
var kindNouns = []struct {
	kind string
	text machines.Text
}{
	{"concrete_pump", machines.Text{ZH: "泵车", EN: "pump truck"}},
	{"excavator", machines.Text{ZH: "挖掘机", EN: "excavator"}},
	{"compressor", machines.Text{ZH: "空压机", EN: "compressor"}},
	{"genset", machines.Text{ZH: "发电机组", EN: "genset"}},
	{"crane", machines.Text{ZH: "起重机", EN: "crane"}},
}

const senderSQL = `SELECT name, name_en FROM org_unit WHERE kind = 'organisation' ORDER BY id LIMIT 1`

// senderName is under which name a service organisation writes.
func senderName(ctx context.Context, db postgres.DB) (machines.Text, error) {
	maker, err := postgres.One[struct {
		Name   string `db:"name"`
		NameEN string `db:"name_en"`
	}](ctx, db, senderSQL, nil)
	if problem.Of(err) == problem.NotFound {
		return machines.Text{ZH: "设备服务", EN: "Service"}, nil
	}
	named := inBoth(maker.Name, maker.NameEN)
	return machines.Text{ZH: named.ZH + "服务", EN: named.EN + " Service"}, err
}

// extentOf says in words how far the first finding of a case is from normal, where
// a rule has measured it: its evidence is read as far as it is known here.
func extentOf(findings []machines.Finding) string {
	for _, f := range findings {
		var e struct {
			Deviation, Sigma float64
			Unit             string
		}
		if len(f.Evidence) == 0 || json.Unmarshal(f.Evidence, &e) != nil || !(e.Sigma > 0) || math.Abs(e.Deviation) < 1 {
			continue
		}
		n := e.Deviation
		if math.Abs(n) >= 3 {
			n = math.Round(n)
		}
		return trimmedNumber(n) + strings.TrimSpace(spokenUnit(e.Unit))
	}
	return ""
}

const nextVisitSQL = `SELECT min(planned_at) FROM work_order WHERE case_id = @case AND planned_at IS NOT NULL
  AND state NOT IN ('completed', 'cannot_complete', 'cancelled')`

func nextVisit(ctx context.Context, db postgres.DB, caseID uuid.UUID) (*time.Time, error) {
	return postgres.Value[*time.Time](ctx, db, nextVisitSQL, pgx.NamedArgs{"case": caseID})
}
