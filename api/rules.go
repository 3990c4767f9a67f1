package api

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

func rulePacks(s *Server) {
	readers := []identity.Role{identity.Admin, identity.ServiceManager, identity.Dispatcher, identity.FieldEngineer, identity.OwnerAdmin, identity.OwnerViewer}
	add(s, route{ID: "list-rule-packs", Method: http.MethodGet, Path: "/rules", Roles: readers, EN: "The rule packs that watch the fleet", ZH: "监测机群的规则包"}, s.listRulePacks)
	add(s, route{ID: "check-rule-pack", Method: http.MethodPost, Path: "/rules/check", Roles: managers,
		EN: "Check the text of a rule pack; every fault at once, with line and column", ZH: "检查规则包文本；一次列出所有错误及行列"}, s.checkRulePack)
}

// RulePack is the rules of one model.
type RulePack struct {
	Model           string       `json:"model"`
	Name            string       `json:"name"`
	NameZH          string       `json:"nameZh"`
	Hash            string       `json:"hash" doc:"of the text"`
	LatenessSeconds float64      `json:"latenessSeconds" doc:"how late an observation may come and still be evaluated in its place"`
	Signals         []RuleSignal `json:"signals"`
	Rules           []Rule       `json:"rules"`
}

// RuleSignal is a signal as its pack describes it.
type RuleSignal struct {
	Name    string   `json:"name"`
	Unit    string   `json:"unit" doc:"UCUM"`
	Role    string   `json:"role" enum:"condition,context,ignore"`
	Low     *float64 `json:"low,omitempty" doc:"least plausible value"`
	High    *float64 `json:"high,omitempty" doc:"greatest plausible value"`
	Label   string   `json:"label"`
	LabelZH string   `json:"labelZh"`
}

// Rule is what one rule looks for and what is to be done about it.
type Rule struct {
	ID          string          `json:"id"`
	Kind        string          `json:"kind"`
	Hash        string          `json:"hash" doc:"of all that decides what it finds"`
	Component   string          `json:"component"`
	FailureMode string          `json:"failureMode"`
	ISO14224    string          `json:"iso14224,omitempty" doc:"failure mode in the code of ISO 14224"`
	Title       string          `json:"title"`
	TitleZH     string          `json:"titleZh"`
	Severity    string          `json:"severity" enum:"info,advice,warning,alarm"`
	Signal      string          `json:"signal"`
	Expr        string          `json:"expr,omitempty" doc:"formula that is judged in place of the signal"`
	FirstChecks []machines.Text `json:"firstChecks"`
	Causes      []machines.Text `json:"causes"`
	Skills      []string        `json:"skills"`
	Parts       []string        `json:"parts"`
	PFDays      float64         `json:"pfDays" doc:"typical days from detectable to failed"`
}

func (s *Server) listRulePacks(ctx context.Context, _ *struct{}) (*Listed[RulePack], error) {
	var items []RulePack
	if s.Fleet != nil {
		packs := s.Fleet.Packs()
		for _, model := range slices.Sorted(maps.Keys(packs)) {
			items = append(items, shown(packs[model]))
		}
	}
	return whole(ctx, items, nil)
}

func shown(p *rules.Pack) RulePack {
	out := RulePack{Model: p.Model, Name: p.Name, NameZH: p.NameZH, Hash: p.Hash, LatenessSeconds: p.Lateness.Seconds(), Signals: []RuleSignal{}, Rules: []Rule{}}
	for _, g := range p.Signals {
		out.Signals = append(out.Signals, RuleSignal{Name: g.Name, Unit: g.Unit, Role: string(g.Role), Low: g.Low, High: g.High, Label: g.Label, LabelZH: g.LabelZH})
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		out.Rules = append(out.Rules, Rule{ID: r.ID, Kind: r.Kind, Hash: r.Hash(), Component: r.Component, FailureMode: r.FailureMode, ISO14224: r.ISO14224, Title: r.Title, TitleZH: r.TitleZH,
			Severity: string(r.Severity), Signal: r.Signal, Expr: r.Expr, FirstChecks: texts(r.FirstChecks), Causes: texts(r.Causes), Skills: listOf(r.Skills), Parts: listOf(r.Parts), PFDays: r.PFDays})
	}
	return out
}

func texts(list []rules.Text) []machines.Text {
	out := make([]machines.Text, 0, len(list))
	for _, t := range list {
		out = append(out, machines.Text{ZH: t.ZH, EN: t.EN})
	}
	return out
}

// listOf makes an empty list of none, which JSON tells apart.
func listOf[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

type packText struct {
	Name string `json:"name,omitempty" maxLength:"100" doc:"stands for the file in errors"`
	Text string `json:"text" minLength:"1" maxLength:"262144" doc:"YAML"`
}

// PackCheck is what is wrong with the text of a rule pack, or the pack.
type PackCheck struct {
	OK     bool        `json:"ok"`
	Faults []PackFault `json:"faults"`
	Pack   *RulePack   `json:"pack,omitempty"`
}

// PackFault is one fault and its place.
type PackFault struct {
	Line   int    `json:"line" doc:"from 1"`
	Column int    `json:"column"`
	Text   string `json:"text"`
}

func (s *Server) checkRulePack(_ context.Context, in *struct{ Body packText }) (*Answer[PackCheck], error) {
	out := PackCheck{Faults: []PackFault{}}
	pack, err := rules.Parse(in.Body.Name, []byte(in.Body.Text))
	faults, ok := errors.AsType[rules.Errors](err)
	if err != nil && !ok {
		return nil, err
	}
	for _, f := range faults {
		out.Faults = append(out.Faults, PackFault{Line: f.Line, Column: f.Col, Text: f.Text})
	}
	if err == nil {
		p := shown(pack)
		out.OK, out.Pack = true, &p
	}
	return answered(out, 0, nil)
}
