package gate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// healthDays is over how long flags are counted.
const healthDays = 30

// RuleHealth is how a rule that is in force does.
type RuleHealth struct {
	Model    string `json:"model" doc:"absent: of the rules that no pack holds"`
	PackHash string `json:"packHash" doc:"watcher = no pack"`
	Source   string `json:"source" enum:"built-in,folder,published"`
	Rule     string `json:"rule"`
	RuleHash string `json:"ruleHash"`
	Kind     string `json:"kind"`
	Title    string `json:"title"`
	TitleZH  string `json:"titleZh"`
	Severity string `json:"severity" enum:"info,advice,warning,alarm"`

	Stage  machines.Stage `json:"stage" enum:"shadow,advise,dispatch"`
	Held   bool           `json:"held" doc:"by the gate: it has been published, or somebody has given it a stage"`
	Since  *time.Time     `json:"since" doc:"in its stage"`
	SetBy  string         `json:"setBy"`
	Reason string         `json:"reason"`
	Trust  Trust          `json:"trust" doc:"by all verdicts on this very rule"`

	FlagsPerDay  float64    `json:"flagsPerDay" doc:"beyond notes, all machines together, of the last 30 days"`
	ShadowPerDay float64    `json:"shadowFlagsPerDay" doc:"the same, told to nobody"`
	LastFinding  *time.Time `json:"lastFindingAt"`

	Machines      int        `json:"machines" doc:"that it watches"`
	LastRunAt     *time.Time `json:"lastRunAt" doc:"newest row that it has seen, event time"`
	LagSeconds    *float64   `json:"lagSeconds" doc:"from then to now, by the program clock"`
	RowNanos      float64    `json:"nanosPerRow" doc:"that all rules of its pack take for one row, sampled; 0 = not known yet"`
	Muted         bool       `json:"muted" doc:"nobody is told: it is in the shadow, or no more than a note"`
	Stale         bool       `json:"stale" doc:"no machine has said for a day what it needs"`
	StaleMachines int        `json:"staleMachines"`
	Missing       string     `json:"missing" doc:"a signal that it waits for"`
}

// staged is the rule as the gate would hold it; one that it does not hold yet has been
// in its stage for ever.
func (h RuleHealth) staged() Staged {
	s := Staged{Rule: h.Rule, RuleHash: h.RuleHash, Model: h.Model, Stage: h.Stage, SetBy: h.SetBy, Reason: h.Reason}
	if h.Since != nil {
		s.Since = *h.Since
	}
	return s
}

type spoken struct {
	Rule   string     `db:"rule"`
	Hash   string     `db:"rule_hash"`
	Flags  int        `db:"flags"`
	Shadow int        `db:"shadow"`
	Last   *time.Time `db:"last"`
}

const spokenSQL = `SELECT k.rule, k.rule_hash, f.flags, s.flags AS shadow, greatest(f.last, s.last) AS last
FROM unnest(@rules::text[], @hashes::text[]) AS k (rule, rule_hash),
LATERAL (SELECT count(*) FILTER (WHERE detected_at >= @since AND severity <> 'info') AS flags, max(detected_at) AS last
  FROM finding WHERE source = 'rule' AND rule = k.rule AND rule_hash = k.rule_hash) f,
LATERAL (SELECT count(*) FILTER (WHERE detected_at >= @since AND severity <> 'info') AS flags, max(detected_at) AS last
  FROM shadow_finding WHERE rule = k.rule AND rule_hash = k.rule_hash) s`

// Health lists every rule in force: those of the packs by model, then those that no
// pack holds.
func (g *Gate) Health(ctx context.Context, db postgres.DB, now time.Time) ([]RuleHealth, error) {
	list, err := g.listed(ctx, db)
	if err != nil {
		return nil, err
	}
	keys := make([]Staged, len(list))
	names, hashes := make([]string, len(list)), make([]string, len(list))
	for i, h := range list {
		keys[i] = Staged{Rule: h.Rule, RuleHash: h.RuleHash}
		names[i], hashes[i] = h.Rule, h.RuleHash
	}
	said, err := g.verdicts(ctx, db, keys, false)
	if err != nil {
		return nil, err
	}
	found, err := postgres.All[spoken](ctx, db, spokenSQL, pgx.NamedArgs{"rules": names, "hashes": hashes, "since": now.AddDate(0, 0, -healthDays)})
	if err != nil {
		return nil, fmt.Errorf("count what rules have found: %w", err)
	}
	byKey := map[detection.RuleKey]spoken{}
	for _, f := range found {
		byKey[detection.RuleKey{Rule: f.Rule, Hash: f.Hash}] = f
	}
	runs := g.runs()
	for i := range list {
		h, key := &list[i], keys[i].key()
		h.Trust = trustIn(said[key])
		f := byKey[key]
		h.FlagsPerDay, h.ShadowPerDay, h.LastFinding = float64(f.Flags)/healthDays, float64(f.Shadow)/healthDays, f.Last
		h.run(runs[key], now)
	}
	return list, nil
}

func (h *RuleHealth) run(r detection.RuleRun, now time.Time) {
	h.Machines, h.StaleMachines, h.Missing, h.RowNanos = r.Machines, r.Stale, r.Missing, r.RowNanos
	h.Stale = r.Machines > 0 && r.Stale == r.Machines
	if !r.Newest.IsZero() {
		lag := now.Sub(r.Newest).Seconds()
		h.LastRunAt, h.LagSeconds = &r.Newest, &lag
	}
}

func (g *Gate) runs() map[detection.RuleKey]detection.RuleRun {
	g.mu.Lock()
	runner := g.runner
	g.mu.Unlock()
	if runner == nil {
		return nil
	}
	return runner.Runs()
}

// listed are the rules in force with their stages.
func (g *Gate) listed(ctx context.Context, db postgres.DB) ([]RuleHealth, error) {
	held, err := postgres.All[Staged](ctx, db, stagesSQL, nil)
	if err != nil {
		return nil, fmt.Errorf("read the stages of rules: %w", err)
	}
	var list []RuleHealth
	add := func(r *rules.Rule, model, pack, source string) {
		h := RuleHealth{Model: model, PackHash: pack, Source: source, Rule: r.ID, RuleHash: r.Hash(), Kind: r.Kind, Title: r.Title, TitleZH: r.TitleZH,
			Severity: string(r.Severity), Stage: machines.Dispatch}
		if at := slices.IndexFunc(held, func(s Staged) bool { return s.Rule == h.Rule && s.RuleHash == h.RuleHash }); at >= 0 {
			s := held[at]
			h.Held, h.Stage, h.Since, h.SetBy, h.Reason = true, s.Stage, &s.Since, s.SetBy, s.Reason
		}
		h.Muted = h.Stage == machines.Shadow || r.Severity == rules.Info
		list = append(list, h)
	}
	packs, base := g.Fleet.Packs(), g.base.Load()
	for _, model := range slices.Sorted(maps.Keys(packs)) {
		p := packs[model]
		source := "published"
		switch own := base.Packs[model]; {
		case base.Folder[model]:
			source = "folder"
		case own != nil && own.Hash == p.Hash:
			source = "built-in"
		}
		for i := range p.Rules {
			add(&p.Rules[i], model, p.Hash, source)
		}
	}
	for _, id := range []string{rules.WatcherID, rules.UnmappedID, rules.SensorsID, rules.RedStopID, rules.WarningLampID} {
		add(rules.Builtin(id), "", WatcherHash, "built-in")
	}
	return list, nil
}
