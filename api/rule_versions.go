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
	add(s, route{ID: "get-rule-version", Method: http.MethodGet, Path: "/rules/{hash}", Roles: managers, EN: "One version with its text", ZH: "规则包的一个版本及其文本"}, s.getRuleVersion)
	add(s, route{ID: "export-rule-version", Method: http.MethodGet, Path: "/rules/{hash}/text", Roles: managers,
		EN: "The text of a version, or of a pack in force, as a file", ZH: "导出规则包文本"}, s.exportRuleVersion)
	add(s, route{ID: "start-backtest", Method: http.MethodPost, Path: "/rules/{hash}/backtests", Roles: managers, Status: http.StatusCreated,
		EN: "Judge a version, a pack in force or the default watcher (hash: watcher) on the stored history; one after the other", ZH: "用存储的历史数据回测规则包（逐个进行）"}, s.startBacktest)
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
