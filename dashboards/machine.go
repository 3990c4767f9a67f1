package dashboards

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/lifespan"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// machinePage is the machine file on one page.
type machinePage struct {
	File     machines.File
	Work     maintenance.MachineWork
	Asks     bool      // may request service
	Reads    bool      // may note a reading
	Plans    bool      // may schedule an inspection
	Maps     bool      // may say what its signals mean
	Ahead    time.Time // since when its clock is ahead, zero while it is not
	Selected string    // signal shown in the chart
	Silences []machines.Silence
	Lives    []lifespan.MachineLifespan // how much life it has left; empty where no model is of it
	Gaps     []telemetry.SequenceGap
	Missing  int64           // messages of the gaps that are open and listed
	Held     *detection.Held // what the records refuse of it, for staff; nil where nothing is
}

func showMachine(s *Site, r *request) error {
	id, err := r.id()
	if err != nil {
		return err
	}
	p := machinePage{Asks: r.who.Has(askers...), Reads: r.who.Has(readers...), Plans: r.who.Has(planners...), Maps: r.who.Has(managers...), Selected: r.QueryParam("signal")}
	err = r.read(func(tx pgx.Tx) error {
		if p.File, err = machines.ReadFile(r.ctx, tx, id); err != nil {
			return err
		}
		if p.Work, err = maintenance.ReadMachine(r.ctx, tx, id); err != nil {
			return err
		}
		silences, err := machines.Silences(r.ctx, tx, machines.SilenceFilter{MachineID: &id, Limit: shownSilences})
		if err != nil {
			return err
		}
		p.Silences = silences.Items
		if p.Lives, err = lifespan.Of(r.ctx, tx, id); err != nil {
			return err
		}
		if p.Maps {
			if p.Held, err = detection.HeldOf(r.ctx, tx, id); err != nil {
				return err
			}
		}
		return p.readGaps(r, tx)
	})
	if err != nil {
		return err
	}
	if s.Stored != nil {
		p.Ahead = s.Stored.ClockAhead(id)
	}
	if p.Selected == "" {
		p.Selected = firstSignal(p.File)
	}
	r.view.Title, r.view.Chart = r.view.Name(p.File.Machine.Name, p.File.Machine.NameEN), p.File.Machine.HasDevice && p.Selected != ""
	return r.renderTitled(http.StatusOK, machineView(r.view, p))
}

const gapsOfMachine = 200 // all that are kept of one machine

func (p *machinePage) readGaps(r *request, tx pgx.Tx) error {
	gaps, err := telemetry.SequenceGaps(r.ctx, tx, telemetry.GapFilter{MachineID: p.File.Machine.ID, Limit: gapsOfMachine})
	p.Gaps = gaps.Items
	for _, g := range p.Gaps {
		if g.FilledAt == nil {
			p.Missing += g.Numbers()
		}
	}
	return err
}

// firstSignal is the one with an open finding, else the model's first condition.
func firstSignal(f machines.File) string {
	for _, finding := range f.Findings {
		if e, ok := evidence(finding); ok && finding.State == "open" && e.Signal != "" {
			return e.Signal
		}
	}
	for _, finding := range f.Findings {
		if e, ok := evidence(finding); ok && e.Signal != "" {
			return e.Signal
		}
	}
	for _, s := range f.Signals {
		if s.Role == "condition" {
			return s.Name
		}
	}
	return ""
}

// charted lists the signals that can be shown: the model's, and of a machine that no
// model describes those that its findings name.
func (p machinePage) charted() []string {
	var names []string
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, s := range p.File.Signals {
		add(s.Name)
	}
	add(p.Selected)
	for _, f := range p.File.Findings {
		if e, ok := evidence(f); ok {
			add(e.Signal)
			for _, c := range e.Causes {
				add(c.Signal)
			}
		}
	}
	return names
}

func evidence(f machines.Finding) (rules.Evidence, bool) {
	var e rules.Evidence
	if len(f.Evidence) == 0 || json.Unmarshal(f.Evidence, &e) != nil {
		return e, false
	}
	if f.State != "open" && e.DaysToLimit == nil {
		e.StopAt = nil // when it would have got there is no question any more
	}
	return e, true
}

// chart is what the browser draws: one signal with its normal band, the windows
// of findings and the marks of visits.
type chart struct {
	Signal  string      `json:"signal"`
	Label   string      `json:"label"`
	Unit    string      `json:"unit"`
	At      []int64     `json:"at"` // Unix seconds
	Mean    []float64   `json:"mean"`
	Low     []float64   `json:"low"`
	High    []float64   `json:"high"`
	Band    *[3]float64 `json:"band"` // low, normal, high
	Stop    *float64    `json:"stop"`
	Windows []window    `json:"windows"`
	Marks   []markAt    `json:"marks"`
	Texts   chartTexts  `json:"texts"`
}

