package maintenance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// callRule says how a call of a kind may go, and while its case is in which states.
type callRule struct {
	kind     string
	outcomes []string
	states   []CaseState
}

// callRules holds that only a satisfaction call of a verified case can close it;
// a courtesy call moves nothing.
var callRules = []callRule{
	{"inform", []string{"informed", "deferred", "unreachable"},
		[]CaseState{Open, Triaged, Informed, Planned, InWork, RemoteGuidance, Deferred, Waiting}},
	{"courtesy", []string{"informed", "satisfied", "so_so", "dissatisfied", "deferred", "unreachable"},
		[]CaseState{Informed, Planned, InWork, Verifying, AwaitingCallback, RemoteGuidance, Deferred, Waiting, Satisfied}},
	{"satisfaction", []string{"satisfied", "so_so", "dissatisfied", "deferred", "unreachable"}, []CaseState{AwaitingCallback}},
}

const (
	mostAttempts = 5 // without an answer; then the service manager decides
	callFrom     = 9 // o'clock: nobody is called earlier
	callUntil    = 20
	callAgainIn  = 2 * time.Hour
	askAgainIn   = 3 * 24 * time.Hour // after an owner put a matter off
)

// Attempt notes how a call went, and does what follows for its case: informed,
// satisfied and closed, or back to work. What the call's kind and the case's state
// do not allow is refused.
func Attempt(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, id uuid.UUID, r CallbackResult) (Callback, Case, error) {
	before, c, err := lockCall(ctx, db, id)
	if err != nil {
		return before, c, err
	}
	if err := mayAttempt(before, c, r); err != nil {
		return before, c, err
	}
	call := attempted(before, now, who, r)
	if err := storeAttempt(ctx, db, now, who, before, call); err != nil {
		return before, c, err
	}
	c, err = callEnded(ctx, db, now, who, call, c)
	return call, c, err
}

// lockCall takes the case before the call, as all moves of a case do.
func lockCall(ctx context.Context, db postgres.DB, id uuid.UUID) (Callback, Case, error) {
	caseID, err := postgres.Value[uuid.UUID](ctx, db, `SELECT case_id FROM callback WHERE id = @id`, pgx.NamedArgs{"id": id})
	if problem.Of(err) == problem.NotFound {
		return Callback{}, Case{}, notFound("callback")
	}
	if err != nil {
		return Callback{}, Case{}, fmt.Errorf("read callback %s: %w", id, err)
	}
	c, err := lockCase(ctx, db, caseID)
	if err != nil {
		return Callback{}, c, err
	}
	call, err := postgres.One[Callback](ctx, db, lockCallbackSQL, pgx.NamedArgs{"id": id})
	if err != nil {
		return call, c, fmt.Errorf("lock callback %s: %w", id, err)
	}
	return call, c, nil
}

func mayAttempt(call Callback, c Case, r CallbackResult) error {
	if err := sameVersion(r.Version, call.Version); err != nil {
		return err
	}
	if call.State != "due" && (call.State != "unreachable" || r.Outcome == "unreachable" || call.later(r)) { // he may ring us up
		return refuse(problem.Conflict, "this call is over: it is not due any more", "这个回访已经结束")
	}
	if utf8.RuneCountInString(r.Note) > longestComment || utf8.RuneCountInString(r.NoteEN) > longestComment {
		return refuse(problem.Invalid, "a note has %d characters at most", "备注最多 %d 个字", longestComment)
	}
	for _, rule := range callRules {
		if rule.kind != call.Kind {
			continue
		}
		if !slices.Contains(rule.outcomes, r.Outcome) {
			return refuse(problem.Invalid, "a call of this kind cannot end so", "这类回访不能这样登记").
				WithFields(problem.Field{Pointer: "/outcome", Detail: "one of " + strings.Join(rule.outcomes, ", ")})
		}
		if !slices.Contains(rule.states, c.State) {
			is := c.State.Text()
			return problem.New(problem.Conflict, "the case is %s: this call has its time in other states", is.EN).
				WithZH("服务单处于「%s」，现在不能登记这个回访", is.ZH).WithAllowed(stateNames(rule.states)...)
		}
		return nil
	}
	return fmt.Errorf("callback %s is of the unknown kind %q", call.ID, call.Kind)
}

