package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/rules/backtest"
	"github.com/thirdstate/thirdstate/telemetry/rules/watchfile"
)

// backtestCommand runs rules over files and judges what they say.
type backtestCommand struct {
	Files    []string      `arg:"" optional:"" help:"CSV files, .gz too: the history." placeholder:"FILE.csv"`
	Faults   string        `help:"CSV file of the known faults with the columns machine and at: a time, or the number of the machine's row where rows have no time. Without a column machine a fault is of the only one." placeholder:"FILE.csv"`
	Rule     string        `help:"Rule pack to judge; default: the default watcher." placeholder:"FILE.yaml"`
	Against  string        `help:"Another version of it, judged beside it on the same history." placeholder:"FILE.yaml"`
	Longest  time.Duration `help:"A flag earlier than this before a fault is none of it." default:"720h"`
	Shortest time.Duration `help:"Nor is one later than this before it." default:"0s"`
	Merge    time.Duration `help:"Flags of a machine that are less apart than this are one visit." default:"0s"`
	Visit    time.Duration `help:"What a technician needs for one flag." default:"3h"`
	Newer    float64       `help:"Part of each machine's history, at its end, that is judged apart." default:"0.3"`
	Format   string        `help:"A table or JSON." enum:"table,json" default:"table"`

	Stored   bool          `help:"In place of files: the history of an installation, with the faults that its closed cases have confirmed. The report is kept; see docs/rules-gate.md."`
	Machines []string      `help:"With --stored: machines to look at; default: all of the pack's model. Only a report over all counts at the gate." placeholder:"KEY,KEY"`
	Keeps    storedHistory `embed:""`

	Time    string        `help:"Column of the time, as of watch." placeholder:"COL"`
	Every   time.Duration `help:"Distance of rows without a time." default:"1m"`
	Group   string        `help:"Column that names the machine; none = a file is one machine, called as the file." placeholder:"COL"`
	Signals []string      `help:"Columns to watch; default: all numbers." placeholder:"A,B"`
	Context []string      `help:"Columns that explain the others." placeholder:"C,D"`
	Ignore  []string      `help:"Columns to leave out." placeholder:"E,F"`
	Healthy int           `help:"Rows of each machine that are known to be healthy." placeholder:"ROWS"`
}

// judged is one version of the rules and what it came to.
type judged struct {
	Rules  string          `json:"rules"`
	Hash   string          `json:"hash,omitempty"`
	Result backtest.Result `json:"result"`
}

// Run prints the reports.
func (c *backtestCommand) Run(ctx context.Context) error { return c.run(ctx, os.Stdout) }

func (c *backtestCommand) run(ctx context.Context, out io.Writer) error {
	all, err := c.versions(ctx)
	if err != nil {
		return err
	}
	if c.Format == "json" {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(all)
	}
	return c.table(out, all)
}

// versions judges one version of the rules, or two.
func (c *backtestCommand) versions(ctx context.Context) ([]judged, error) {
	if c.Stored {
		return c.stored(ctx)
	}
	if len(c.Files) == 0 || c.Faults == "" {
		return nil, problem.New(problem.Invalid, "give files of a history and --faults, or --stored")
	}
	versions := []string{c.Rule}
	if c.Against != "" {
		versions = append(versions, c.Against)
	}
	var all []judged
	for _, version := range versions {
		j, err := c.judge(ctx, version)
		if err != nil {
			return nil, err
		}
		all = append(all, j)
	}
	return all, nil
}

func (c *backtestCommand) judge(ctx context.Context, file string) (judged, error) {
	j := judged{Rules: "default watcher"}
	pack, err := (&watchCommand{Pack: file}).pack()
	if err != nil {
		return j, err
	}
	if pack != nil {
		j.Rules, j.Hash = pack.Model, pack.Hash
	}
	options := watchfile.Options{Time: c.Time, Every: c.Every, Group: c.Group, Signals: c.Signals, Context: c.Context, Ignore: c.Ignore, Healthy: c.Healthy, Pack: pack, Format: watchfile.Table}
	var spans []watchfile.Span
	var flags []backtest.Flag
	timed := true
	for _, name := range c.Files {
		s, err := watchOne(ctx, name, options)
		if err != nil {
			return j, err
		}
		timed = timed && s.Timed
		called := func(machine string) string {
			if machine == "" {
				return strings.TrimSuffix(strings.TrimSuffix(filepath.Base(name), ".gz"), ".csv")
			}
			return machine
		}
		for _, span := range s.Spans {
			span.Machine = called(span.Machine)
			spans = append(spans, span)
		}
		for _, e := range s.Episodes {
			flags = append(flags, backtest.Flag{Machine: called(e.Machine), Opened: e.OpenedAt, Closed: e.ClosedAt})
		}
	}
	faults, err := c.faults(spans, timed)
	if err != nil {
		return j, err
	}
	var history []backtest.Span
	for _, s := range spans {
		history = append(history, backtest.Span{Machine: s.Machine, From: s.From, To: s.To})
	}
	j.Result, err = backtest.Run(history, flags, faults, c.terms())
	if err != nil {
		return j, problem.New(problem.Invalid, "%v", err)
	}
	return j, nil
}

func (c *backtestCommand) terms() backtest.Terms {
	return backtest.Terms{Longest: c.Longest, Shortest: c.Shortest, Merge: c.Merge, Visit: c.Visit, Newer: c.Newer}
}

