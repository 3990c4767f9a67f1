package dashboards

import (
	"net/http"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
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
}

func showCase(_ *Site, r *request) error {
	id, err := r.id()
	if err != nil {
		return err
	}
	p := casePage{Moves: r.who.Has(movers...), Comments: r.who.Has(staff...), Plans: r.who.Has(planners...), Tells: r.who.Has(office...), Calls: r.who.Has(callers...)}
	err = r.read(func(tx pgx.Tx) error {
		if p.File, err = maintenance.GetCase(r.ctx, tx, r.who, id); err != nil {
			return err
		}
		if !p.Moves {
			p.File.Allowed = nil
		}
		file, err := machines.ReadFile(r.ctx, tx, p.File.MachineID)
		p.Machine, p.Contacts, p.Signals = file.Machine, file.Contacts, file.Signals
		return err
	})
	if err != nil {
		return err
	}
	r.view.Title, r.view.Chart = r.view.Name(p.File.Title, p.File.TitleEN), p.Machine.HasDevice && p.signal() != ""
	return r.renderTitled(http.StatusOK, caseView(r.view, p))
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
	c, err := maintenance.MoveCase(r.ctx, tx, r.now, r.who, id, move)
	if err != nil {
		return "", err
	}
	return r.t("done.case", r.t("case_state."+string(c.State))), nil
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
