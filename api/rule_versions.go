package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/gate"
)

func ruleVersions(s *Server) {
	add(s, route{ID: "list-rule-versions", Method: http.MethodGet, Path: "/rules/versions", Roles: managers,
		EN: "Rule packs as people wrote them, by the hash of their text, newest first", ZH: "规则包各版本（按文本哈希），最新在前"}, s.listRuleVersions)
	add(s, route{ID: "add-rule-version", Method: http.MethodPost, Path: "/rules/versions", Roles: managers, Status: http.StatusCreated,
		EN: "Keep or import the text of a rule pack as a draft; every fault at once, as line:column", ZH: "保存或导入规则包草稿；一次列出所有错误（行:列）"}, s.addRuleVersion)
	add(s, route{ID: "list-rule-health", Method: http.MethodGet, Path: "/rules/health", Roles: managers,
		EN: "How each rule in force does: stage, trust, flags a day, last run, cost, muted, stale", ZH: "在用规则的健康状况：阶段、信任度、日均报警、最近运行、耗时、静默、缺数据"}, s.listRuleHealth)
	add(s, route{ID: "list-shadow-findings", Method: http.MethodGet, Path: "/rules/shadow-findings", Roles: managers,
		EN: "What rules in the shadow have found, newest first; nobody was told", ZH: "shadow 阶段规则的发现，最新在前；未通知任何人"}, s.listShadowFindings)
	add(s, route{ID: "get-rule-version", Method: http.MethodGet, Path: "/rules/{hash}", Roles: managers, EN: "One version with its text", ZH: "规则包的一个版本及其文本"}, s.getRuleVersion)
	add(s, route{ID: "export-rule-version", Method: http.MethodGet, Path: "/rules/{hash}/text", Roles: managers,
		EN: "The text of a version, or of a pack in force, as a file", ZH: "导出规则包文本"}, s.exportRuleVersion)
	add(s, route{ID: "start-backtest", Method: http.MethodPost, Path: "/rules/{hash}/backtests", Roles: managers, Status: http.StatusCreated,
		EN: "Judge a version, a pack in force or the default watcher (hash: watcher) on the stored history; one after the other", ZH: "用存储的历史数据回测规则包（逐个进行）"}, s.startBacktest)
	add(s, route{ID: "publish-rule-version", Method: http.MethodPost, Path: "/rules/{hash}/publish", Roles: managers,
		EN: "Approve a version as the second person and put it in force; 409 without a passing back-test of exactly this version", ZH: "由第二人批准并发布规则包；没有该版本的合格回测则返回 409"}, s.publishRuleVersion)
	add(s, route{ID: "withdraw-rule-version", Method: http.MethodPost, Path: "/rules/{hash}/withdraw", Roles: managers,
		EN: "Take a published version out of force; the pack that came with the program watches again", ZH: "撤回已发布的规则包，恢复程序自带的规则"}, s.withdrawRuleVersion)
	add(s, route{ID: "set-rule-stage", Method: http.MethodPost, Path: "/rules/{hash}/stages", Roles: managers,
		EN: "Move a rule of a pack in force between shadow, advise and dispatch, with the reason", ZH: "调整规则阶段：shadow、advise、dispatch，并说明理由"}, s.setRuleStage)
}

func backtests(s *Server) {
	add(s, route{ID: "list-backtests", Method: http.MethodGet, Path: "/backtests", Roles: managers, EN: "Back-tests on the stored history, newest first", ZH: "历史回测列表，最新在前"}, s.listBacktests)
	add(s, route{ID: "get-backtest", Method: http.MethodGet, Path: "/backtests/{id}", Roles: managers,
		EN: "One back-test: precision, recall, lead, flags and hours, of the whole, its older and its newer part", ZH: "一次回测：精确率、召回率、提前量、报警量与工时"}, s.getBacktest)
}

// gated says why there are no versions here.
func (s *Server) gated() error {
	if s.Gate == nil {
		return problem.New(problem.Unavailable, "this server runs no rules")
	}
	return nil
}

// ByHash names a version by the hash of its text.
type ByHash struct {
	Hash string `path:"hash" maxLength:"64"`
}

func (s *Server) listRuleVersions(ctx context.Context, in *struct {
	Model string `query:"model" maxLength:"100"`
	State string `query:"state" enum:"draft,published,retired"`
}) (*Listed[gate.Version], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]gate.Version, error) { return gate.Versions(ctx, db, in.Model, in.State) })
	return whole(ctx, items, err)
}

func (s *Server) listRuleHealth(ctx context.Context, _ *struct{}) (*Listed[gate.RuleHealth], error) {
	if err := s.gated(); err != nil {
		return nil, err
	}
	items, err := read(ctx, s, func(db postgres.DB) ([]gate.RuleHealth, error) { return s.Gate.Health(ctx, db, s.Clock.Now()) })
	return whole(ctx, items, err)
}

func (s *Server) listShadowFindings(ctx context.Context, in *struct {
	Paged
	Rule string `query:"rule" maxLength:"100"`
	Hash string `query:"ruleHash" maxLength:"64"`
}) (*Listed[gate.ShadowFinding], error) {
	page, err := read(ctx, s, func(db postgres.DB) (machines.Page[gate.ShadowFinding], error) {
		return gate.ShadowFindings(ctx, db, gate.ShadowFilter{Rule: in.Rule, RuleHash: in.Hash, Limit: in.Limit, Cursor: in.Cursor})
	})
	return listed(ctx, page, err)
}

type newVersion struct {
	Text string `json:"text" minLength:"1" maxLength:"262144" doc:"YAML"`
	Note string `json:"note,omitempty" maxLength:"2000" doc:"what it is for, or what has changed"`
}

