package maintenance

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

// matter is what there is to say about a case on the phone.
type matter struct {
	CaseID        uuid.UUID  `db:"case_id"`
	State         CaseState  `db:"state"`
	Title         string     `db:"title"`
	TitleEN       string     `db:"title_en"`
	FailureMode   string     `db:"failure_mode"`
	MachineDown   bool       `db:"machine_down"`
	Serial        string     `db:"serial"`
	MachineName   string     `db:"machine_name"`
	MachineNameEN string     `db:"machine_name_en"`
	Kind          string     `db:"kind"`
	Verification  *Verdict   `db:"verification"`
	Result        string     `db:"result"`
	ResultEN      string     `db:"result_en"`
	Activity      string     `db:"activity"`
	DoneAt        *time.Time `db:"done_at"`
	Engineer      string     `db:"engineer"`
	EngineerEN    string     `db:"engineer_en"`
	VisitAt       *time.Time `db:"visit_at"`
	Promise       string     `db:"promise"`
	PromiseEN     string     `db:"promise_en"`
	Promiser      string     `db:"promiser"`
	PromiserEN    string     `db:"promiser_en"`
	PromiseDueAt  *time.Time `db:"promise_due_at"`
}

const mattersSQL = `SELECT c.id AS case_id, c.state, c.title, c.title_en, c.failure_mode, c.machine_down, c.verification,
	m.serial, m.name AS machine_name, m.name_en AS machine_name_en, coalesce(mo.kind, '') AS kind,
	coalesce(o.result, '') AS result, coalesce(o.result_en, '') AS result_en, coalesce(o.activity, '') AS activity, o.completed_at AS done_at,
	coalesce(o.name, '') AS engineer, coalesce(o.name_en, '') AS engineer_en, v.planned_at AS visit_at,
	coalesce(pr.text, '') AS promise, coalesce(pr.text_en, '') AS promise_en, coalesce(pr.person, '') AS promiser, coalesce(pr.person_en, '') AS promiser_en, pr.due_at AS promise_due_at
FROM service_case c
JOIN machine m ON m.id = c.machine_id
LEFT JOIN model mo ON mo.id = m.model_id
LEFT JOIN LATERAL (
	SELECT o.result, o.result_en, o.activity, o.completed_at, t.name, t.name_en FROM work_order o LEFT JOIN technician t ON t.id = o.technician_id
	WHERE o.case_id = c.id AND o.state = 'completed' ORDER BY o.completed_at DESC, o.id DESC LIMIT 1) o ON true
LEFT JOIN LATERAL (
	SELECT o.planned_at FROM work_order o
	WHERE o.case_id = c.id AND o.state IN ('open','dispatched','accepted') AND o.planned_at IS NOT NULL ORDER BY o.planned_at LIMIT 1) v ON true
LEFT JOIN LATERAL (
	SELECT pr.text, pr.text_en, pr.person, pr.due_at, coalesce((SELECT min(t.name_en) FROM technician t WHERE t.name = pr.person AND t.name_en <> ''),
		(SELECT min(u.name_en) FROM app_user u WHERE u.name = pr.person AND u.name_en <> '')) AS person_en FROM promise pr
	WHERE pr.case_id = c.id AND pr.state = 'open' ORDER BY pr.due_at, pr.id LIMIT 1) pr ON true
WHERE c.id = ANY(@cases)`

func matters(ctx context.Context, db postgres.DB, cases []uuid.UUID) (map[uuid.UUID]matter, error) {
	list, err := postgres.All[matter](ctx, db, mattersSQL, pgx.NamedArgs{"cases": cases})
	if err != nil {
		return nil, fmt.Errorf("read what there is to say: %w", err)
	}
	byCase := make(map[uuid.UUID]matter, len(list))
	for _, m := range list {
		byCase[m.CaseID] = m
	}
	return byCase, nil
}

// writeScripts gives each call its first sentence.
func writeScripts(ctx context.Context, db postgres.DB, rows []CallbackRow) error {
	if len(rows) == 0 {
		return nil
	}
	cases := make([]uuid.UUID, len(rows))
	for i, r := range rows {
		cases[i] = r.CaseID
	}
	facts, err := matters(ctx, db, cases)
	if err != nil {
		return err
	}
	for i, r := range rows {
		rows[i].Script = script(r, facts[r.CaseID], speaker(ctx))
	}
	return nil
}

// speaker is the name of the person who is going to say it; a token has none.
func speaker(ctx context.Context) machines.Text {
	who, ok := identity.From(ctx)
	if !ok || who.UserID == uuid.Nil || who.Role.CustomerScoped() {
		return machines.Text{}
	}
	return machines.Text{ZH: who.Name, EN: machines.InLanguage("en", who.Name, who.NameEN)}
}

// script is the first sentence of a call: whom, which machine, what was found,
// done and proved, what is promised, and the question of the call.
func script(r CallbackRow, m matter, speaker machines.Text) machines.Text {
	hello := greeting(r.Salutation, r.SalutationEN, speaker)
	switch r.Kind {
	case "inform":
		return and(hello, informScript(m))
	case "courtesy":
		return and(hello, courtesyScript(m))
	default:
		return and(hello, satisfactionScript(m))
	}
}

