package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/bundle"
)

type verifyCommand struct {
	Files []string `arg:"" help:"Bundles of evidence." placeholder:"BUNDLE.zip"`
}

// Run finds the findings of the bundles again.
func (c *verifyCommand) Run() error { return c.verify(os.Stdout) }

func (c *verifyCommand) verify(out io.Writer) error {
	bad := 0
	for _, name := range c.Files {
		report, err := verified(name)
		line := name + ": verified: " + shown(report)
		if err != nil {
			bad++
			line = name + ": NOT verified: " + strings.ReplaceAll(err.Error(), "\n", " ")
		}
		if _, err := fmt.Fprintln(out, line); err != nil {
			return fmt.Errorf("print the result: %w", err)
		}
	}
	if bad > 0 {
		return problem.New(problem.Invalid, "%d of %d bundles are not verified", bad, len(c.Files))
	}
	return nil
}

func verified(name string) (bundle.Report, error) {
	file, err := os.Open(name)
	if err != nil {
		return bundle.Report{}, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, bundle.MaxBytes+1))
	if err != nil {
		return bundle.Report{}, err
	}
	return bundle.Verify(data)
}

// shown is what a verified bundle says, in one line.
func shown(r bundle.Report) string {
	f := &r.Finding
	line := fmt.Sprintf("machine %s, rule %s (%s) opened at %s on %s, found again in %d observations since %s",
		f.Machine, f.Rule, f.RuleHash, f.OpenedAt.Format(time.RFC3339), lead(f.Evidence), r.Events, r.From.Format(time.RFC3339))
	if u := r.Unless; u != nil {
		side := "above"
		if u.Below {
			side = "below"
		}
		line += fmt.Sprintf("; not had %s stayed %s %.6g", u.Signal, side, u.Value)
	}
	return line + "; seal " + r.Seal
}

func lead(e rules.Evidence) string {
	if e.Signal == "" {
		return "no one signal"
	}
	return e.Signal
}
