package main

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

type rulesPrecursorsCommand struct {
	Codes    string        `arg:"" help:"Log of trouble codes of a fleet (CSV, .gz too), a row each time that one came up." placeholder:"CODES.csv"`
	Failures string        `arg:"" help:"Log of its failures (CSV, .gz too), a row a failure." placeholder:"FAILURES.csv"`
	Time     string        `help:"Column of the time, in both." default:"time"`
	Machine  string        `help:"Column of the machine, in both." default:"machine"`
	Code     string        `help:"Column of the code." default:"code"`
	Window   time.Duration `help:"Codes that announce together come within it." default:"24h"`
	Horizon  time.Duration `help:"How far ahead a failure may be announced." default:"24h"`
	Least    time.Duration `help:"Shortest lead that is of use." default:"1h"`
	Recall   float64       `help:"Share of the failures that are to be announced, 0 to 1." default:"0.8"`
	ID       string        `help:"Of the rule." name:"id" default:"fails-after-codes"`
}

// Run prints the rule that is learnt, for a pack.
func (c *rulesPrecursorsCommand) Run() error { return c.learn(os.Stdout) }

func (c *rulesPrecursorsCommand) learn(out io.Writer) error {
	if c.Window <= 0 || c.Horizon <= 0 || c.Least < 0 || c.Least >= c.Horizon || !(c.Recall > 0 && c.Recall <= 1) {
		return problem.New(problem.Invalid, "want window and horizon longer than nothing, least shorter than the horizon, recall above 0 and at most 1")
	}
	codes, err := readEvents(c.Codes, c.Time, c.Machine, c.Code)
	if err != nil {
		return err
	}
	failures, err := readEvents(c.Failures, c.Time, c.Machine, "")
	if err != nil {
		return err
	}
	failed := make([]rules.Failed, len(failures))
	for i, f := range failures {
		failed[i] = rules.Failed{Machine: f.Machine, At: f.At}
	}
	how := rules.Learning{Window: c.Window, Horizon: c.Horizon, Least: c.Least, Recall: c.Recall}
	learnt := rules.Learn(codes, failed, how)
	text := learnt.Rule(c.ID, how)
	if text == "" {
		return problem.New(problem.Invalid, "no code announces a failure: %d failures, %d times that codes came up", learnt.Failures, learnt.Moments)
	}
	if _, err := rules.Parse(c.Codes, []byte("model: learnt\nsignals: {}\nrules:\n"+text)); err != nil {
		return problem.New(problem.Invalid, "the rule that was learnt is none: %v", err)
	}
	_, err = fmt.Fprintf(out, "# Learnt from %d failures and %d times that codes came up; it announces %d of the failures %s to %s ahead, each judged by\n"+
		"# the rest of the log; %.1f %% of all times have a failure ahead. Back-test it on newer rows before it goes live.\n%s",
		learnt.Failures, learnt.Moments, learnt.Announced, c.Horizon, c.Least, 100*learnt.Base, text)
	if err != nil {
		return fmt.Errorf("print the rule: %w", err)
	}
	return nil
}

// maxCodeRows bounds a log of codes.
const maxCodeRows = 5_000_000

// readEvents reads a table with columns of time and machine, and of code unless that is "".
func readEvents(name, timeColumn, machineColumn, codeColumn string) ([]rules.CodeSeen, error) {
	file, err := os.Open(name) //nolint:gosec // the file that was asked for
	if err != nil {
		return nil, problem.New(problem.Invalid, "%v", err)
	}
	defer file.Close()
	var text io.Reader = file
	if filepath.Ext(name) == ".gz" {
		if text, err = gzip.NewReader(file); err != nil {
			return nil, problem.New(problem.Invalid, "%s: is not a whole gzip file: %v", name, err)
		}
	}
	rows := csv.NewReader(text)
	rows.TrimLeadingSpace = true
	head, err := rows.Read()
	if err != nil {
		return nil, problem.New(problem.Invalid, "%s:1: no header (%v)", name, err)
	}
	at, machine, code := slices.Index(head, timeColumn), slices.Index(head, machineColumn), slices.Index(head, codeColumn)
	if at < 0 || machine < 0 || code < 0 && codeColumn != "" {
		return nil, problem.New(problem.Invalid, "%s:1: the columns are %s: want %s", name, strings.Join(head, ", "),
			strings.TrimSuffix(strings.Join([]string{timeColumn, machineColumn, codeColumn}, ", "), ", "))
	}
	var out []rules.CodeSeen
	for {
		row, err := rows.Read()
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, problem.New(problem.Invalid, "%s: %v", name, err)
		case len(out) == maxCodeRows:
			return nil, problem.New(problem.Invalid, "%s: more than %d rows", name, maxCodeRows)
		}
		e := rules.CodeSeen{Machine: row[machine]}
		if e.At, err = instant(row[at]); err != nil {
			line, _ := rows.FieldPos(at)
			return nil, problem.New(problem.Invalid, "%s:%d: %v", name, line, err)
		}
		if code >= 0 {
			e.Code = "dtc." + strings.TrimPrefix(row[code], "dtc.")
		}
		out = append(out, e)
	}
}