func watchOne(ctx context.Context, name string, options watchfile.Options) (watchfile.Summary, error) {
	file, err := os.Open(name)
	if err != nil {
		return watchfile.Summary{}, problem.New(problem.Invalid, "%v", err)
	}
	defer file.Close()
	s, err := watchfile.Run(ctx, file, name, options, io.Discard)
	if err != nil && ctx.Err() == nil {
		err = problem.New(problem.Invalid, "%v", err)
	}
	return s, err
}

// maxFaults bounds the file of faults.
const maxFaults = 1_000_000

// faults reads what is known to have happened.
func (c *backtestCommand) faults(spans []watchfile.Span, timed bool) ([]backtest.Fault, error) {
	file, err := os.Open(c.Faults)
	if err != nil {
		return nil, problem.New(problem.Invalid, "%v", err)
	}
	defer file.Close()
	rows := csv.NewReader(file)
	rows.TrimLeadingSpace = true
	head, err := rows.Read()
	if err != nil {
		return nil, problem.New(problem.Invalid, "%s:1: no header: want the columns machine and at (%v)", c.Faults, err)
	}
	machine, at := slices.Index(head, "machine"), slices.Index(head, "at")
	if at < 0 || machine < 0 && len(spans) > 1 {
		return nil, problem.New(problem.Invalid, "%s:1: the columns are %s: want machine and at", c.Faults, strings.Join(head, ", "))
	}
	var faults []backtest.Fault
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return faults, nil
		}
		if err != nil {
			return nil, problem.New(problem.Invalid, "%s: %v", c.Faults, err)
		}
		if len(faults) == maxFaults {
			return nil, problem.New(problem.Invalid, "%s: more than %d faults", c.Faults, maxFaults)
		}
		f := backtest.Fault{Machine: spans[0].Machine}
		if machine >= 0 {
			f.Machine = row[machine]
		}
		line, _ := rows.FieldPos(at)
		if f.At, err = c.instant(row[at], f.Machine, spans, timed); err != nil {
			return nil, problem.New(problem.Invalid, "%s:%d: %v", c.Faults, line, err)
		}
		faults = append(faults, f)
	}
}

// instant is a time, or the time of a machine's row.
func (c *backtestCommand) instant(text, machine string, spans []watchfile.Span, timed bool) (time.Time, error) {
	if !timed {
		row, err := strconv.Atoi(text)
		i := slices.IndexFunc(spans, func(s watchfile.Span) bool { return s.Machine == machine })
		switch {
		case i < 0:
			return time.Time{}, fmt.Errorf("the history has no machine %q", machine)
		case err != nil || row < 1 || row > spans[i].Rows:
			return time.Time{}, fmt.Errorf("%q is no row of machine %s: want 1 to %d", text, machine, spans[i].Rows)
		}
		return spans[i].From.Add(time.Duration(row-1) * c.Every), nil
	}
	return instant(text)
}

// instant reads a time as people and their tools write it.
func instant(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: want one as 2026-03-01T07:30:00Z or 2026-03-01 07:30", text)
}

// table prints a column a version and part.
func (c *backtestCommand) table(out io.Writer, all []judged) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	var reports []backtest.Report
	head, parts := []string{""}, []string{""}
	for _, j := range all {
		reports = append(reports, j.Result.All, j.Result.Older, j.Result.Newer)
		head, parts = append(head, j.Rules+" "+j.Hash[:min(12, len(j.Hash))], "", ""), append(parts, "all", "older", "newer")
	}
	line := func(name string, value func(backtest.Report) string) {
		cells := []string{name}
		for _, r := range reports {
			cells = append(cells, value(r))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	fmt.Fprintln(w, strings.Join(head, "\t"))
	fmt.Fprintln(w, strings.Join(parts, "\t"))
	line("machine-days", func(r backtest.Report) string { return fmt.Sprintf("%.1f of %d", r.Days, r.Machines) })
	line("faults", func(r backtest.Report) string { return strconv.Itoa(r.Faults) })
	line("flags", func(r backtest.Report) string { return strconv.Itoa(r.Flags) })
	line("recall", func(r backtest.Report) string { return percent(r.Recall) })
	line("precision", func(r backtest.Report) string { return percent(r.Precision) })
	line("lead, median", func(r backtest.Report) string { return hours(r.LeadMedian) })
	line("lead, 10th percentile", func(r backtest.Report) string { return hours(r.LeadP10) })
	line("flags in 100 machine-days", func(r backtest.Report) string { return fmt.Sprintf("%.2f", r.Per100Days) })
	line("technician hours", func(r backtest.Report) string { return fmt.Sprintf("%.0f", r.Hours) })
	line("time in alarm without a fault near", func(r backtest.Report) string { return ratio(r.InAlarm) })
	line("an alarm clock: recall / precision", func(r backtest.Report) string {
		return ratio(r.Clock.Recall) + " / " + ratio(r.Clock.Precision)
	})
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}

func percent(s backtest.Share) string {
	if s.Whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%d of %d: %.0f %% (%.0f to %.0f)", s.Part, s.Whole, 100*s.Value, 100*s.Low, 100*s.High)
}

func ratio(v backtest.Ratio) string {
	if math.IsNaN(float64(v)) {
		return "-"
	}
	return fmt.Sprintf("%.0f %%", 100*v)
}

func hours(v backtest.Ratio) string {
	switch {
	case math.IsNaN(float64(v)):
		return "-"
	case v >= 48:
		return fmt.Sprintf("%.1f d", v/24)
	}
	return fmt.Sprintf("%.1f h", v)
}
