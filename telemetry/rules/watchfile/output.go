package watchfile

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// gross is how many times the limit makes a machine that is off its normal a faulty one.
const gross = 3.0

// line is what is written of each row.
type line struct {
	Time    *time.Time          `json:"time"`
	Row     int                 `json:"row"`
	Machine string              `json:"machine"`
	Score   float64             `json:"score"`
	State   string              `json:"state"`
	Episode *int                `json:"episode"`
	Causes  []cause             `json:"causes"`
	Off     []rules.Contributor `json:"contributors,omitempty"` // what takes points off the score
	Remains *remaining          `json:"remaining,omitempty"`    // where a model says so
}

// cause is a signal's share in what is wrong.
type cause struct {
	Signal string  `json:"signal"`
	Share  float64 `json:"share"`
}

type writer struct {
	out   *bufio.Writer
	json  *json.Encoder
	table bool
	zh    bool
	timed bool
	page  *page // nil = none is written
}

func newWriter(w io.Writer, name string, opts Options, timed bool) *writer {
	out := bufio.NewWriterSize(w, 32<<10)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	wr := &writer{out: out, json: encoder, table: opts.Format == Table, zh: opts.Language == "zh", timed: timed}
	if opts.Format == HTML {
		wr.page = newPage(name, wr.zh, timed)
	}
	return wr
}

// row writes one row's state.
func (w *writer) row(m *watched, at time.Time) error {
	switch {
	case w.table:
		return nil
	case w.page != nil:
		w.page.row(m, at)
		return nil
	}
	score, off := m.rules.Score()
	l := line{Row: m.rows, Machine: m.name, Score: math.Round(score*10) / 10, State: "normal", Causes: []cause{}, Off: rounded(off), Remains: m.life.line()}
	if w.timed {
		l.Time = &at
	}
	if m.current != 0 {
		l.Episode = &m.current
		l.State, l.Causes = judge(m.rules)
	} else if m.rules.Learning() {
		l.State = "learning"
	}
	if err := w.json.Encode(l); err != nil {
		return fmt.Errorf("write row %d: %w", m.rows, err)
	}
	return nil
}

// rounded are contributors as they are written.
func rounded(list []rules.Contributor) []rules.Contributor {
	for i := range list {
		list[i].Weight, list[i].Loss = hundredth(list[i].Weight), hundredth(list[i].Loss)
	}
	return list
}

// judge names the state of a machine with something open.
func judge(m *rules.Machine) (state string, causes []cause) {
	state, causes = "degraded", []cause{}
	for _, f := range m.Open() {
		if f.Severity == rules.Alarm || m.Nearness() >= gross {
			state = "faulty"
		}
		switch {
		case len(f.Evidence.Causes) > 0:
			causes = causes[:0]
			for _, c := range f.Evidence.Causes {
				causes = append(causes, cause{c.Signal, c.Share})
			}
		case f.Evidence.Signal != "" && len(causes) == 0:
			causes = append(causes, cause{f.Evidence.Signal, 1})
		}
	}
	return state, causes
}

func (w *writer) end(s Summary) error {
	switch {
	case w.table:
		w.episodes(s)
		w.standings(s)
	case w.page != nil:
		if err := w.page.write(w.out, s); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	if err := w.out.Flush(); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

var headings = map[bool]string{
	false: "machine\tepisode\topened (row)\tclosed (row)\trule\tsignal\tdeviation\tlimit\tcauses",
	true:  "设备\t序号\t开始(行)\t结束(行)\t规则\t信号\t偏差\t限值\t原因",
}

func (w *writer) episodes(s Summary) {
	if len(s.Episodes) == 0 {
		none := "no episode: every signal stayed within its own normal"
		if w.zh {
			none = "无异常:各信号均在自身正常范围内"
		}
		fmt.Fprintln(w.out, none)
		return
	}
	t := tabwriter.NewWriter(w.out, 2, 4, 2, ' ', 0)
	fmt.Fprintln(t, headings[w.zh])
	for _, e := range s.Episodes {
		closed := "-"
		if e.Closed > 0 {
			closed = w.place(e.Closed, e.ClosedAt)
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%.4g\t%.4g\t%s\n",
			e.Machine, e.Number, w.place(e.Opened, e.OpenedAt), closed, e.Rule, e.Evidence.Signal, e.Evidence.Deviation, e.Evidence.Limit, causes(e.Evidence))
	}
	_ = t.Flush() // the buffered writer keeps the error for its own Flush
}

func (w *writer) place(row int, at time.Time) string {
	if !w.timed {
		return fmt.Sprint(row)
	}
	return at.Format("2006-01-02 15:04:05") + fmt.Sprintf(" (%d)", row)
}

func causes(e rules.Evidence) string {
	var list []string
	for _, c := range e.Causes {
		list = append(list, fmt.Sprintf("%s %.0f%%", c.Signal, 100*c.Share))
	}
	return strings.Join(list, ", ")
}
