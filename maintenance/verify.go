package maintenance

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

// proved says whether a repair's proof is there.
func (v *Verdict) proved() bool { return v != nil && v.Enough && v.Passed }

// unproved says in words why a repaired case cannot be closed yet, with what is
// left of the deviation and the limit; empty when nothing is missing.
func unproved(c Case) machines.Text {
	v := c.Verification
	switch {
	case v.proved(), c.WaivedBy != "", v == nil && c.State != Verifying:
		return machines.Text{}
	case v == nil:
		return machines.Text{ZH: "修复尚未得到证明：等数据核验，或由负责人署名免验", EN: "nothing proves the repair yet: wait for the data, or waive the proof by name"}
	case v.Enough && v.Signal == byChecklist:
		return machines.Text{ZH: "现场试机或复测不合格", EN: "the trial run or a reading after the repair was not in order"}
	case v.Enough:
		off, limit, side := trimmedNumber(v.Deviation)+spokenUnit(v.Unit), trimmedNumber(v.Limit)+spokenUnit(v.Unit), v.side()
		return machines.Text{ZH: fmt.Sprintf("同工况仍%s %s（要求 ≤ %s）", side.ZH, off, limit),
			EN: fmt.Sprintf("at equal load still %s %s (limit %s)", off, side.EN, limit)}
	}
	return machines.Text{ZH: fmt.Sprintf("修后同工况只运行了 %.1f 小时（需 %.1f 小时）", v.RegimeHours, v.NeededHours),
		EN: fmt.Sprintf("since the repair it ran %.1f h at that load (%.1f h are needed)", v.RegimeHours, v.NeededHours)}
}

// A case is verified by telemetry when a rule found it and the machine can still say something.
const byTelemetrySQL = `m.has_device AND EXISTS (SELECT 1 FROM finding f WHERE f.case_id = c.id AND f.source = 'rule')`

// verifyCases bounds how many repairs one round looks at.
const verifyCases = 200

// CasesToVerify lists the repairs whose proof telemetry can give, oldest first.
func CasesToVerify(ctx context.Context, db postgres.DB) ([]CaseRow, error) {
	return caseRows(ctx, db, `c.state = 'verifying' AND `+byTelemetrySQL, pgx.NamedArgs{"limit": verifyCases}, `ORDER BY c.work_completed_at, c.id LIMIT @limit`)
}

const caseByTelemetrySQL = `SELECT ` + byTelemetrySQL + ` FROM service_case c JOIN machine m ON m.id = c.machine_id WHERE c.id = @case`

func byTelemetry(ctx context.Context, db postgres.DB, id uuid.UUID) (bool, error) {
	ok, err := postgres.Value[bool](ctx, db, caseByTelemetrySQL, pgx.NamedArgs{"case": id})
	if err != nil {
		return false, fmt.Errorf("ask how case %s is verified: %w", id, err)
	}
	return ok, nil
}

// RecordVerdict keeps what the data since a repair say. A proof brings the
// satisfaction call; a repair that did not hold goes back to work, is counted as
// a come-back and gets a follow-up order; too little running time decides nothing.
// A case that is no longer verifying is left as it is, and so is one whose present
// repair was completed after the verdict was reckoned.
func RecordVerdict(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, id uuid.UUID, v Verdict) (Case, error) {
	c, err := lockCase(ctx, db, id)
	if err != nil || c.State != Verifying || c.WorkCompletedAt != nil && v.At.Before(*c.WorkCompletedAt) {
		return c, err
	}
	keep := func(c *Case) error { c.Verification = &v; return nil }
	if v.proved() {
		return stepCase(ctx, db, now, who, c, AwaitingCallback, provedText(v), keep)
	}
	if v.Enough {
		failed := c
		failed.Verification = &v
		why := unproved(failed)
		note := machines.Text{ZH: "退回处理，记重复维修 1 次：" + why.ZH, EN: "back to work, one come-back counted: " + why.EN}
		return stepCase(ctx, db, now, who, c, InWork, note, keep)
	}
	if !news(c.Verification, v) {
		return c, nil
	}
	after := c
	after.Verification = &v
	return changeCase(ctx, db, now, who, "verified", c, after)
}

func provedText(v Verdict) machines.Text {
	if v.Signal == byChecklist {
		return machines.Text{ZH: "验证通过：现场试机与复测合格", EN: "proved: trial run and readings after the repair are in order"}
	}
	off, unit := trimmedNumber(v.Deviation), spokenUnit(v.Unit)
	return machines.Text{ZH: fmt.Sprintf("验证通过：同工况 %.1f 小时，偏差 %s%s", v.RegimeHours, off, unit),
		EN: fmt.Sprintf("proved: %.1f h at equal load, %s%s off", v.RegimeHours, off, unit)}
}

// byChecklist is the signal of a verdict that an engineer's own checks gave.
const byChecklist = "checklist"

const proofsSQL = `SELECT count(*) FILTER (WHERE result IN ('pass', 'fail')) AS answered, count(*) FILTER (WHERE result = 'fail') AS failed
FROM checklist_item WHERE work_order_id = @order AND proof`

// checklistVerdict is the proof of a repair where no telemetry can give one: the
// trial run and the readings after it. nil = nothing was tried or measured.
func checklistVerdict(ctx context.Context, db postgres.DB, now time.Time, o WorkOrder) (*Verdict, error) {
	proofs, err := postgres.One[struct {
		Answered int `db:"answered"`
		Failed   int `db:"failed"`
	}](ctx, db, proofsSQL, pgx.NamedArgs{"order": o.ID})
	if err != nil || proofs.Answered == 0 {
		return nil, err
	}
	return &Verdict{Passed: proofs.Failed == 0, Enough: true, Deviation: float64(proofs.Failed), Signal: byChecklist, At: now}, nil
}

// newsHours is how much longer a machine must have run for a new entry.
const newsHours = 0.5

// news says whether an undecided verdict is worth an entry in the audit log: it
// is asked for every minute.
func news(old *Verdict, v Verdict) bool {
	return old == nil || math.Abs(v.RegimeHours-old.RegimeHours) >= newsHours || old.NeededHours != v.NeededHours || old.Limit != v.Limit
}
