package gate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/rules/backtest"
)

// Bounds of what is asked for.
const (
	mostWaiting  = 10
	judgedWithin = 2 * time.Hour
	mostKept     = 1_000 // reports
)

// Terms are backtest.Terms in hours, as people write them.
type Terms struct {
	LongestHours  float64 `json:"longestHours" minimum:"0" maximum:"87600" doc:"a flag earlier than this before a fault is none of it"`
	ShortestHours float64 `json:"shortestHours" minimum:"0" maximum:"87600" doc:"nor is one later than this before it"`
	MergeHours    float64 `json:"mergeHours" minimum:"0" maximum:"87600" doc:"flags of a machine that are less apart are one visit"`
	VisitHours    float64 `json:"visitHours" minimum:"0" maximum:"1000" doc:"of a technician, for one flag"`
	Newer         float64 `json:"newer" minimum:"0" doc:"less than 1: part of each machine's history, at its end, that is judged apart"`
}

// TermsOf writes terms in hours.
func TermsOf(t backtest.Terms) Terms {
	return Terms{t.Longest.Hours(), t.Shortest.Hours(), t.Merge.Hours(), t.Visit.Hours(), t.Newer}
}

func (t Terms) read() backtest.Terms {
	hours := func(h float64) time.Duration { return time.Duration(h * float64(time.Hour)) }
	return backtest.Terms{Longest: hours(t.LongestHours), Shortest: hours(t.ShortestHours), Merge: hours(t.MergeHours), Visit: hours(t.VisitHours), Newer: t.Newer}
}

// Backtest is a back-test over the stored history, asked for or done.
type Backtest struct {
	ID        uuid.UUID  `json:"id" db:"id"`
	Hash      string     `json:"hash" db:"hash" doc:"of the pack's text; watcher = the default watcher"`
	Against   string     `json:"against,omitempty" db:"against" doc:"another version, judged beside it on the same history"`
	Model     string     `json:"model" db:"model"`
	Rule      string     `json:"rule,omitempty" db:"rule" doc:"alone; absent = all of the pack"`
	State     string     `json:"state" db:"state" enum:"queued,running,done,failed"`
	Reason    string     `json:"reason,omitempty" db:"reason" doc:"why it has failed"`
	AskedBy   string     `json:"askedBy" db:"asked_by"`
	AskedAt   time.Time  `json:"askedAt" db:"asked_at"`
	StartedAt *time.Time `json:"startedAt" db:"started_at"`
	DoneAt    *time.Time `json:"doneAt" db:"done_at"`
	Machines  []string   `json:"machines" db:"machines" doc:"keys; empty = all of the model"`
	Terms     Terms      `json:"terms" db:"terms"`
	Counts    bool       `json:"counts" db:"counts" doc:"at the gate: the whole pack, on all machines of its model, under the standard terms"`
	Result    *Judged    `json:"result" db:"result"`
	Other     *Judged    `json:"againstResult" db:"against_result"`
}

// Asked is what a back-test is wanted of.
type Asked struct {
	Hash     string
	Against  string
	Rule     string
	Machines []string
	Terms    Terms
}

const reportColumns = `id, hash, against, model, rule, state, reason, asked_by, asked_at, started_at, done_at, machines, terms, counts, result, against_result`

const waitingSQL = `SELECT count(*) FROM rule_report WHERE state IN ('queued', 'running')`

const addReportSQL = `INSERT INTO rule_report (id, hash, against, model, rule, state, asked_by, asked_at, machines, terms, counts)
VALUES (@id, @hash, @against, @model, @rule, @state, @by, @now, @machines, @terms, @counts) RETURNING ` + reportColumns

const forgetReportsSQL = `DELETE FROM rule_report WHERE state IN ('done', 'failed') AND id NOT IN (SELECT report_id FROM rule_version WHERE report_id IS NOT NULL)
AND asked_at < (SELECT min(asked_at) FROM (SELECT asked_at FROM rule_report ORDER BY asked_at DESC LIMIT @keep) newest)`