// attempted is the call after the attempt: done, or due again later.
func attempted(call Callback, now time.Time, who identity.Principal, r CallbackResult) Callback {
	call.Attempts++
	call.Outcome, call.Note, call.NoteEN, call.Version = r.Outcome, r.Note, r.NoteEN, call.Version+1
	switch {
	case r.Outcome == "unreachable" && call.Attempts < mostAttempts:
		call.DueAt = nextCall(now, call.Attempts)
		return call
	case r.Outcome == "unreachable":
		call.State = "unreachable"
	case call.later(r):
		call.DueAt = morningAfter(now)
		return call
	default:
		call.State = "done"
	}
	call.DoneAt, call.DoneBy = &now, who.Name
	return call
}

// later says whether somebody asked to be called at another time; on an inform call
// he puts off the matter, not the call.
func (k Callback) later(r CallbackResult) bool { return r.Outcome == "deferred" && k.Kind != "inform" }

// nextCall tries again in two hours, and every second time the next morning;
// never before nine or after eight in the evening.
func nextCall(now time.Time, attempts int) time.Time {
	again := now.Add(callAgainIn)
	local := again.In(zone)
	if attempts%2 == 0 || local.Hour() >= callUntil || !sameDay(local, now.In(zone)) {
		return morningAfter(now)
	}
	if local.Hour() < callFrom {
		return morningOf(local)
	}
	return again
}

func morningAfter(now time.Time) time.Time { return morningOf(now.In(zone).AddDate(0, 0, 1)) }

func morningOf(local time.Time) time.Time {
	return time.Date(local.Year(), local.Month(), local.Day(), callFrom, 0, 0, 0, zone).UTC()
}

const saveCallbackSQL = `UPDATE callback SET state = @state, due_at = @due, attempts = @attempts, outcome = @outcome, note = @note, note_en = @note_en,
	done_at = @done_at, done_by = @done_by, version = @version WHERE id = @id`

const insertAttemptSQL = `INSERT INTO callback_attempt (id, callback_id, customer_id, at, actor, outcome, note)
VALUES (@id, @callback, @customer, @at, @actor, @outcome, @note)`

func storeAttempt(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, before, k Callback) error {
	if _, err := postgres.Run(ctx, db, saveCallbackSQL, pgx.NamedArgs{"id": k.ID, "state": k.State, "due": k.DueAt, "attempts": k.Attempts,
		"outcome": k.Outcome, "note": k.Note, "note_en": k.NoteEN, "done_at": k.DoneAt, "done_by": k.DoneBy, "version": k.Version}); err != nil {
		return fmt.Errorf("save callback %s: %w", k.ID, err)
	}
	if _, err := postgres.Run(ctx, db, insertAttemptSQL, pgx.NamedArgs{"id": postgres.NewID(), "callback": k.ID, "customer": k.CustomerID,
		"at": now, "actor": who.Name, "outcome": k.Outcome, "note": k.Note}); err != nil {
		return fmt.Errorf("store the attempt of callback %s: %w", k.ID, err)
	}
	if err := machines.Audit(ctx, db, now, who, "callback", k.ID, &k.MachineID, k.CustomerID, "attempted", before, k); err != nil {
		return err
	}
	said := callWent(k)
	return machines.AddEvent(ctx, db, machines.LifecycleEvent{MachineID: k.MachineID, At: now, Kind: "callback",
		Text: said.ZH, TextEN: said.EN, Actor: who.Name, Entity: "callback", EntityID: &k.ID})
}

// callWent says an attempt in one line of the machine's file.
func callWent(k Callback) machines.Text {
	kinds := map[string]machines.Text{"inform": {ZH: "告知电话", EN: "Inform call"}, "courtesy": {ZH: "关怀回访", EN: "Courtesy call"},
		"satisfaction": {ZH: "满意度回访", EN: "Satisfaction call"}}
	outcomes := map[string]machines.Text{"informed": {ZH: "已告知", EN: "informed"}, "satisfied": {ZH: "满意", EN: "satisfied"},
		"so_so": {ZH: "一般", EN: "so-so"}, "dissatisfied": {ZH: "不满意", EN: "dissatisfied"},
		"unreachable": {ZH: "无人接听", EN: "no answer"}, "deferred": {ZH: "推后", EN: "put off"}}
	kind, outcome := kinds[k.Kind], outcomes[k.Outcome]
	text := machines.Text{ZH: kind.ZH + "：" + outcome.ZH, EN: kind.EN + ": " + outcome.EN}
	if k.Note == "" {
		return text
	}
	return machines.Text{ZH: text.ZH + "。" + clip(k.Note, 200), EN: text.EN + ". " + clip(k.words().EN, 200)}
}
