package gate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// Staged is a rule that the gate holds, and how loud it may be.
type Staged struct {
	Rule     string         `json:"rule" db:"rule"`
	RuleHash string         `json:"ruleHash" db:"rule_hash" doc:"of what it finds: a changed rule is another one"`
	Model    string         `json:"model" db:"model"`
	Stage    machines.Stage `json:"stage" db:"stage" enum:"shadow,advise,dispatch"`
	Since    time.Time      `json:"since" db:"since"`
	SetBy    string         `json:"setBy" db:"set_by"`
	Reason   string         `json:"reason" db:"reason"`
}

func (s Staged) key() detection.RuleKey { return detection.RuleKey{Rule: s.Rule, Hash: s.RuleHash} }

// auditID is the id under which the audit log knows a rule.
func (s Staged) auditID() uuid.UUID {
	return uuid.NewSHA1(uuid.Nil, []byte("rule_stage:"+s.Rule+":"+s.RuleHash))
}

const stageColumns = `rule, rule_hash, model, stage, since, set_by, reason`

const stagesSQL = `SELECT ` + stageColumns + ` FROM rule_stage ORDER BY model, rule, since`

const stageSQL = `SELECT ` + stageColumns + ` FROM rule_stage WHERE rule = @rule AND rule_hash = @hash FOR UPDATE`

const setStageSQL = `INSERT INTO rule_stage (` + stageColumns + `) VALUES (@rule, @hash, @model, @stage, @now, @by, @reason)
ON CONFLICT (rule, rule_hash) DO UPDATE SET stage = excluded.stage, since = excluded.since, set_by = excluded.set_by, reason = excluded.reason
RETURNING ` + stageColumns

// stageOf is the stage of a rule; one that no gate holds is as loud as dispatch, and
// has been for ever.
func stageOf(ctx context.Context, db postgres.DB, r *rules.Rule) (Staged, bool, error) {
	s, err := postgres.One[Staged](ctx, db, stageSQL, pgx.NamedArgs{"rule": r.ID, "hash": r.Hash()})
	if problem.Of(err) == problem.NotFound {
		return Staged{Rule: r.ID, RuleHash: r.Hash(), Model: r.Model, Stage: machines.Dispatch}, false, nil
	}
	if err != nil {
		return s, false, fmt.Errorf("read the stage of rule %s: %w", r.ID, err)
	}
	return s, true, nil
}

// put writes a rule's stage; what was before is nil for one that the gate takes up.
func put(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, before *Staged, after Staged) error {
	stored, err := postgres.One[Staged](ctx, db, setStageSQL, pgx.NamedArgs{"rule": after.Rule, "hash": after.RuleHash, "model": after.Model, "stage": after.Stage,
		"now": now, "by": who.Name, "reason": after.Reason})
	if err != nil {
		return fmt.Errorf("set the stage of rule %s: %w", after.Rule, err)
	}
	action, was := "taken-up", any(nil)
	if before != nil {
		was, action = before, "promoted"
		if rank(after.Stage) < rank(before.Stage) {
			action = "demoted"
		}
	}
	return machines.Audit(ctx, db, now, who, "rule_stage", stored.auditID(), nil, nil, action, was, stored)
}

func rank(s machines.Stage) int { return slices.Index(machines.Stages, s) }

// SetStage moves one rule of a pack in force by a person's word, with the reason: up
// by one stage, down by any. A rule that came with the program or from the folder is
// held by the gate from then on. Call Refresh after the commit.
func (g *Gate) SetStage(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, hash, id string, stage machines.Stage, reason string) (Staged, error) {
	rule := g.inForce(hash, id)
	switch {
	case rule == nil:
		return Staged{}, problem.New(problem.NotFound, "no pack in force has the hash %q and a rule %q", hash, id)
	case rank(stage) < 0:
		return Staged{}, problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/stage", Detail: "shadow, advise or dispatch"})
	case reason == "":
		return Staged{}, problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/reason", Detail: "why"})
	}
	before, _, err := stageOf(ctx, db, rule)
	if err != nil {
		return Staged{}, err
	}
	if up := rank(stage) - rank(before.Stage); up == 0 || up > 1 {
		return Staged{}, problem.New(problem.Conflict, "the rule is in %s: it goes up by one stage at a time", before.Stage).
			WithZH("规则当前为 %s 阶段：每次只能上升一级", before.Stage)
	}
	after := before
	after.Stage, after.Reason, after.Since, after.SetBy = stage, reason, now, who.Name
	return after, put(ctx, db, now, who, &before, after)
}

// inForce finds a rule of a pack that watches the fleet, or with WatcherHash one that
// no pack holds.
func (g *Gate) inForce(hash, id string) *rules.Rule {
	if hash == WatcherHash {
		return rules.Builtin(id)
	}
	for _, p := range g.Fleet.Packs() {
		if p.Hash == hash {
			r, _ := p.Rule(id)
			return r
		}
	}
	return nil
}