// Ask puts a back-test into the queue; what cannot be judged is refused at once.
func (g *Gate) Ask(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, a Asked) (Backtest, error) {
	subject, err := g.subject(ctx, db, a)
	if err != nil {
		return Backtest{}, err
	}
	var faults []problem.Field
	t := a.Terms.read()
	if t.Longest <= t.Shortest {
		faults = append(faults, problem.Field{Pointer: "/terms/longestHours", Detail: "must be greater than shortestHours"})
	}
	if t.Newer >= 1 {
		faults = append(faults, problem.Field{Pointer: "/terms/newer", Detail: "must be less than 1"})
	}
	if faults != nil {
		return Backtest{}, problem.New(problem.Invalid, "see errors").WithFields(faults...)
	}
	if _, err := g.watched(ctx, db, subject, a.Machines); err != nil {
		return Backtest{}, err
	}
	waiting, err := postgres.Value[int](ctx, db, waitingSQL, nil)
	if err != nil {
		return Backtest{}, fmt.Errorf("count what waits to be judged: %w", err)
	}
	if waiting >= mostWaiting {
		return Backtest{}, problem.New(problem.Limited, "%d back-tests wait already: they are done one after the other", waiting)
	}
	r, err := g.add(ctx, db, now, "queued", who, subject, a)
	if err != nil {
		return Backtest{}, err
	}
	return r, machines.Audit(ctx, db, now, who, "rule_report", r.ID, nil, nil, "added", nil, map[string]any{"id": r.ID, "hash": r.Hash, "against": r.Against, "model": r.Model, "rule": r.Rule})
}

// Wake begins what was asked for; call it after the commit.
func (g *Gate) Wake() { g.wake() }

// subject finds what is to be judged, and that what it is judged against exists.
func (g *Gate) subject(ctx context.Context, db postgres.DB, a Asked) (Subject, error) {
	pack, err := g.pack(ctx, db, a.Hash)
	if err != nil {
		return Subject{}, err
	}
	s := Subject{Pack: pack, Rule: a.Rule}
	if len(s.rules()) == 0 {
		return s, problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/rule", Detail: "the pack has no such rule"})
	}
	if a.Against == "" {
		return s, nil
	}
	if _, err := g.pack(ctx, db, a.Against); err != nil {
		return s, problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/against", Detail: "no pack has this hash"})
	}
	return s, nil
}

func (g *Gate) add(ctx context.Context, db postgres.DB, now time.Time, state string, who identity.Principal, s Subject, a Asked) (Backtest, error) {
	if a.Machines == nil {
		a.Machines = []string{}
	}
	counts := a.Rule == "" && len(a.Machines) == 0 && s.Pack != nil && a.Terms.read() == Standard
	r, err := postgres.One[Backtest](ctx, db, addReportSQL, pgx.NamedArgs{"id": postgres.NewID(), "hash": a.Hash, "against": a.Against, "model": s.model(), "rule": a.Rule,
		"state": state, "by": who.Name, "now": now, "machines": a.Machines, "terms": a.Terms, "counts": counts})
	if err != nil {
		return r, fmt.Errorf("ask for a back-test: %w", err)
	}
	if _, err := postgres.Run(ctx, db, forgetReportsSQL, pgx.NamedArgs{"keep": mostKept}); err != nil {
		return r, fmt.Errorf("forget old back-tests: %w", err)
	}
	return r, nil
}

const getReportSQL = `SELECT ` + reportColumns + ` FROM rule_report WHERE id = @id`

// GetBacktest reads one back-test.
func GetBacktest(ctx context.Context, db postgres.DB, id uuid.UUID) (Backtest, error) {
	r, err := postgres.One[Backtest](ctx, db, getReportSQL, pgx.NamedArgs{"id": id})
	if problem.Of(err) == problem.NotFound {
		return r, problem.New(problem.NotFound, "no such back-test")
	}
	if err != nil {
		return r, fmt.Errorf("read back-test %s: %w", id, err)
	}
	return r, nil
}

// BacktestFilter narrows a list of back-tests.
type BacktestFilter struct {
	Hash, Model string
	Limit       int
	Cursor      string
}

const reportsSQL = `SELECT ` + reportColumns + ` FROM rule_report
WHERE (@hash = '' OR hash = @hash OR against = @hash) AND (@model = '' OR model = @model)
  AND (@beforeAt::timestamptz IS NULL OR (asked_at, id) < (@beforeAt, @beforeID::uuid))
ORDER BY asked_at DESC, id DESC LIMIT @limit`

// Backtests lists back-tests, newest first.
func Backtests(ctx context.Context, db postgres.DB, f BacktestFilter) (machines.Page[Backtest], error) {
	at, id, err := machines.ReadTimeCursor(f.Cursor)
	if err != nil {
		return machines.Page[Backtest]{}, err
	}
	limit := machines.PageLimit(f.Limit)
	rows, err := postgres.All[Backtest](ctx, db, reportsSQL, pgx.NamedArgs{"hash": f.Hash, "model": f.Model, "beforeAt": at, "beforeID": id, "limit": limit + 1})
	if err != nil {
		return machines.Page[Backtest]{}, fmt.Errorf("list back-tests: %w", err)
	}
	return machines.PageOf(rows, limit, func(r Backtest) string { return machines.TimeCursor(r.AskedAt, r.ID) }), nil
}

const resumeSQL = `UPDATE rule_report SET state = 'queued', started_at = NULL WHERE state = 'running'`

