package dashboards

import (
	"net/http"
	"time"

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
	Staff    bool
	Plans    bool // may schedule a work order
	Tells    bool // may tell the owner
}

func showCase(_ *Site, r *request) error {
	id, err := r.id()
	if err != nil {
		return err
	}
	p := casePage{Staff: !r.who.Role.CustomerScoped(), Plans: r.who.Has(planners...), Tells: r.who.Has(office...)}
	err = r.read(func(tx pgx.Tx) error {
		if p.File, err = maintenance.GetCase(r.ctx, tx, r.who, id); err != nil {
			return err
		}
		file, err := machines.ReadFile(r.ctx, tx, p.File.MachineID)
		p.Machine, p.Contacts, p.Signals = file.Machine, file.Contacts, file.Signals
		return err
	})
	if err != nil {
		return err
	}
	r.view.Title = r.view.Name(p.File.Title, p.File.TitleEN)
	return r.renderTitled(http.StatusOK, caseView(r.view, p))
}

// refuse tells why an action was not done, on the page it came from.
func (r *request) refuse(err error) error {
	p := problem.As(err)
	if p == nil {
		return err
	}
	text := p.Text
	if len(p.Allowed) > 0 {
		names := ""
		for i, state := range p.Allowed {
			if i > 0 {
				names += " · "
			}
			names += r.t("case_state." + state)
		}
		text = r.t("refused.allowed", text, names)
	}
	r.flash("refused", text)
	return r.back()
}

func doMoveCase(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	move := maintenance.CaseMove{To: maintenance.CaseState(r.FormValue("to")), Note: r.FormValue("note"), Reason: r.FormValue("reason"),
		Person: r.FormValue("person"), WaitingFor: r.FormValue("waiting_for"), Verdict: r.FormValue("verdict")}
	if days := r.FormValue("days"); days != "" {
		d, err := time.ParseDuration(days + "h")
		if err != nil || d <= 0 {
			return "", problem.New(problem.Invalid, "%s", r.t("error.days"))
		}
		until := r.now.Add(d * 24)
		move.Until = &until
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
	return r.t("done.comment"), maintenance.Comment(r.ctx, tx, r.now, r.who, id, r.FormValue("text"))
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
	if at, err := r.formTime("planned_at"); err != nil {
		return "", err
	} else if at != nil {
		order.PlannedAt = at
	}
	o, err := maintenance.ScheduleOrder(r.ctx, tx, r.now, r.who, order)
	if err != nil {
		return "", err
	}
	return r.t("done.order", o.Number), nil
}

// formTime reads a datetime-local field in the service organisation's zone.
func (r *request) formTime(name string) (*time.Time, error) {
	text := r.FormValue(name)
	if text == "" {
		return nil, nil //nolint:nilnil // an empty field is allowed and means "no time"
	}
	at, err := time.ParseInLocation("2006-01-02T15:04", text, zone)
	if err != nil {
		return nil, problem.New(problem.Invalid, "%s", r.t("error.time"))
	}
	at = at.UTC()
	return &at, nil
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
		return "", problem.New(problem.Invalid, "%s", r.t("error.number"))
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
