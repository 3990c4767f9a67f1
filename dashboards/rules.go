package dashboards

import (
	"cmp"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/telemetry/gate"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/backtest"
)

// shownVersions and shownBacktests bound the lists of the page; the API has all.
const (
	shownVersions  = 50
	shownBacktests = 20
)

// rulesPage is what watches the fleet, what is to do so, and what is known of both.
type rulesPage struct {
	Packs     []*rules.Pack     // in force, by model
	Noted     []gate.RuleHealth // that somebody should look at
	Shadow    []gate.ShadowFinding
	Versions  []gate.Version
	Backtests []gate.Backtest
	Budgets   []maintenance.AlertBudget
	Draft     draft
}

// draft is a text as it was sent, with what is wrong with it.
type draft struct {
	Text, Note string
	Faults     []problem.Field
}

func showRules(_ *Site, r *request) error {
	var d draft
	if from := r.QueryParam("from"); from != "" {
		pack, _, err := r.rulesOf(from)
		if err != nil {
			return err
		}
		if pack != nil {
			d.Text = string(pack.Text)
		}
	}
	return r.rules(http.StatusOK, d)
}

func (r *request) rules(status int, d draft) error {
	p := rulesPage{Draft: d}
	if r.site.Fleet != nil {
		packs := r.site.Fleet.Packs()
		for _, model := range slices.Sorted(maps.Keys(packs)) {
			p.Packs = append(p.Packs, packs[model])
		}
	}
	err := r.read(func(tx pgx.Tx) (err error) {
		if p.Versions, err = gate.Versions(r.ctx, tx, "", ""); err != nil {
			return err
		}
		p.Versions = p.Versions[:min(len(p.Versions), shownVersions)]
		shadow, err := gate.ShadowFindings(r.ctx, tx, gate.ShadowFilter{Limit: shownBacktests})
		if err != nil {
			return err
		}
		p.Shadow = shadow.Items
		health, err := r.health(tx)
		p.Noted = slices.DeleteFunc(health, func(h gate.RuleHealth) bool { return !noted(h) })
		if err != nil {
			return err
		}
		if p.Budgets, err = maintenance.AlertBudgets(r.ctx, tx, r.now); err != nil {
			return err
		}
		page, err := gate.Backtests(r.ctx, tx, gate.BacktestFilter{Limit: shownBacktests})
		p.Backtests = page.Items
		return err
	})
	if err != nil {
		return err
	}
	return r.render(status, "nav.rules", rulesView(r.view, p))
}

// health is how the rules in force do; nothing where there is no gate.
func (r *request) health(tx pgx.Tx) ([]gate.RuleHealth, error) {
	if r.site.Gate == nil {
		return nil, nil
	}
	return r.site.Gate.Health(r.ctx, tx, r.now)
}

// noted is a rule that somebody should look at: one that is not as loud as it might
// be, that people often found wrong, or that does not get what it needs.
func noted(h gate.RuleHealth) bool {
	return h.Stage != machines.Dispatch || h.Stale || h.Trust.False > h.Trust.True
}

// rulePage is one version of a pack, or a pack in force that came with the program.
type rulePage struct {
	Hash      string
	Pack      *rules.Pack   // nil for the default watcher
	Version   *gate.Version // nil where nobody here wrote it
	InForce   bool
	Health    []gate.RuleHealth // of its rules, while it is in force
	Mine      bool              // the reader wrote it: somebody else lets it in force
	Others    []gate.Version    // of the same model, to judge beside it
	Backtests []gate.Backtest
}

func showRule(_ *Site, r *request) error {
	p := rulePage{Hash: r.Param("id")}
	var err error
	if p.Pack, p.Version, err = r.rulesOf(p.Hash); err != nil {
		return err
	}
	_, p.InForce = r.inForce(p.Hash)
	p.Mine = p.Version != nil && p.Version.WrittenBy(r.who)
	err = r.read(func(tx pgx.Tx) (err error) {
		health, err := r.health(tx)
		if err != nil {
			return err
		}
		p.Health = slices.DeleteFunc(health, func(h gate.RuleHealth) bool { return h.PackHash != p.Hash || !p.InForce })
		if p.Pack != nil {
			if p.Others, err = gate.Versions(r.ctx, tx, p.Pack.Model, ""); err != nil {
				return err
			}
			p.Others = slices.DeleteFunc(p.Others, func(o gate.Version) bool { return o.Hash == p.Hash })
			p.Others = p.Others[:min(len(p.Others), shownVersions)]
		}
		page, err := gate.Backtests(r.ctx, tx, gate.BacktestFilter{Hash: p.Hash, Limit: shownBacktests})
		p.Backtests = page.Items
		return err
	})
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "nav.rules", ruleView(r.view, p))
}

