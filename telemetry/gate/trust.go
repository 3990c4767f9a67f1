package gate

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// A rule begins as if four of its flags had been judged true and none false, after
// the one of each that a uniform prior stands for would be less: Beta(4, 1), whose
// lower end is 0.47. So a few wrong ones at the beginning cost it its stage, and a
// long good life is not undone by them.
const (
	priorTrue  = 4
	priorFalse = 1
	tail       = 0.05 // at each end of the interval
)

// Since asks for the verdicts on the flags of a rule that were raised from an instant on.
type Since struct {
	Rule, Hash string
	At         time.Time
}

// Verdicts are what people have found when a rule had flagged.
type Verdicts struct {
	Rule     string
	RuleHash string
	True     int
	False    int
	Unclear  int
}

// Trust is what verdicts let one expect of a rule's next flag: the share of true
// ones, by a Beta posterior, with its 90 % interval.
type Trust struct {
	True    int     `json:"true" doc:"cases that have ended so"`
	False   int     `json:"false"`
	Unclear int     `json:"unclear" doc:"which say nothing of the rule"`
	Mean    float64 `json:"mean"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
}

func trustIn(v Verdicts) Trust {
	a, b := priorTrue+v.True, priorFalse+v.False
	return Trust{v.True, v.False, v.Unclear, float64(a) / float64(a+b), betaQuantile(tail, a, b), betaQuantile(1-tail, a, b)}
}

// betaQuantile is the p-quantile of Beta(a, b), by bisection.
func betaQuantile(p float64, a, b int) float64 {
	low, high := 0.0, 1.0
	for range 60 {
		if x := (low + high) / 2; betaBelow(x, a, b) < p {
			low = x
		} else {
			high = x
		}
	}
	return (low + high) / 2
}

// betaBelow is the probability that Beta(a, b) is below x: that of a or more
// successes in a+b-1 trials, each with the probability x.
func betaBelow(x float64, a, b int) float64 {
	n := a + b - 1
	all, _ := math.Lgamma(float64(n + 1))
	sum := 0.0
	for k := a; k <= n; k++ {
		yes, _ := math.Lgamma(float64(k + 1))
		no, _ := math.Lgamma(float64(n - k + 1))
		sum += math.Exp(all - yes - no + float64(k)*math.Log(x) + float64(n-k)*math.Log1p(-x))
	}
	return sum
}

const lockStagesSQL = `SELECT rule FROM rule_stage ORDER BY rule, rule_hash FOR UPDATE`

// Review takes a stage from each rule in force whose flags, of those that it has raised
// in its present stage, are judged false too often: written to the audit log and told
// to the service manager. Only people promote, and only they silence an alarm.
func (g *Gate) Review(ctx context.Context, now time.Time) error {
	demoted := 0
	err := g.as(ctx, func(tx pgx.Tx) (err error) {
		demoted, err = g.review(ctx, tx, now)
		return err
	})
	if err != nil {
		return fmt.Errorf("review the trust in rules: %w", err)
	}
	if demoted == 0 {
		return nil
	}
	return g.Refresh(ctx)
}

func (g *Gate) review(ctx context.Context, db postgres.DB, now time.Time) (demoted int, err error) {
	if _, err := postgres.Run(ctx, db, lockStagesSQL, nil); err != nil {
		return 0, err
	}
	inForce, err := g.listed(ctx, db)
	if err != nil {
		return 0, err
	}
	var list []Staged
	for _, h := range inForce {
		if h.Stage == machines.Dispatch || h.Stage == machines.Advise && h.Severity != string(rules.Alarm) {
			list = append(list, h.staged())
		}
	}
	said, err := g.verdicts(ctx, db, list, true)
	if err != nil {
		return 0, err
	}
	for _, s := range list {
		trust := trustIn(said[s.key()])
		if trust.False == 0 || trust.Low >= g.Trust {
			continue
		}
		if err := g.demote(ctx, db, now, s, trust); err != nil {
			return 0, err
		}
		demoted++
	}
	return demoted, nil
}

func (g *Gate) demote(ctx context.Context, db postgres.DB, now time.Time, before Staged, t Trust) error {
	after := before
	after.Stage = machines.Stages[rank(before.Stage)-1]
	after.Reason = fmt.Sprintf("%d of %d judged flags were false: trust is %.2f at least, %.2f is needed", t.False, t.True+t.False, t.Low, g.Trust)
	if err := put(ctx, db, now, identity.Program("rule gate"), &before, after); err != nil {
		return err
	}
	g.Log.Warn("a rule has lost its trust", "rule", before.Rule, "model", before.Model, "was", before.Stage, "is", after.Stage, "false", t.False, "true", t.True)
	if g.Tell == nil {
		return nil
	}
	return g.Tell(ctx, db, now, machines.Text{
		ZH: fmt.Sprintf("规则 %s（%s）失去信任，已从 %s 降为 %s：%d 次判定中 %d 次误报，可信下限 %.2f，要求 %.2f", before.Rule, before.Model, before.Stage, after.Stage, t.True+t.False, t.False, t.Low, g.Trust),
		EN: fmt.Sprintf("Rule %s (%s) has lost trust and goes from %s to %s: %s", before.Rule, before.Model, before.Stage, after.Stage, after.Reason)})
}

// verdicts asks what people have said of rules, of their present stage or of all their life.
func (g *Gate) verdicts(ctx context.Context, db postgres.DB, list []Staged, stage bool) (map[detection.RuleKey]Verdicts, error) {
	out := map[detection.RuleKey]Verdicts{}
	if g.Verdicts == nil || len(list) == 0 {
		return out, nil
	}
	asked := make([]Since, len(list))
	for i, s := range list {
		asked[i] = Since{Rule: s.Rule, Hash: s.RuleHash}
		if stage {
			asked[i].At = s.Since
		}
	}
	said, err := g.Verdicts(ctx, db, asked)
	for _, v := range said {
		out[detection.RuleKey{Rule: v.Rule, Hash: v.RuleHash}] = v
	}
	return out, err
}
