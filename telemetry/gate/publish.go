package gate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/backtest"
)

// Criteria are what the newer part of a back-test must show.
type Criteria struct {
	Precision float64 `json:"precisionLow" doc:"least lower end of the 95 % interval of precision"`
	Flags     float64 `json:"flagsPer100MachineDays" doc:"at most"`
	Days      float64 `json:"machineDays" doc:"at least"`
}

// Fails lists what a report lacks, empty where it passes.
func (c Criteria) Fails(r backtest.Report) (lacks []machines.Text) {
	lack := func(en, zh string, args ...any) {
		lacks = append(lacks, machines.Text{EN: fmt.Sprintf(en, args...), ZH: fmt.Sprintf(zh, args...)})
	}
	if !(r.Days >= c.Days) {
		lack("%.1f machine-days were judged, at least %g are needed", "只评判了 %.1f 机日，至少需 %g", r.Days, c.Days)
	}
	if !(r.Per100Days <= c.Flags) {
		lack("%.2f flags in 100 machine-days, at most %g are allowed", "每百机日报警 %.2f 次，至多 %g 次", r.Per100Days, c.Flags)
	}
	if c.Precision > 0 && !(float64(r.Precision.Low) >= c.Precision) {
		if r.Precision.Whole == 0 {
			lack("nothing was flagged in the newer part of the history: nothing is proved", "较新部分没有任何报警，无从证明")
			return lacks
		}
		lack("%d of %d flags found a confirmed fault: precision is %.2f at least, %g is needed", "%d / %d 次报警对应已确认故障：精确率下限 %.2f，需 %g",
			r.Precision.Part, r.Precision.Whole, r.Precision.Low, c.Precision)
	}
	return lacks
}

// joined lists what a report lacks, in a language.
func joined(lacks []machines.Text, language, between string) string {
	list := make([]string, len(lacks))
	for i, t := range lacks {
		list[i] = t.In(language)
	}
	return strings.Join(list, between)
}

// Approval is the second person's word. Stages names rules that do not begin in the
// shadow; each must have a report of its own that passes.
type Approval struct {
	Stages map[string]machines.Stage
	Note   string
}

// mayApprove are those who may let rules in force.
var mayApprove = []identity.Role{identity.Admin, identity.ServiceManager}

const lockVersionSQL = getVersionSQL + ` FOR UPDATE`

const countingReportSQL = `SELECT ` + reportColumns + ` FROM rule_report WHERE hash = @hash AND counts AND state = 'done' ORDER BY asked_at DESC, id DESC LIMIT 1`

const retireSQL = `UPDATE rule_version SET state = 'retired', retired_at = @now WHERE model = @model AND state = 'published' RETURNING ` + versionColumns

const publishSQL = `UPDATE rule_version SET state = 'published', published_at = @now, approver = @approver, approver_id = @approverID, approval = @approval,
  report_id = @report, retired_at = NULL WHERE hash = @hash RETURNING ` + versionColumns

// Publish lets a version in force in the place of the one before. It is a Conflict
// without a passing report of exactly this version, and Forbidden to its author.
// Call Refresh after the commit.
func (g *Gate) Publish(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, hash string, a Approval) (Version, error) {
	before, err := postgres.One[Version](ctx, db, lockVersionSQL, pgx.NamedArgs{"hash": hash})
	if problem.Of(err) == problem.NotFound {
		return before, problem.New(problem.NotFound, "no version of the rules has the hash %q", hash)
	}
	if err != nil {
		return before, fmt.Errorf("lock version %s of the rules: %w", hash, err)
	}
	if err := g.mayPublish(who, before); err != nil {
		return before, err
	}
	pack, err := rules.Parse(hash+".yaml", []byte(before.Text))
	if err != nil {
		return before, problem.New(problem.Conflict, "this program no longer reads the text: %v", err)
	}
	report, err := g.passing(ctx, db, hash)
	if err != nil {
		return before, err
	}
	if err := g.begin(ctx, db, now, who, pack, report, a); err != nil {
		return before, err
	}
	if err := g.retire(ctx, db, now, who, before.Model); err != nil {
		return before, err
	}
	after, err := postgres.One[Version](ctx, db, publishSQL, pgx.NamedArgs{"hash": hash, "now": now, "approver": who.Name, "approverID": personOf(who), "approval": a.Note, "report": report.ID})
	if err != nil {
		return before, fmt.Errorf("publish version %s of the rules: %w", hash, err)
	}
	return after, machines.Audit(ctx, db, now, who, "rule_version", auditID(hash), nil, nil, "published", before.brief(), after.brief())
}

// brief is a version without its text, as the audit log has it.
func (v Version) brief() Version {
	v.Text = ""
	return v
}

