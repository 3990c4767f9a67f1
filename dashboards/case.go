package dashboards

import (
	"math"
	"net/http"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/maintenance/dispatch"
)

// casePage is one case: what is wrong, what was done, what comes next.
type casePage struct {
	File     maintenance.CaseFile
	Machine  machines.Row
	Contacts []machines.Contact
	Signals  []machines.Signal
	Moves    bool // may move it
	Comments bool
	Plans    bool // may schedule a work order
	Tells    bool // may tell the owner
	Calls    bool // may open a callback
	Closes   bool // may close it, once it is proved and the customer satisfied
	Promises bool // may note a promise
	Owner    bool // decides about it

	Draft     string          // the standard message
	Suggested []dispatch.Part // for a repair that did not hold
}

func showCase(_ *Site, r *request) error {
	id, err := r.id()
	if err != nil {
		return err
	}
	p := casePage{Moves: r.who.Has(movers...), Comments: r.who.Has(staff...), Plans: r.who.Has(planners...), Tells: r.who.Has(office...), Calls: r.who.Has(callers...),
		Closes: r.who.Has(managers...), Promises: r.who.Has(office...), Owner: r.who.Has(identity.OwnerAdmin)}
	err = r.read(func(tx pgx.Tx) error {
		if p.File, err = maintenance.GetCase(r.ctx, tx, r.who, id); err != nil {
			return err
		}
		if !p.Moves {
			p.File.Allowed = nil
		}
		file, err := machines.ReadFile(r.ctx, tx, p.File.MachineID)
		p.Machine, p.Contacts, p.Signals = file.Machine, file.Contacts, file.Signals
		if err != nil {
			return err
		}
		return p.propose(r, tx)
	})
	if err != nil {
		return err
	}
	r.view.Title, r.view.Chart = r.view.Name(p.File.Title, p.File.TitleEN), p.Machine.HasDevice && p.signal() != ""
	return r.renderTitled(http.StatusOK, caseView(r.view, p))
}

// propose reads what the page proposes: the message to the owner, the parts for the
// next visit.
func (p *casePage) propose(r *request, tx pgx.Tx) error {
	var err error
	if v := p.File.Verification; v != nil && v.Enough && !v.Passed {
		var numbers []string
		for _, f := range p.File.Findings {
			numbers = append(numbers, f.Facts.Parts...)
		}
		if p.Suggested, err = maintenance.PartsAt(r.ctx, tx, numbers); err != nil {
			return err
		}
	}
	if !p.Tells || len(p.Contacts) == 0 || p.File.State != maintenance.Open && p.File.State != maintenance.Triaged {
		return nil
	}
	draft, err := maintenance.InformText(r.ctx, tx, r.now, p.File.Case, p.Contacts[0])
	p.Draft = draft.In(p.Contacts[0].Language)
	return err
}

// refuse tells why an action was not done, on the page it came from.
func (r *request) refuse(err error) error {
	p := problem.As(err)
	if p == nil || p.Kind == problem.Internal || p.Kind == problem.Unavailable {
		return err
	}
	r.flash("refused", r.told(p))
	return r.back()
}

func doMoveCase(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	move := maintenance.CaseMove{To: maintenance.CaseState(r.FormValue("to")), Note: r.FormValue("note"), Reason: r.FormValue("reason"),
		Person: r.FormValue("person"), WaitingFor: r.FormValue("waiting_for"), Verdict: r.FormValue("verdict")}
	if move.Until, err = r.formDays("days"); err != nil {
		return "", err
	}
	if move.VisitAt, err = r.formTime("visit_at"); err != nil {
		return "", err
	}
	if move.To == maintenance.Deferred && move.Reason == "" && r.who.Has(identity.OwnerAdmin) {
		if err := r.knowsTheRisk(tx, id, &move); err != nil {
			return "", err
		}
	}
	c, err := maintenance.MoveCase(r.ctx, tx, r.now, r.who, id, move)
	if err != nil {
		return "", err
	}
	switch {
	case c.State == maintenance.Deferred && c.DeferredUntil != nil:
		days := int(math.Round(c.DeferredUntil.Sub(r.now).Hours() / 24))
		return r.t("done.deferred", days, r.view.Name(c.Risk, c.RiskEN), r.view.Actor(c.DeferredBy), r.now.In(zone).Format("15:04")), nil
	case c.State == maintenance.Planned && move.VisitAt != nil:
		return r.t("done.visit", r.view.Text(maintenance.SlotName(r.now, *move.VisitAt))), nil
	}
	return r.t("done.case", r.t("case_state."+string(c.State))), nil
}