// resume puts back what a stop has cut off.
func (g *Gate) resume(ctx context.Context) error {
	return g.as(ctx, func(tx pgx.Tx) error {
		_, err := postgres.Run(ctx, tx, resumeSQL, nil)
		return err
	})
}

func (g *Gate) as(ctx context.Context, fn func(tx pgx.Tx) error) error {
	return postgres.As(identity.With(ctx, program()), g.Pool, program(), fn)
}

const nextReportSQL = `UPDATE rule_report SET state = 'running', started_at = @now
WHERE id = (SELECT id FROM rule_report WHERE state = 'queued' ORDER BY asked_at, id LIMIT 1 FOR UPDATE) RETURNING ` + reportColumns

// next does what was asked for first and says whether there was anything.
func (g *Gate) next(ctx context.Context) (bool, error) {
	var r Backtest
	err := g.as(ctx, func(tx pgx.Tx) (err error) {
		r, err = postgres.One[Backtest](ctx, tx, nextReportSQL, pgx.NamedArgs{"now": g.Clock.Now()})
		return err
	})
	if problem.Of(err) == problem.NotFound {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("take a back-test from the queue: %w", err)
	}
	err = g.judge(ctx, &r)
	if ctx.Err() != nil {
		return true, ctx.Err() // resume takes it up again
	}
	return true, g.settle(ctx, r, err)
}

// judge fills in a report's results.
func (g *Gate) judge(ctx context.Context, r *Backtest) error {
	var subject, against Subject
	err := g.as(ctx, func(tx pgx.Tx) (err error) {
		if subject.Pack, err = g.pack(ctx, tx, r.Hash); err == nil && r.Against != "" {
			against.Pack, err = g.pack(ctx, tx, r.Against)
		}
		return err
	})
	if err != nil {
		return err
	}
	return g.fill(ctx, r, subject, against)
}

// fill judges a subject, and where the report names another version that one too, on
// the machines of the subject.
func (g *Gate) fill(ctx context.Context, r *Backtest, subject, against Subject) error {
	ctx, cancel := context.WithTimeout(identity.With(ctx, program()), judgedWithin)
	defer cancel()
	var list []Machine
	var faults []Fault
	err := g.as(ctx, func(tx pgx.Tx) (err error) {
		if list, err = g.watched(ctx, tx, subject, r.Machines); err != nil {
			return err
		}
		ids := make([]uuid.UUID, len(list))
		for i, m := range list {
			ids[i] = m.ID
		}
		faults, err = g.Faults(ctx, tx, ids)
		return err
	})
	if err != nil {
		return err
	}
	until := g.Clock.Now()
	one := func(s Subject) (*Judged, error) {
		if s.Rule = r.Rule; len(s.rules()) == 0 {
			s.Rule = "" // the other version does not have this rule: then all of it is judged
		}
		j, err := Judge(ctx, s, list, until, faults, r.Terms.read(), g.Rows)
		return &j, err
	}
	if r.Result, err = one(subject); err != nil || r.Against == "" {
		return err
	}
	r.Other, err = one(against)
	return err
}

// JudgeNow judges packs that need not be kept, and keeps the report.
func (g *Gate) JudgeNow(ctx context.Context, who identity.Principal, a Asked, subject, against Subject) (Backtest, error) {
	a.Hash, a.Rule = subject.hash(), subject.Rule
	var r Backtest
	err := g.as(ctx, func(tx pgx.Tx) (err error) {
		r, err = g.add(ctx, tx, g.Clock.Now(), "running", who, subject, a)
		return err
	})
	if err != nil {
		return r, err
	}
	failed := g.fill(ctx, &r, subject, against)
	return r, errors.Join(failed, g.settle(context.WithoutCancel(ctx), r, failed))
}

const settleReportSQL = `UPDATE rule_report SET state = @state, reason = @reason, done_at = @now, result = @result, against_result = @other WHERE id = @id`

// settle stores what came of a back-test.
func (g *Gate) settle(ctx context.Context, r Backtest, failed error) error {
	args := pgx.NamedArgs{"id": r.ID, "state": "done", "reason": "", "now": g.Clock.Now(), "result": r.Result, "other": r.Other}
	if failed != nil {
		args["state"], args["result"], args["other"], args["reason"] = "failed", nil, nil, "the back-test failed; the program's log says why"
		switch p := problem.As(failed); {
		case p != nil:
			args["reason"] = p.Text
		case errors.Is(failed, context.DeadlineExceeded):
			args["reason"] = fmt.Sprintf("it took more than %s: name fewer machines", judgedWithin)
		}
		g.Log.Error("a back-test has failed", "report", r.ID, "hash", r.Hash, "error", failed)
	}
	return g.as(ctx, func(tx pgx.Tx) error {
		_, err := postgres.Run(ctx, tx, settleReportSQL, args)
		return err
	})
}
