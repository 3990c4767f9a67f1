package demo

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/simulate"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
)

// event is something that happens in the story at a time, whatever else does.
type event struct {
	at   time.Time
	name string
	do   func(ctx context.Context, tx pgx.Tx, now time.Time) error
}

// perform does the events of the story that are due, each once, and says when the
// last was.
func (p *people) perform(ctx context.Context, from, to time.Time) (time.Time, error) {
	latest := from
	for _, e := range p.script {
		if e.at.After(to) || p.ledger.Done[e.name] {
			continue
		}
		done, err := p.act(ctx, deed{at: e.at, words: e.name, do: func(ctx context.Context, tx pgx.Tx, now time.Time) error {
			if err := e.do(ctx, tx, now); err != nil {
				return err
			}
			return p.done(ctx, tx, e.name)
		}}, from, to)
		if err != nil {
			return latest, err
		}
		if done.After(latest) {
			latest = done
		}
	}
	return latest, nil
}

// done keeps that something was played, so that it is played once.
func (p *people) done(ctx context.Context, tx pgx.Tx, name string) error {
	next := p.ledger.with(name)
	if err := next.write(ctx, tx); err != nil {
		return err
	}
	p.then = append(p.then, func() { p.ledger = next })
	return nil
}

// events lists the story in the order of time. What would lie before the history
// (a short one, in a test) is left out.
func (p *people) events() []event {
	var list []event
	for _, m := range p.fleet.Machines() {
		list = append(list, p.gaps(m)...)
	}
	list = append(list, p.promises()...)
	list = append(list, p.meeting()...)
	list = append(list, p.complaints()...)
	list = append(list, p.morning()...)
	list = append(list, p.smallMatters()...)
	list = append(list, event{p.end().Add(-13 * time.Hour), "swing motor seep", p.seep}, event{p.end().Add(-16*24*time.Hour + 3*time.Hour), "missed", p.missed})
	list = slices.DeleteFunc(list, func(e event) bool { return e.at.Before(p.ledger.Start) })
	slices.SortStableFunc(list, func(a, b event) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	return list
}

const shutSiteSQL = `UPDATE site SET shut_until = @until, shut_reason = @reason, shut_reason_en = @reason_en WHERE id = @id`

// gaps are the times in which a machine stands for a reason that somebody notes on
// its file: a lock, a shut site. That it has no coverage it is found to have by itself.
func (p *people) gaps(m simulate.Machine) []event {
	var list []event
	row := p.machines[m.Key]
	for _, g := range m.Gaps {
		if g.Kind == simulate.NoCoverage {
			continue
		}
		begin := event{at: g.From, name: about("gap", m.Key, g.From.Unix())}
		switch g.Kind {
		case simulate.Locked:
			begin.do = p.status(row.ID, machines.Locked, m.Note, m.NoteEN)
		case simulate.SiteShut:
			begin.do = p.shut(row, g, m)
		case simulate.NoCoverage:
		}
		list = append(list, begin)
		if !g.To.IsZero() {
			list = append(list, event{at: g.To, name: about("gap ends", m.Key, g.To.Unix()), do: p.status(row.ID, machines.Working, "", "")})
		}
	}
	return list
}

func (p *people) status(id uuid.UUID, s machines.OperatingStatus, note, noteEN string) func(context.Context, pgx.Tx, time.Time) error {
	return func(ctx context.Context, tx pgx.Tx, now time.Time) error {
		return machines.SetOperatingStatus(ctx, tx, now, p.manager, id, s, note, noteEN)
	}
}

func (p *people) shut(row machines.Row, g simulate.Gap, m simulate.Machine) func(context.Context, pgx.Tx, time.Time) error {
	return func(ctx context.Context, tx pgx.Tx, now time.Time) error {
		if row.SiteID != nil && !g.To.IsZero() {
			_, err := postgres.Run(ctx, tx, shutSiteSQL, pgx.NamedArgs{"id": *row.SiteID, "until": g.To, "reason": "高考停工", "reason_en": "Site shut for the college entrance exams"})
			if err != nil {
				return err
			}
		}
		return machines.SetOperatingStatus(ctx, tx, now, p.manager, row.ID, machines.ShutDown, m.Note, m.NoteEN)
	}
}

const (
	seeping  = "BE21N1407752"
	seepMode = "swing_motor_seep"
)

// seep is what the operator of an old excavator without telematics finds on his
// daily check.
func (p *people) seep(ctx context.Context, tx pgx.Tx, now time.Time) error {
	m, ok := p.machines[seeping]
	if !ok {
		return nil
	}
	component := "swing_motor"
	operator := identity.Principal{Name: "谭师傅", Role: identity.System, Language: "zh"}
	_, _, err := machines.ApplyFinding(identity.With(ctx, operator), tx, now, machines.FindingChange{Change: machines.FindingOpened, Finding: machines.Finding{
		MachineID: m.ID, Component: &component, Rule: "daily_check", FailureMode: seepMode, Title: "回转马达渗油", TitleEN: "Swing motor seep",
		Severity: machines.Advice, Source: "daily_check", OpenedAt: now, DetectedAt: now, UpdatedAt: now,
		Facts: machines.Facts{Causes: []machines.Text{{ZH: "骨架油封老化", EN: "Aged shaft seal"}}, FirstChecks: []machines.Text{{ZH: "擦净后观察 1 个班次的滴油量", EN: "Wipe clean and count the drops of one shift"}},
			Skills: []string{"excavator"}, Parts: []string{"SK-21-09"}, PFDays: 20}}})
	if err != nil {
		return err
	}
	_, _, err = machines.SetHealth(ctx, tx, now, m.ID, false, machines.Text{ZH: "点检发现回转马达渗油", EN: "Swing motor seep, from the operator's daily check"}, "", nil)
	return err
}

// missed is a breakdown that nobody saw coming: the machine has no telematics.
func (p *people) missed(ctx context.Context, tx pgx.Tx, now time.Time) error {
	row, ok := p.bare(0)
	if !ok {
		return nil
	}
	_, err := p.phoneIn(ctx, tx, now, row, "hydraulic_hose_burst", machines.Text{ZH: "大臂油管爆了，停在坡上", EN: "Boom hose burst, it stands on a slope"})
	return err
}

// promise of the story: what was promised to whom, and what became of it.
type promise struct {
	name             string
	made, due        time.Duration // before the end
	customer         string        // name
	text, textEN     string
	person           string
	kept             *bool
	settled          time.Duration
	evidence, evidEN string
}

func (p *people) promises() []event {
	yes, no := true, false
	day := 24 * time.Hour
	list := []promise{
		{"filters", 29 * day, 20 * day, "恒固混凝土", "5 月 15 日前为 3 台泵车备齐液压油滤芯", "Hydraulic filters for three pump trucks in stock by 15 May", "何琳", &yes, 21 * day, "5 月 13 日入库 4 件", "Four in stock on 13 May"},
		{"training", 28 * day, 14 * day, "湘南矿业", "为操作手做一次点检培训", "A daily-check training for the operators", "陈海波", &yes, 15 * day, "5 月 20 日已培训 6 人", "Six operators trained on 20 May"},
		{"hotline", 27 * day, 8 * day, "恒固混凝土", "夜间报修 30 分钟内回电", "Night reports are called back within 30 minutes", "王倩", &yes, 9 * day, "5 月夜间报修 4 次，最长 22 分钟", "Four night reports in May, 22 minutes at most"},
		{"motors", 29 * day, 4 * day, "恒固混凝土", "衡阳站风扇马达常备 2 台", "Two cooler fan motors always in stock at Hengyang", "赵敏", &no, 4*day + 20*time.Minute, "未兑现：实际库存 1 台", "Broken: one in stock"},
		{"loan", 20 * time.Hour, -6 * time.Hour, "岳麓土石方", "今天 12:00 前答复备用机", "An answer about the loan machine by noon", "何琳", &yes, -4 * time.Hour, "已安排备用机", "Loan machine arranged"},
		{"report", 30 * time.Hour, -11 * time.Hour, "湘南矿业", "今天 17:00 前送到油样报告", "Oil report delivered by 17:00 today", "陈海波", nil, 0, "", ""},
	}
	var events []event
	for _, w := range list {
		events = append(events, event{p.end().Add(-w.made), about("promise", w.name), p.promise(w)})
		if w.kept != nil {
			events = append(events, event{p.end().Add(-w.settled), about("promise settled", w.name), p.settle(w)})
		}
	}
	return events
}

func (p *people) promise(w promise) func(context.Context, pgx.Tx, time.Time) error {
	return func(ctx context.Context, tx pgx.Tx, now time.Time) error {
		id, err := customerNamed(ctx, tx, w.customer)
		if err != nil {
			return err
		}
		_, err = maintenance.AddPromise(ctx, tx, now, p.manager, maintenance.Promise{CustomerID: id, Text: w.text, TextEN: w.textEN, Person: w.person, DueAt: p.end().Add(-w.due)})
		return err
	}
}

func (p *people) settle(w promise) func(context.Context, pgx.Tx, time.Time) error {
	return func(ctx context.Context, tx pgx.Tx, now time.Time) error {
		open, err := maintenance.Promises(ctx, tx, "open")
		if err != nil {
			return err
		}
		for _, one := range open {
			if one.Text != w.text {
				continue
			}
			state := "broken"
			if *w.kept {
				state = "kept"
			}
			_, err := maintenance.SettlePromise(ctx, tx, now, p.manager, one.ID, state, w.evidence, w.evidEN)
			return err
		}
		return nil // the visitor was quicker
	}
}

func customerNamed(ctx context.Context, tx pgx.Tx, name string) (*uuid.UUID, error) {
	all, err := machines.Customers(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if c.Name == name {
			return &c.ID, nil
		}
	}
	return nil, nil //nolint:nilnil // a fleet so small that he is not in it
}