type window struct {
	From  int64  `json:"from"`
	To    int64  `json:"to"`
	Label string `json:"label"`
}

type markAt struct {
	At    int64  `json:"at"`
	Label string `json:"label"`
}

type chartTexts struct {
	Time, Value, Band, Finding, Visit, Empty string
}

const chartPoints = 600

func showChart(s *Site, r *request) error {
	id, err := r.id()
	if err != nil {
		return err
	}
	days, err := strconv.Atoi(r.QueryParam("days"))
	if err != nil || days < 1 || days > 90 {
		days = 30
	}
	signal := r.QueryParam("signal")
	if signal == "" {
		return r.refusal(problem.NotFound, "error.not_found")
	}
	var file machines.File
	var work maintenance.MachineWork
	err = r.read(func(tx pgx.Tx) error {
		if file, err = machines.ReadFile(r.ctx, tx, id); err != nil {
			return err
		}
		work, err = maintenance.ReadMachine(r.ctx, tx, id)
		return err
	})
	if err != nil {
		return err
	}
	c := chart{Signal: signal, Label: signal, At: []int64{}, Mean: []float64{}, Low: []float64{}, High: []float64{}, Windows: []window{}, Marks: []markAt{}, Texts: chartTexts{r.t("chart.time"), r.t("chart.value"), r.t("chart.band"), r.t("chart.finding"), r.t("chart.visit"), r.t("chart.empty")}}
	for _, known := range file.Signals {
		if known.Name == signal {
			c.Label, c.Unit = r.view.Name(known.Label, known.LabelEN), Unit(known.Unit)
		}
	}
	from := r.now.Add(-time.Duration(days) * 24 * time.Hour)
	series, err := s.History.Range(r.ctx, history.Query{Machine: history.Ref{Key: file.Machine.Key, No: file.Machine.No},
		Signals: []string{signal}, From: from, To: r.now, MaxPoints: chartPoints})
	if err != nil {
		return err
	}
	for _, one := range series {
		if one.Signal != signal {
			continue
		}
		c.Mean, c.Low, c.High = append(c.Mean, one.Mean...), append(c.Low, one.Low...), append(c.High, one.High...)
		for _, at := range one.At {
			c.At = append(c.At, at.Unix())
		}
	}
	c.annotate(s, r, file, work, from)
	return r.JSON(http.StatusOK, c)
}

func (c *chart) annotate(s *Site, r *request, file machines.File, work maintenance.MachineWork, from time.Time) {
	if s.Detection != nil {
		if b, ok := s.Detection.Band(file.Machine.Key, c.Signal); ok {
			c.Band = &[3]float64{b.Low, b.Normal, b.High}
		}
	}
	for _, f := range file.Findings {
		if e, ok := evidence(f); ok && e.Signal == c.Signal {
			c.shade(r, f, e, from)
		}
	}
	for _, o := range work.WorkOrders {
		if o.OnSiteAt != nil && o.OnSiteAt.After(from) {
			c.Marks = append(c.Marks, markAt{o.OnSiteAt.Unix(), r.view.Name(o.Title, o.TitleEN)})
		}
	}
}

// shade marks a finding's window, from its onset to its end. The band of an open
// one is that in which the finding's words call the value normal.
func (c *chart) shade(r *request, f machines.Finding, e rules.Evidence, from time.Time) {
	began, ended := f.OpenedAt, r.now
	if !e.Since.IsZero() && e.Since.Before(began) {
		began = e.Since
	}
	if f.ClosedAt != nil {
		ended = *f.ClosedAt
	} else if e.Sigma > 0 {
		c.Band = &[3]float64{e.Low, e.Normal, e.High}
	}
	if e.StopAt != nil {
		c.Stop = e.StopAt
	}
	if ended.After(from) {
		c.Windows = append(c.Windows, window{max(began.Unix(), from.Unix()), ended.Unix(), r.view.Name(f.Title, f.TitleEN)})
	}
}

// showBundle gives a finding's evidence as a file that is verified without the server.
func showBundle(s *Site, r *request) error {
	id, err := r.id()
	if err != nil {
		return err
	}
	var found detection.Subject
	err = r.read(func(tx pgx.Tx) error {
		found, err = detection.ReadSubject(r.ctx, tx, id)
		return err
	})
	if err != nil {
		return err
	}
	if s.Fleet == nil {
		return problem.New(problem.Unavailable, "there are no rules")
	}
	data, err := s.Fleet.Evidence(r.ctx, found, s.History.Rows)
	if err != nil {
		return err
	}
	r.Response().Header().Set("Content-Disposition", `attachment; filename="finding-`+id.String()+`.zip"`)
	return r.Blob(http.StatusOK, "application/zip", data)
}