// rulesOf is the pack with this hash, nil for the default watcher, and its version
// where somebody here wrote it.
func (r *request) rulesOf(hash string) (*rules.Pack, *gate.Version, error) {
	pack, inForce := r.inForce(hash)
	var v gate.Version
	err := r.read(func(tx pgx.Tx) (err error) {
		v, err = gate.GetVersion(r.ctx, tx, hash)
		return err
	})
	switch {
	case problem.Of(err) == problem.NotFound && inForce:
		return pack, nil, nil
	case err == nil && pack == nil:
		pack, err = rules.Parse("pack.yaml", []byte(v.Text))
	}
	return pack, &v, err
}

// inForce is the pack with this hash among those that watch the fleet now; the default
// watcher, which has none, always does.
func (r *request) inForce(hash string) (*rules.Pack, bool) {
	if hash == gate.WatcherHash {
		return nil, true
	}
	if r.site.Fleet != nil {
		for _, p := range r.site.Fleet.Packs() {
			if p.Hash == hash {
				return p, true
			}
		}
	}
	return nil, false
}

func showBacktest(_ *Site, r *request) error {
	id, err := r.id()
	if err != nil {
		return err
	}
	var b gate.Backtest
	err = r.read(func(tx pgx.Tx) (err error) {
		b, err = gate.GetBacktest(r.ctx, tx, id)
		return err
	})
	if err != nil {
		return err
	}
	pack, _, err := r.rulesOf(b.Hash)
	if err != nil && problem.Of(err) != problem.NotFound { // a pack that was in force and is no more has no text
		return err
	}
	return r.render(http.StatusOK, "backtest.title", backtestView(r.view, b, pack))
}

// doDraft keeps a text. One with faults comes back as it was sent, beside them.
func doDraft(r *request, tx pgx.Tx) (string, error) {
	text, note := r.FormValue("text"), r.FormValue("note")
	v, err := gate.Draft(r.ctx, tx, r.now, r.who, text, note)
	if p := problem.As(err); p != nil && p.Kind == problem.Invalid && len(p.Fields) > 0 {
		d := draft{text, note, p.Fields}
		r.answer = func() error { return r.rules(http.StatusUnprocessableEntity, d) }
		return "", nil
	}
	if err != nil {
		return "", err
	}
	r.answer = func() error { return r.Redirect(http.StatusSeeOther, "/rules/"+v.Hash) }
	return r.t("done.rule_drafted"), nil
}

func doBacktest(r *request, tx pgx.Tx) (string, error) {
	if r.site.Gate == nil {
		return "", problem.New(problem.Unavailable, "this server runs no rules")
	}
	b, err := r.site.Gate.Ask(r.ctx, tx, r.now, r.who, gate.Asked{Hash: r.Param("id"), Against: r.FormValue("against"), Terms: gate.TermsOf(gate.Standard)})
	if err != nil {
		return "", err
	}
	r.answer = func() error { // it is there for others from now on
		r.site.Gate.Wake()
		return r.Redirect(http.StatusSeeOther, "/backtests/"+b.ID.String())
	}
	return "", nil
}

// doPublish lets a version in force by the second person's word.
func doPublish(r *request) (string, error) {
	return r.judged("done.rule_published", func(tx pgx.Tx) error {
		_, err := r.site.Gate.Publish(r.ctx, tx, r.now, r.who, r.Param("id"), gate.Approval{Note: r.FormValue("note")})
		return err
	})
}

func doWithdraw(r *request) (string, error) {
	return r.judged("done.rule_withdrawn", func(tx pgx.Tx) error {
		_, err := r.site.Gate.Withdraw(r.ctx, tx, r.now, r.who, r.Param("id"))
		return err
	})
}

func doStage(r *request) (string, error) {
	return r.judged("done.rule_staged", func(tx pgx.Tx) error {
		_, err := r.site.Gate.SetStage(r.ctx, tx, r.now, r.who, r.Param("id"), r.FormValue("rule"), machines.Stage(r.FormValue("stage")), r.FormValue("reason"))
		return err
	})
}

// doAlertBudget sets how many alerts a branch takes up in a week; an empty field gives
// it the usual number again.
func doAlertBudget(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	var perWeek *int
	if text := strings.TrimSpace(r.FormValue("perWeek")); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return "", problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/perWeek", Detail: "a whole number"})
		}
		perWeek = &n
	}
	_, err = maintenance.SetAlertBudget(r.ctx, tx, r.now, r.who, id, perWeek)
	return r.t("done.alert_budget"), err
}

// judged changes what is in force, and has the runner take it up. Where that fails the
// change is made all the same: it is in force with the next one, or after a restart.
func (r *request) judged(done string, change func(tx pgx.Tx) error) (string, error) {
	if r.site.Gate == nil {
		return "", problem.New(problem.Unavailable, "this server runs no rules")
	}
	if err := r.read(change); err != nil {
		return "", err
	}
	if err := r.site.Gate.Refresh(r.ctx); err != nil {
		r.site.Log.ErrorContext(r.ctx, "a change of the rules is stored and not yet in force", "error", err)
	}
	return r.t(done), nil
}