func (g *Gate) mayPublish(who identity.Principal, v Version) error {
	switch {
	case !who.Has(mayApprove...):
		return problem.New(problem.Forbidden, "your role lets no rules in force").WithZH("您的角色不能发布规则")
	case v.WrittenBy(who):
		return problem.New(problem.Forbidden, "a second person publishes it: it was written by %s", v.Author).WithZH("须由第二人发布：作者是 %s", v.Author)
	case v.State == "published":
		return problem.New(problem.Conflict, "it is in force already").WithZH("该版本已在使用")
	case g.folderHolds(v.Model):
		return problem.New(problem.Conflict, "the folder of --rules holds a pack of %s, which goes before: take it away first", v.Model)
	}
	return nil
}

// passing is the newest report that counts, if it passes: an older one that was better
// is no excuse.
func (g *Gate) passing(ctx context.Context, db postgres.DB, hash string) (Backtest, error) {
	r, err := postgres.One[Backtest](ctx, db, countingReportSQL, pgx.NamedArgs{"hash": hash})
	if problem.Of(err) == problem.NotFound {
		return r, problem.New(problem.Conflict, "there is no back-test of this very version over all machines of its model: start one first").
			WithZH("该版本没有覆盖本型号全部设备的回测报告：请先回测")
	}
	if err != nil {
		return r, fmt.Errorf("read the report of version %s: %w", hash, err)
	}
	if lacks := g.Criteria.Fails(r.Result.Result.Newer); len(lacks) > 0 {
		refusal := problem.New(problem.Conflict, "its back-test does not pass: %s", joined(lacks, "en", "; ")).WithZH("回测未达标：%s", joined(lacks, "zh", "；"))
		fields := make([]problem.Field, len(lacks))
		for i, lack := range lacks {
			fields[i] = problem.Field{Pointer: "/backtests/" + r.ID.String(), Detail: lack.EN}
		}
		return r, refusal.WithFields(fields...)
	}
	return r, nil
}

// begin gives each rule of a pack its stage: the one that it has earned already, else
// what the approver says and its own report bears out, else the shadow.
func (g *Gate) begin(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, pack *rules.Pack, report Backtest, a Approval) error {
	for _, id := range slices.Sorted(maps.Keys(a.Stages)) {
		if _, ok := pack.Rule(id); !ok || rank(a.Stages[id]) < 0 {
			return problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/stages/" + id, Detail: "the pack has no such rule, or there is no such stage"})
		}
		at := slices.IndexFunc(report.Result.RuleTable, func(r RuleJudged) bool { return r.Rule == id })
		if a.Stages[id] == machines.Shadow {
			continue
		}
		if lacks := g.Criteria.Fails(report.Result.RuleTable[at].Result.Newer); len(lacks) > 0 {
			return problem.New(problem.Conflict, "rule %s begins in the shadow: its own report does not pass: %s", id, joined(lacks, "en", "; ")).
				WithZH("规则 %s 须从影子阶段开始：%s", id, joined(lacks, "zh", "；"))
		}
	}
	for i := range pack.Rules {
		r := &pack.Rules[i]
		stored, held, err := stageOf(ctx, db, r)
		if err != nil {
			return err
		}
		wanted, said := a.Stages[r.ID]
		if held && (!said || wanted == stored.Stage) {
			continue
		}
		next := Staged{Rule: r.ID, RuleHash: r.Hash(), Model: pack.Model, Stage: machines.Shadow, Reason: "published in " + pack.Hash}
		if said {
			next.Stage = wanted
		}
		var before *Staged
		if held {
			before = &stored
		}
		if err := put(ctx, db, now, who, before, next); err != nil {
			return err
		}
	}
	return nil
}

// retire takes the version of a model that is in force, if any, out of it.
func (g *Gate) retire(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, model string) error {
	v, err := postgres.One[Version](ctx, db, retireSQL, pgx.NamedArgs{"model": model, "now": now})
	if problem.Of(err) == problem.NotFound {
		return nil
	}
	if err != nil {
		return fmt.Errorf("retire the rules of %s: %w", model, err)
	}
	was := v.brief()
	was.State, was.RetiredAt = "published", nil
	return machines.Audit(ctx, db, now, who, "rule_version", auditID(v.Hash), nil, nil, "retired", was, v.brief())
}

// Withdraw takes a version out of force by one person's word: what came with the
// program watches the model again. Call Refresh after the commit.
func (g *Gate) Withdraw(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, hash string) (Version, error) {
	v, err := GetVersion(ctx, db, hash)
	if err != nil {
		return v, err
	}
	if v.State != "published" {
		return v, problem.New(problem.Conflict, "it is not in force").WithZH("该版本未在使用")
	}
	if err := g.retire(ctx, db, now, who, v.Model); err != nil {
		return v, err
	}
	return GetVersion(ctx, db, hash)
}
