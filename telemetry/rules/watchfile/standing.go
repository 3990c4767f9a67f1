package watchfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// Standing is how a machine does at its last row.
type Standing struct {
	Machine      string
	Score        float64 // of health, 0 to 100
	Contributors []rules.Contributor
	Lasts        *Lasting // nil = no model was asked
}

func (m *watched) standing() Standing {
	s := Standing{Machine: m.name}
	s.Score, s.Contributors = m.rules.Score()
	if l := m.life; l != nil {
		s.Lasts = &Lasting{l.said, l.known, l.why, l.model.Unit}
	}
	return s
}

// stepped notes machines whose rows are not as far apart as the model was learnt from.
func (r *run) stepped() []string {
	other, first, step := 0, "", 0.0
	for _, m := range r.order {
		if m.life == nil {
			continue
		}
		if apart, much := m.life.apart(); much {
			if other++; other == 1 {
				first, step = m.name, apart
			}
		}
	}
	if other == 0 {
		return nil
	}
	model := r.opts.Model
	return []string{fmt.Sprintf("%s: rows of machine %s are %.3g %ss apart, and those that the model was learnt from %.3g: what remains is unsure (%s)",
		r.table.name, short(first), step, model.Unit, model.Step, count1(other, "machine"))}
}

// worst lists machines of which there is something to say: those with the least life
// left first, then by their score.
func (s Summary) worst() []Standing {
	var list []Standing
	for _, one := range s.Standings {
		if one.Lasts != nil || len(one.Contributors) > 0 {
			list = append(list, one)
		}
	}
	slices.SortStableFunc(list, func(a, b Standing) int {
		return cmp.Or(cmp.Compare(a.left(), b.left()), cmp.Compare(a.Score, b.Score))
	})
	return list
}

// left is what remains, or more than that of any model where none says so.
func (s *Standing) left() float64 {
	if s.Lasts == nil || !s.Lasts.Known {
		return 1e300
	}
	return s.Lasts.Remaining
}

// standings writes how machines do at their last rows.
func (w *writer) standings(s Summary) {
	list := s.worst()
	if len(list) == 0 {
		return
	}
	in := words{w.zh, w.timed}
	t := tabwriter.NewWriter(w.out, 2, 4, 2, ' ', 0)
	head := in.say("machine\thealth\twhat takes points off 100", "设备\t健康分\t扣分项")
	if list[0].Lasts != nil {
		head += "\t" + in.say("remaining life", "剩余寿命")
	}
	fmt.Fprintf(t, "\n%s\n", head)
	for _, one := range list {
		fmt.Fprintf(t, "%s\t%.0f\t%s", one.Machine, one.Score, cmp.Or(in.contributors(one.Contributors), "-"))
		if one.Lasts != nil {
			fmt.Fprintf(t, "\t%s", in.lasting(*one.Lasts))
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush() // the buffered writer keeps the error for its own Flush
}

// reasons are what points are taken for, in both languages.
var reasons = map[string][2]string{ //nolint:gochecknoglobals // never written
	rules.ByStrain: {"near its limit", "接近限值"}, rules.ByNovelty: {"unlike its past", "与以往不同"}, rules.ByFinding: {"finding", "发现"},
	rules.ByCode: {"trouble code", "故障码"}, rules.BySensor: {"sensor", "传感器"}, rules.ByTrend: {"stops before long", "即将停机"},
}

// contributors says what takes points off a score.
func (w words) contributors(list []rules.Contributor) string {
	parts := make([]string, len(list))
	for i, c := range list {
		by := reasons[c.By]
		parts[i] = fmt.Sprintf("%s −%.0f (%s)", c.Signal, c.Loss, w.say(by[0], by[1]))
	}
	return strings.Join(parts, w.say(", ", "、"))
}
