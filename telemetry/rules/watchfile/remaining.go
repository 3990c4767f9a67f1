package watchfile

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/thirdstate/thirdstate/telemetry/rules/prognosis"
)

// Lasting is how much life a model gives a machine.
type Lasting struct {
	prognosis.Estimate
	Known bool // else it says nothing
	Why   prognosis.Reason
	Unit  string
}

// life is what a model makes of one machine of the file.
type life struct {
	model    *prognosis.Model
	names    []string // its signals and contexts
	follower *prognosis.Follower
	row      prognosis.Row
	said     prognosis.Estimate
	known    bool
	why      prognosis.Reason // for which there is no estimate
	rows     int
	began    float64 // age at the first row
}

func newLife(m *prognosis.Model) *life {
	names := slices.Concat(m.Signals, m.Contexts)
	return &life{model: m, names: names, follower: m.Follow(), row: prognosis.Row{Values: make([]float64, len(names))}}
}

// observe asks the model about the row that the rules have just seen.
func (l *life) observe(m *watched, timed bool) {
	switch age, told := valueOf(m.values, l.model.Age); {
	case l.model.Age != "" && told:
		l.row.Age = math.Max(age, l.row.Age)
	case l.model.Age != "":
		if l.rows == 0 {
			return // its age is not known yet
		}
	case timed:
		l.row.Age = m.last.Sub(m.first).Hours()
	default:
		l.row.Age = float64(m.rows)
	}
	if l.rows++; l.rows == 1 {
		l.began = l.row.Age
	}
	arrange(l.row.Values, l.names, m.values)
	said, known := l.follower.Observe(&l.row)
	switch l.why = l.follower.Why(); {
	case known:
		l.said, l.known = said, true
	case l.why != prognosis.Circumstances: // of which what was said before holds
		l.known = false
	}
}

// apart says whether rows are much nearer or farther than those that were learnt from,
// and how far: a model looks back on rows.
func (l *life) apart() (step float64, much bool) {
	if l.rows < 2 {
		return 0, false
	}
	step = (l.row.Age - l.began) / float64(l.rows-1)
	return step, step > 2*l.model.Step || step < l.model.Step/2
}

// fits says in one line where a model does not fit the file.
func fits(t *table, m *prognosis.Model) error {
	if m == nil {
		return nil
	}
	if unit := unitOf(t.timed); m.Age == "" && unit != m.Unit {
		return fmt.Errorf("%s: the model counts ages in %ss, and the file in %ss (--time)", t.name, m.Unit, unit)
	}
	signals, contexts, _ := t.chosen()
	var missing []string
	for _, name := range slices.Concat(m.Signals, m.Contexts, []string{m.Age}) {
		if name != "" && !slices.Contains(signals, name) && !slices.Contains(contexts, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 && !t.long { // of a long table, signals come with its rows
		return fmt.Errorf("%s: the model needs columns that are not read here: %s", t.name, short200(strings.Join(missing, ", ")))
	}
	return nil
}

// remaining is an estimate as it is written of each row; High is null where it is open.
type remaining struct {
	Value float64  `json:"value"`
	Low   float64  `json:"low"`
	High  *float64 `json:"high"`
	Unit  string   `json:"unit"`
}

func (l *life) line() *remaining {
	if l == nil || !l.known {
		return nil
	}
	r := &remaining{Value: hundredth(l.said.Remaining), Low: hundredth(l.said.Low), Unit: l.model.Unit}
	if high := hundredth(l.said.High); !l.said.More {
		r.High = &high
	}
	return r
}

func hundredth(v float64) float64 { return math.Round(v*100) / 100 }

// unestimated are the reasons for which nothing is said, in English and Chinese.
var unestimated = map[prognosis.Reason][2]string{ //nolint:gochecknoglobals // a constant list
	prognosis.TooFew:        {"too few rows", "行数太少"},
	prognosis.Circumstances: {"in circumstances that no machine was in", "工况未见过"},
	prognosis.Missing:       {"too many signals are missing", "缺少的信号太多"},
	prognosis.Unlike:        {"unlike the machines that it was learnt from", "与所学设备不同"},
	prognosis.Begun:         {"heard first in the middle of its life", "从寿命中途才有数据"},
}

// lasting writes an estimate in words.
func (w words) lasting(l Lasting) string {
	thing := w.say(l.Unit+"s", cmp.Or(map[string]string{prognosis.Hours: "小时", prognosis.Rows: "行"}[l.Unit], l.Unit))
	low, high, about := whole(l.Low), whole(l.High), whole(l.Remaining)
	switch {
	case !l.Known && unestimated[l.Why][0] != "":
		return w.say("no estimate: "+unestimated[l.Why][0], "无估计："+unestimated[l.Why][1])
	case !l.Known:
		return w.say("no estimate", "无估计")
	case l.More && l.Remaining >= l.High*(1-1e-9):
		return w.say("more than %s %s", "%s %s以上", low, thing)
	case l.More:
		return w.say("about %s %s (%s or more)", "约 %s %s(%s 以上)", about, thing, low)
	}
	return w.say("about %s %s (%s to %s)", "约 %s %s(%s 至 %s)", about, thing, low, high)
}

// whole writes an age: small ones with a tenth.
func whole(v float64) string {
	digits := 0
	if v < 10 && v > 0 {
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}
