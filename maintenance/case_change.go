package maintenance

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// waits are what a case may wait for.
var waits = []string{"customer", "parts", "site", "season", "payment"}

// MoveCase moves a case by hand. What is asked for must stand in the table of
// moves (Conflict tells what is allowed), the role may take it (Forbidden), and
// what it needs must be there (see CaseMove). A stale version is PreconditionFailed.
func MoveCase(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, id uuid.UUID, m CaseMove) (Case, error) {
	for _, said := range []*string{&m.Note, &m.NoteEN, &m.Reason, &m.ReasonEN, &m.Person} {
		*said = strings.TrimSpace(*said) // a blank is no name and no reason
	}
	c, err := lockCase(ctx, db, id)
	if err != nil {
		return Case{}, err
	}
	if err := sameVersion(m.Version, c.Version); err != nil {
		return Case{}, err
	}
	step := stepOf(c, m.To)
	if step == nil {
		return Case{}, refuseStep(who, c, m.To)
	}
	if !step.mayTake(who.Role) {
		return Case{}, refuse(problem.Forbidden, "your role may not do this", "您的角色无权执行此操作").WithAllowed(stateNames(nextStates(c, who.Role))...)
	}
	if m.Verdict != "" && who.Role.CustomerScoped() {
		return Case{}, refuse(problem.Forbidden, "whether it was a fault is for those to say who have seen the machine", "是否误报由现场人员判断")
	}
	if m.To == Deferred && m.Person == "" && who.Role == identity.OwnerAdmin {
		m.Person = who.Name // the owner himself takes the risk
	}
	if err := complete(now, who, c, m); err != nil {
		return Case{}, err
	}
	if m.To == Planned && m.VisitAt != nil {
		return planVisit(ctx, db, now, who, c, *m.VisitAt)
	}
	named, err := person(ctx, db, c.CustomerID, m.Person)
	if err != nil {
		return Case{}, err
	}
	return stepCase(ctx, db, now, who, c, m.To, m.words(named), func(c *Case) error { m.apply(c); return nil })
}

// words are what the move's line in the case's history says, with the person who
// stands for it.
func (m CaseMove) words(named machines.Text) machines.Text {
	note, reason := inBoth(m.Note, m.NoteEN), inBoth(m.Reason, m.ReasonEN)
	said := machines.Text{ZH: joined(note.ZH, reason.ZH), EN: joined(note.EN, reason.EN)}
	if named.ZH == "" {
		return said
	}
	return machines.Text{ZH: joined(said.ZH, "— "+named.ZH), EN: joined(said.EN, "— "+named.EN)}
}

func joined(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " ")
}

// apply writes a move's particulars into the case, which has entered its state.
func (m CaseMove) apply(c *Case) {
	if m.Verdict != "" {
		c.Verdict = m.Verdict
	}
	switch m.To {
	case Deferred:
		c.DeferredUntil, c.DeferredBy, c.Risk, c.RiskEN = m.Until, m.Person, m.Reason, m.ReasonEN
	case Waiting:
		c.WaitingFor = m.WaitingFor
	case Cancelled:
		c.CancelReason = m.Reason
	case AwaitingCallback:
		if !c.Verification.proved() && m.Person != "" {
			c.WaivedBy, c.WaiveReason = m.Person, m.Reason
		}
	}
}

// complete refuses a move that lacks what it needs, all faults at once.
func complete(now time.Time, who identity.Principal, c Case, m CaseMove) error {
	if c.State == Waiting && m.To != Cancelled {
		return nil // back to where it was, which needs nothing anew
	}
	var missing []problem.Field
	need := func(ok bool, pointer, detail string) {
		if !ok {
			missing = append(missing, problem.Field{Pointer: pointer, Detail: detail})
		}
	}
	switch m.To {
	case Deferred:
		need(m.Until != nil && m.Until.After(now), "/until", "until when, in the future")
		need(m.Person != "", "/person", "who acknowledged the risk")
		need(m.Reason != "", "/reason", "the risk that was told")
	case Planned:
		need(m.VisitAt != nil || who.Role != identity.OwnerAdmin, "/visitAt", "when somebody may come")
		need(m.VisitAt == nil || m.VisitAt.After(now) && m.VisitAt.Before(now.Add(visitsAhead)), "/visitAt", "in the future, within 60 days")
	case Waiting:
		need(slices.Contains(waits, m.WaitingFor), "/waitingFor", "one of "+strings.Join(waits, ", "))
	case Cancelled:
		need(m.Reason != "", "/reason", "why")
	case AwaitingCallback:
		if !c.Verification.proved() && m.Person == "" {
			return refuseStep(who, c, m.To)
		}
		need(c.Verification.proved() || m.Reason != "", "/reason", "why the proof is waived")
	}
	need(m.Verdict == "" || slices.Contains([]string{"true", "false_alarm", "unclear"}, m.Verdict), "/verdict", "true, false_alarm or unclear")
	if missing == nil {
		return nil
	}
	return refuse(problem.Invalid, "something is missing, see errors", "信息不完整：请填写必填项").WithFields(missing...)
}

// visitsAhead is how far ahead a visit is agreed.
const visitsAhead = 60 * 24 * time.Hour

// planVisit agrees a time for the visit of a case, which is the order for it too.
func planVisit(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Case, at time.Time) (Case, error) {
	if _, err := ScheduleOrder(ctx, db, now, who, NewOrder{CaseID: &c.ID, MachineID: c.MachineID, Kind: "repair", PlannedAt: &at}); err != nil {
		return Case{}, err
	}
	return loadCase(ctx, db, c.ID)
}

// longestComment bounds what is said on a case, in characters.
const longestComment = 4000

// Comment adds a person's words to a case without moving it; the English ones may be missing.
func Comment(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, id uuid.UUID, text machines.Text) error {
	text.ZH, text.EN = strings.TrimSpace(text.ZH), strings.TrimSpace(text.EN)
	if text.ZH == "" || utf8.RuneCountInString(text.ZH) > longestComment || utf8.RuneCountInString(text.EN) > longestComment {
		return refuse(problem.Invalid, "a comment has 1 to %d characters", "备注须为 1 至 %d 个字", longestComment).WithFields(problem.Field{Pointer: "/text", Detail: "empty or too long"})
	}
	c, err := lockCase(ctx, db, id)
	if err != nil {
		return err
	}
	return noteCase(ctx, db, now, who, c, text)
}

// AssignCase names who looks after a case; "" = nobody.
func AssignCase(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, id uuid.UUID, assignee string, version int) error {
	before, err := lockCase(ctx, db, id)
	if err != nil {
		return err
	}
	if err := sameVersion(version, before.Version); err != nil {
		return err
	}
	if before.State.Ended() {
		return refuse(problem.Conflict, "the case has ended", "服务单已结束")
	}
	after := before
	after.Assignee = strings.TrimSpace(assignee)
	after, err = changeCase(ctx, db, now, who, "assigned", before, after)
	if err != nil {
		return err
	}
	named, err := person(ctx, db, after.CustomerID, after.Assignee)
	if err != nil {
		return err
	}
	return addMove(ctx, db, now, who, after, after.State, machines.Text{ZH: "负责人：" + named.ZH, EN: "looked after by " + named.EN})
}