// share says a part of a whole with its interval: "12 of 15 · 80 % (55–93)".
func (v view) share(s backtest.Share) string {
	if s.Whole == 0 {
		return v.T("backtest.none")
	}
	return v.T("backtest.share", s.Part, s.Whole, v.percent(s.Value), v.percent(s.Low), v.percent(s.High))
}

// lead is how early faults were found.
func (v view) lead(r backtest.Report) string {
	if math.IsNaN(float64(r.LeadMedian)) {
		return "–"
	}
	return v.T("backtest.hours_two", v.ratio(r.LeadMedian, 1), v.ratio(r.LeadP10, 1))
}

func (v view) percent(x backtest.Ratio) string { return v.ratio(100*x, 0) }

// ratio is a number, or a dash where there is none.
func (v view) ratio(x backtest.Ratio, decimals int) string {
	if math.IsNaN(float64(x)) {
		return "–"
	}
	return v.Number(float64(x), decimals)
}

// part is a part of the history that is judged by itself.
type part struct {
	key    string
	report backtest.Report
	other  *backtest.Report // of the version beside it
}

// parts are the columns of a back-test.
func parts(b gate.Backtest) []part {
	list := []part{{key: "backtest.all", report: b.Result.Result.All}, {key: "backtest.older", report: b.Result.Result.Older}, {key: "backtest.newer", report: b.Result.Result.Newer}}
	if b.Other != nil {
		for i, r := range []backtest.Report{b.Other.Result.All, b.Other.Result.Older, b.Other.Result.Newer} {
			list[i].other = &r
		}
	}
	return list
}

// judgement is a row of a back-test.
type judgement struct {
	key string
	say func(v view, r backtest.Report) string
}

// judgements are the rows of a back-test, in the order in which one reads them.
var judgements = []judgement{
	{"backtest.recall", func(v view, r backtest.Report) string { return v.share(r.Recall) }},
	{"backtest.precision", func(v view, r backtest.Report) string { return v.share(r.Precision) }},
	{"backtest.lead", view.lead},
	{"backtest.flags", func(v view, r backtest.Report) string { return v.Number(r.Per100Days, 2) }},
	{"backtest.work", func(v view, r backtest.Report) string { return v.T("backtest.hours", v.Number(r.Hours, 0)) }},
	{"backtest.in_alarm", func(v view, r backtest.Report) string { return v.percent(r.InAlarm) + " %" }},
	{"backtest.clock", func(v view, r backtest.Report) string {
		if math.IsNaN(float64(r.Clock.Recall)) {
			return "–"
		}
		return v.T("backtest.clock_two", v.percent(r.Clock.Recall), v.percent(r.Clock.Precision))
	}},
	{"backtest.over", func(v view, r backtest.Report) string {
		return v.T("backtest.machine_days", r.Machines, v.Number(r.Days, 0))
	}},
}

// ruleName is what a rule of a pack is called, its id where the pack is not known.
func (v view) ruleName(p *rules.Pack, id string) string {
	rule := rules.Builtin(id)
	if p != nil {
		if own, ok := p.Rule(id); ok {
			rule = own
		}
	}
	if rule == nil {
		return id
	}
	return v.Name(rule.TitleZH, rule.Title)
}

// versionOf is the id of a version's address.
func versionOf(hash string) string { return "/rules/" + hash }

// trust says what people have found when the rule had flagged.
func (v view) trust(t gate.Trust) string {
	if t.True+t.False+t.Unclear == 0 {
		return v.T("rules.no_verdicts")
	}
	return v.T("rules.trust_of", v.Number(100*t.Mean, 0), v.Number(100*t.Low, 0), v.Number(100*t.High, 0), t.True, t.False)
}

// lacks says what keeps a rule from its work, "" where nothing does.
func (v view) lacks(h gate.RuleHealth) string {
	switch {
	case h.StaleMachines > 0:
		return v.T("rules.stale", h.StaleMachines, h.Machines, h.Missing)
	case h.Machines == 0:
		return v.T("rules.no_machines")
	}
	return ""
}

// short is a hash as people compare it.
func short(hash string) string { return hash[:min(len(hash), 12)] }

// listed are the rules of a pack, the gravest first.
func listed(p *rules.Pack) []*rules.Rule {
	list := make([]*rules.Rule, 0, len(p.Rules))
	for i := range p.Rules {
		list = append(list, &p.Rules[i])
	}
	rank := map[rules.Severity]int{rules.Alarm: 0, rules.Warning: 1, rules.Advice: 2, rules.Info: 3}
	slices.SortStableFunc(list, func(a, b *rules.Rule) int { return cmp.Compare(rank[a.Severity], rank[b.Severity]) })
	return list
}