func (m matter) machine() machines.Text {
	return calledMachine(m.Serial, m.MachineName, m.MachineNameEN)
}

func (m matter) title() machines.Text {
	return machines.Text{ZH: machines.InLanguage("zh", m.Title, m.TitleEN), EN: machines.InLanguage("en", m.Title, m.TitleEN)}
}

func informScript(m matter) machines.Text {
	machine, title := m.machine(), m.title()
	said := machines.Text{ZH: fmt.Sprintf("您的设备%s：%s，现在还能用，但需要处理。", machine.ZH, title.ZH),
		EN: fmt.Sprintf("Your machine %s: %s. It still works, but needs attention. ", machine.EN, title.EN)}
	switch {
	case m.FailureMode == machines.SensorFailure:
		said = machines.Text{ZH: fmt.Sprintf("您的设备%s：%s，设备本身正常。", machine.ZH, title.ZH),
			EN: fmt.Sprintf("Your machine %s: %s. The machine itself is well. ", machine.EN, title.EN)}
	case m.FailureMode == machines.RedStopLamp:
		said = machines.Text{ZH: fmt.Sprintf("您的设备%s：%s，请立即停机，查明原因前不要再启动。", machine.ZH, title.ZH),
			EN: fmt.Sprintf("Your machine %s: %s. Please stop it at once and do not start it again before the cause is known. ", machine.EN, title.EN)}
	case m.MachineDown:
		said = machines.Text{ZH: fmt.Sprintf("您的设备%s已停机：%s。我们优先安排。", machine.ZH, title.ZH),
			EN: fmt.Sprintf("Your machine %s is down: %s. It goes before everything else. ", machine.EN, title.EN)}
	}
	if m.VisitAt != nil {
		at := localTime(*m.VisitAt)
		return and(said, machines.Text{ZH: "我们想 " + at.ZH + " 上门，您看可以吗？", EN: "We propose a visit on " + at.EN + ". Does that suit you?"})
	}
	return and(said, machines.Text{ZH: "什么时候方便我们上门检查？", EN: "When may we come and check it?"})
}

func courtesyScript(m matter) machines.Text {
	machine := m.machine()
	said := m.promised()
	if m.DoneAt != nil {
		day, done := localDay(*m.DoneAt), workDone(m.Result, m.ResultEN, m.Activity)
		who := machines.Text{ZH: machines.InLanguage("zh", m.Engineer, m.EngineerEN), EN: machines.InLanguage("en", m.Engineer, m.EngineerEN)}
		if who.ZH == "" {
			who = machines.Text{ZH: "我们的工程师", EN: "Our engineer"}
		}
		visit := machines.Text{ZH: fmt.Sprintf("%s%s到过%s现场：%s。", day.ZH, who.ZH, machine.ZH, done.ZH),
			EN: fmt.Sprintf("%s was at %s on %s: %s. ", who.EN, machine.EN, day.EN, done.EN)}
		return and(and(visit, said), machines.Text{ZH: "现在用着怎么样？", EN: "How is it running now?"})
	}
	return and(said, machines.Text{ZH: fmt.Sprintf("您的设备%s现在用着怎么样？", machine.ZH), EN: fmt.Sprintf("How is your machine %s running now?", machine.EN)})
}

func satisfactionScript(m matter) machines.Text {
	machine, title := m.machine(), m.title()
	said := machines.Text{ZH: fmt.Sprintf("%s的「%s」已处理", machine.ZH, title.ZH), EN: fmt.Sprintf("%s, %q, has been dealt with", machine.EN, title.EN)}
	if m.DoneAt != nil {
		day, done := localDay(*m.DoneAt), workDone(m.Result, m.ResultEN, m.Activity)
		said = and(said, machines.Text{ZH: "：" + day.ZH + done.ZH, EN: ": " + done.EN + " on " + day.EN})
	}
	if left := deviationLeft(m.Verification); left.ZH != "" {
		said = and(said, machines.Text{ZH: "，" + left.ZH, EN: "; " + left.EN})
	}
	said = and(said, machines.Text{ZH: "。", EN: ". "})
	return and(and(said, m.promised()), machines.Text{ZH: "您对这次服务满意吗？", EN: "Are you satisfied with it?"})
}

// promised says the next promise that is still open.
func (m matter) promised() machines.Text {
	if m.PromiseDueAt == nil {
		return machines.Text{}
	}
	by, text := localTime(*m.PromiseDueAt), machines.InLanguage("en", m.Promise, m.PromiseEN)
	return machines.Text{ZH: fmt.Sprintf("%s答应 %s 前：%s。", m.Promiser, by.ZH, machines.InLanguage("zh", m.Promise, m.PromiseEN)),
		EN: fmt.Sprintf("%s promised by %s: %s. ", machines.InLanguage("en", m.Promiser, m.PromiserEN), by.EN, text)}
}
