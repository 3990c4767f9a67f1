package watchfile

import (
	_ "embed"
	"html/template"
	"io"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
)

// Bounds of a page.
const (
	maxListed    = 500 // episodes
	maxDrawn     = 40  // machines with charts
	maxOpenChart = 6   // charts of a machine that are not folded away
	maxCharts    = 30  // of a machine
)

//go:embed report.html.tmpl
var reportText string

// view is what the page's template shows.
type view struct {
	words
	Lang     string
	Name     string
	Summary  Summary
	Episodes []episodeView
	More     int // episodes that are not listed
	Machines []machineView
	Without  int // machines without charts
}

type episodeView struct {
	Machine  string
	Number   int
	Severity string
	Rule     string
	Span     string
	Why      []string
}

type machineView struct {
	Name     string
	Rows     int
	Found    int
	Health   string // at its last row
	Lasts    string // how much life remains, "" = no model is asked
	Charts   []chartView
	Folded   []chartView
	Left     int  // signals that are not drawn
	Partly   bool // there was no room for all its signals
	OneOfAll bool
}

type chartView struct {
	Signal string
	Cause  bool
	SVG    template.HTML
}

// Say is for the template.
func (v *view) Say(en, zh string) string { return v.say(en, zh) }

// write writes the page: one file that needs nothing else.
func (p *page) write(out io.Writer, s Summary) error {
	v := &view{words: words{p.zh, p.timed}, Lang: "en", Name: path.Base(filepath.ToSlash(p.name)), Summary: s}
	if p.zh {
		v.Lang = "zh-CN"
	}
	for i, e := range s.Episodes {
		if i == maxListed {
			v.More = len(s.Episodes) - maxListed
			break
		}
		v.Episodes = append(v.Episodes, episodeView{p.called(e.Machine), e.Number, string(e.Severity), e.Rule, v.span(e), v.why(e.Evidence)})
	}
	p.machines(v, s)
	t, err := template.New("report").Parse(reportText)
	if err != nil {
		return err
	}
	return t.Execute(out, v)
}

// called is a machine's name where there are several.
func (p *page) called(machine string) string {
	if len(p.order) == 1 {
		return ""
	}
	return machine
}

// machines puts those with episodes first.
func (p *page) machines(v *view, s Summary) {
	found := map[string][]Episode{}
	for _, e := range s.Episodes {
		found[e.Machine] = append(found[e.Machine], e)
	}
	order := slices.Clone(p.order)
	sort.SliceStable(order, func(i, j int) bool { return len(found[order[i].machine]) > 0 && len(found[order[j].machine]) == 0 })
	for i, r := range order {
		if i == maxDrawn {
			v.Without = len(order) - maxDrawn
			return
		}
		m := v.machine(r, found[r.machine], len(order) == 1)
		m.stand(v.words, s.Standings[slices.IndexFunc(s.Standings, func(one Standing) bool { return one.Machine == r.machine })])
		v.Machines = append(v.Machines, m)
	}
}

func (v *view) machine(r *recording, episodes []Episode, alone bool) machineView {
	m := machineView{Name: r.machine, Rows: r.rows, Found: len(episodes), OneOfAll: !alone, Partly: r.partly}
	rank := map[string]int{}
	for _, e := range episodes {
		for _, c := range append([]string{e.Evidence.Signal}, signalsOf(e)...) {
			if _, known := rank[c]; !known && c != "" {
				rank[c] = len(rank) - maxCharts*1000 // before all others
			}
		}
	}
	traces := slices.Clone(r.traces)
	sort.SliceStable(traces, func(i, j int) bool { return rank[traces[i].signal] < rank[traces[j].signal] })
	for i, t := range traces {
		if i == maxCharts {
			m.Left = len(traces) - maxCharts
			break
		}
		c := chartView{Signal: t.signal, Cause: rank[t.signal] < 0}
		c.SVG = newChart(t, r, v.timed).svg(v.label(t.signal, len(episodes)), v.stretches(r, episodes))
		if i < maxOpenChart && (c.Cause || len(rank) == 0) {
			m.Charts = append(m.Charts, c)
		} else {
			m.Folded = append(m.Folded, c)
		}
	}
	return m
}

// stand says how the machine does at its last row.
func (m *machineView) stand(w words, s Standing) {
	m.Health = w.say("%.0f of 100", "%.0f / 100", s.Score)
	if len(s.Contributors) > 0 {
		m.Health += w.say(": ", ":") + w.contributors(s.Contributors)
	}
	if s.Lasts != nil {
		m.Lasts = w.lasting(*s.Lasts)
	}
}

func (v *view) label(signal string, episodes int) string {
	return v.say("%s over the rows of the file, with its normal band and %d episodes", "%s 的变化曲线、正常范围及 %d 次异常", signal, episodes)
}

func signalsOf(e Episode) []string {
	var names []string
	for _, c := range e.Evidence.Causes {
		names = append(names, c.Signal)
	}
	return names
}

// stretches are a machine's episodes as charts mark them.
func (v *view) stretches(r *recording, episodes []Episode) []stretch {
	var list []stretch
	for _, e := range episodes[:min(len(episodes), maxListed)] {
		to := place(v.timed, r.to, r.rows)
		if e.Closed > 0 {
			to = place(v.timed, e.ClosedAt, e.Closed)
		}
		list = append(list, stretch{place(v.timed, e.OpenedAt, e.Opened), to, e.Number, v.span(e)})
	}
	return list
}

// Verdict says in a sentence what was found.
func (v *view) Verdict() string {
	machines := map[string]bool{}
	open := 0
	for _, e := range v.Summary.Episodes {
		machines[e.Machine] = true
		if e.Closed == 0 {
			open++
		}
	}
	if v.zh {
		return v.say("", "%d 台设备共 %d 次偏离自身正常状态,其中 %d 次在文件结束时仍未恢复。", len(machines), len(v.Summary.Episodes), open)
	}
	text := count1(len(v.Summary.Episodes), "episode") + " on " + count1(len(machines), "machine") + ": signals left their own normal."
	if open > 0 {
		text += " " + count1(open, "episode") + " still open at the end."
	}
	return text
}

// Unlearnt says of how many machines nothing can be said.
func (v *view) Unlearnt() string {
	return v.say("Of %s there are not enough rows to know what is normal.", "%s 台设备的数据不足以学习其正常状态。", v.machineCount(v.Summary.Learning))
}

func (v *view) machineCount(n int) string {
	if v.zh {
		return strconv.Itoa(n)
	}
	return count1(n, "machine")
}

// MoreEpisodes says how many episodes are not listed.
func (v *view) MoreEpisodes() string {
	return v.say("%d more episodes are not listed; --format table lists all.", "另有 %d 次异常未列出,可用 --format table 查看。", v.More)
}

// Rest heads the charts that are folded away.
func (v *view) Rest(n int) string { return v.say("%d other signals", "其余 %d 个信号", n) }

// NotDrawn says how many signals have no chart.
func (v *view) NotDrawn(n int) string {
	return v.say("%d more signals are not drawn.", "另有 %d 个信号未绘制。", n)
}

// WithoutCharts says how many machines have no charts.
func (v *view) WithoutCharts() string {
	return v.say("%d more machines are not drawn.", "另有 %d 台设备未绘制。", v.Without)
}