// knowsTheRisk fills in the risk that the owner's page has told him.
func (r *request) knowsTheRisk(tx pgx.Tx, id uuid.UUID, move *maintenance.CaseMove) error {
	c, err := maintenance.GetCase(r.ctx, tx, r.who, id)
	if err != nil {
		return err
	}
	m, err := machines.GetRow(r.ctx, tx, c.MachineID)
	risk := r.view.both(riskKey(m.Kind))
	move.Reason, move.ReasonEN = risk.ZH, risk.EN
	return err
}

func doPromise(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	due, err := r.formTime("due")
	if err != nil {
		return "", err
	}
	if due == nil {
		return "", r.refusal(problem.Invalid, "error.time")
	}
	p := maintenance.Promise{CaseID: &id, Text: r.FormValue("text"), Person: r.FormValue("person"), DueAt: *due}
	if zh, en := r.FormValue("proposed_zh"), r.FormValue("proposed_en"); p.Text != "" && p.Text == r.view.Name(zh, en) {
		p.Text, p.TextEN = zh, en // as it was proposed, in both languages
	}
	_, err = maintenance.AddPromise(r.ctx, tx, r.now, r.who, p)
	return r.t("done.promise"), err
}

func doSettle(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	p, err := maintenance.SettlePromise(r.ctx, tx, r.now, r.who, id, r.FormValue("state"), r.FormValue("evidence"), "")
	if err != nil {
		return "", err
	}
	return r.t("done.settled", r.t("promise."+p.State)), nil
}

func doInform(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	var contact *uuid.UUID
	if c, err := uuid.Parse(r.FormValue("contact")); err == nil {
		contact = &c
	}
	if _, err = maintenance.Inform(r.ctx, tx, r.now, r.who, id, contact, "sms", r.FormValue("text")); err != nil {
		return "", err
	}
	return r.t("done.informed"), nil
}

func doComment(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	return r.t("done.comment"), maintenance.Comment(r.ctx, tx, r.now, r.who, id, machines.Text{ZH: r.FormValue("text")})
}

func doOrder(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	file, err := maintenance.GetCase(r.ctx, tx, r.who, id)
	if err != nil {
		return "", err
	}
	order := maintenance.NewOrder{CaseID: &id, MachineID: file.MachineID, Kind: r.FormValue("kind"), Title: file.Title, TitleEN: file.TitleEN}
	if order.PlannedAt, err = r.formTime("planned_at"); err != nil {
		return "", err
	}
	o, err := maintenance.ScheduleOrder(r.ctx, tx, r.now, r.who, order)
	if err != nil {
		return "", err
	}
	return r.t("done.order", o.Number), nil
}

func doRequest(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	c, err := maintenance.OpenRequest(r.ctx, tx, r.now, r.who, maintenance.Request{MachineID: id, Down: r.FormValue("down") == "yes",
		PouringNow: r.FormValue("pouring") == "yes", OperatorPhone: r.FormValue("phone"), Description: r.FormValue("description"), CallerName: r.FormValue("caller")})
	if err != nil {
		return "", err
	}
	return r.t("done.request", c.Number), nil
}

func doInspection(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	at, err := r.formTime("planned_at")
	if err != nil {
		return "", err
	}
	o, err := maintenance.ScheduleOrder(r.ctx, tx, r.now, r.who, maintenance.NewOrder{MachineID: id, Kind: "inspection", Title: "例行检查", TitleEN: "Inspection", PlannedAt: at})
	if err != nil {
		return "", err
	}
	return r.t("done.order", o.Number), nil
}

func doReading(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	value, err := r.formNumber("value")
	if err != nil {
		return "", err
	}
	if value == nil {
		return "", r.refusal(problem.Invalid, "error.number")
	}
	_, finding, err := machines.AddReading(r.ctx, tx, r.now, r.who, machines.Reading{MachineID: id, At: r.now, Signal: r.FormValue("signal"),
		Value: *value, Unit: r.FormValue("unit"), Source: r.FormValue("source")})
	if err != nil {
		return "", err
	}
	if finding == nil {
		return r.t("done.reading"), nil
	}
	return r.t("done.reading_finding", r.view.Name(finding.Title, finding.TitleEN)), nil
}