func (s *Server) addRuleVersion(ctx context.Context, in *struct{ Body newVersion }) (*Answer[gate.Version], error) {
	v, err := write(ctx, s, func(a act) (gate.Version, error) {
		return gate.Draft(ctx, a.tx, a.now, a.who, in.Body.Text, in.Body.Note)
	})
	return answered(v, 0, err)
}

func (s *Server) getRuleVersion(ctx context.Context, in *ByHash) (*Answer[gate.Version], error) {
	v, err := read(ctx, s, func(db postgres.DB) (gate.Version, error) { return gate.GetVersion(ctx, db, in.Hash) })
	return answered(v, 0, err)
}

func (s *Server) exportRuleVersion(ctx context.Context, in *ByHash) (*Bundle, error) {
	if err := s.gated(); err != nil {
		return nil, err
	}
	pack, err := read(ctx, s, func(db postgres.DB) ([]byte, error) { return s.Gate.Text(ctx, db, in.Hash) })
	if err != nil {
		return nil, err
	}
	return &Bundle{ContentType: "application/yaml", Disposition: `attachment; filename="rules.yaml"`, Body: pack}, nil
}

type approval struct {
	Stages map[string]machines.Stage `json:"stages,omitempty" doc:"by rule: those that do not begin in shadow; each needs a report of its own that passes"`
	Note   string                    `json:"note,omitempty" maxLength:"2000"`
}

func (s *Server) publishRuleVersion(ctx context.Context, in *struct {
	ByHash
	Body approval
}) (*Answer[gate.Version], error) {
	if err := s.gated(); err != nil {
		return nil, err
	}
	v, err := write(ctx, s, func(a act) (gate.Version, error) {
		return s.Gate.Publish(ctx, a.tx, a.now, a.who, in.Hash, gate.Approval{Stages: in.Body.Stages, Note: in.Body.Note})
	})
	return answered(v, 0, s.inForce(ctx, err))
}

// inForce puts in force what a write has changed. Where that fails for now the change
// is made all the same, and is in force with the next one, or after a restart.
func (s *Server) inForce(ctx context.Context, err error) error {
	if err == nil {
		if err := s.Gate.Refresh(ctx); err != nil {
			s.Log.ErrorContext(ctx, "a change of the rules is stored and not yet in force", "error", err)
		}
	}
	return err
}

func (s *Server) withdrawRuleVersion(ctx context.Context, in *ByHash) (*Answer[gate.Version], error) {
	if err := s.gated(); err != nil {
		return nil, err
	}
	v, err := write(ctx, s, func(a act) (gate.Version, error) { return s.Gate.Withdraw(ctx, a.tx, a.now, a.who, in.Hash) })
	return answered(v, 0, s.inForce(ctx, err))
}

type newStage struct {
	Rule   string         `json:"rule" minLength:"1" maxLength:"100"`
	Stage  machines.Stage `json:"stage" enum:"shadow,advise,dispatch"`
	Reason string         `json:"reason" minLength:"1" maxLength:"2000"`
}

func (s *Server) setRuleStage(ctx context.Context, in *struct {
	ByHash
	Body newStage
}) (*Answer[gate.Staged], error) {
	if err := s.gated(); err != nil {
		return nil, err
	}
	v, err := write(ctx, s, func(a act) (gate.Staged, error) {
		return s.Gate.SetStage(ctx, a.tx, a.now, a.who, in.Hash, in.Body.Rule, in.Body.Stage, in.Body.Reason)
	})
	return answered(v, 0, s.inForce(ctx, err))
}

type newBacktest struct {
	Against  string      `json:"against,omitempty" maxLength:"64" doc:"hash of another version, judged beside it on the same history"`
	Rule     string      `json:"rule,omitempty" maxLength:"100" doc:"this rule alone"`
	Machines []string    `json:"machines,omitempty" maxItems:"1000" doc:"keys; by default all of the model. Only a back-test of all counts at the gate"`
	Terms    *gate.Terms `json:"terms,omitempty" doc:"other ones than the standard terms do not count at the gate"`
}

func (s *Server) startBacktest(ctx context.Context, in *struct {
	ByHash
	Body newBacktest
}) (*Answer[gate.Backtest], error) {
	if err := s.gated(); err != nil {
		return nil, err
	}
	b := in.Body
	asked := gate.Asked{Hash: in.Hash, Against: b.Against, Rule: b.Rule, Machines: b.Machines, Terms: gate.TermsOf(gate.Standard)}
	if b.Terms != nil {
		asked.Terms = *b.Terms
	}
	r, err := write(ctx, s, func(a act) (gate.Backtest, error) { return s.Gate.Ask(ctx, a.tx, a.now, a.who, asked) })
	if err == nil {
		s.Gate.Wake()
	}
	return answered(r, 0, err)
}

func (s *Server) listBacktests(ctx context.Context, in *struct {
	Paged
	Hash  string `query:"hash" maxLength:"64" doc:"of either version"`
	Model string `query:"model" maxLength:"100"`
}) (*Listed[gate.Backtest], error) {
	page, err := read(ctx, s, func(db postgres.DB) (machines.Page[gate.Backtest], error) {
		return gate.Backtests(ctx, db, gate.BacktestFilter{Hash: in.Hash, Model: in.Model, Limit: in.Limit, Cursor: in.Cursor})
	})
	return listed(ctx, page, err)
}

func (s *Server) getBacktest(ctx context.Context, in *struct {
	ID uuid.UUID `path:"id"`
}) (*Answer[gate.Backtest], error) {
	r, err := read(ctx, s, func(db postgres.DB) (gate.Backtest, error) { return gate.GetBacktest(ctx, db, in.ID) })
	return answered(r, 0, err)
}
