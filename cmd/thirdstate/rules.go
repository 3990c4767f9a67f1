package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/packs"
)

type rulesCommand struct {
	Check rulesCheckCommand `cmd:"" help:"Check rule packs and name every fault with its line."`
	List  rulesListCommand  `cmd:"" help:"List the rules of the packs that are built in."`
}

type rulesCheckCommand struct {
	Files []string `arg:"" help:"Rule packs (YAML)." placeholder:"FILE"`
}

// Run checks the files.
func (c *rulesCheckCommand) Run() error { return c.check(os.Stdout) }

func (c *rulesCheckCommand) check(out io.Writer) error {
	faults, bad := 0, 0
	for _, name := range c.Files {
		found := faultsOf(name)
		for _, f := range found {
			if _, err := fmt.Fprintln(out, f); err != nil {
				return fmt.Errorf("print the faults: %w", err)
			}
		}
		if len(found) > 0 {
			faults, bad = faults+len(found), bad+1
			continue
		}
		if _, err := fmt.Fprintf(out, "%s: good\n", name); err != nil {
			return fmt.Errorf("print the result: %w", err)
		}
	}
	if faults > 0 {
		return problem.New(problem.Invalid, "%d faults in %d of %d files", faults, bad, len(c.Files))
	}
	return nil
}

// faultsOf lists what is wrong with a pack, a line each.
func faultsOf(name string) []string {
	text, err := os.ReadFile(name)
	if err != nil {
		return []string{err.Error()}
	}
	_, err = rules.Parse(name, text)
	list, ok := errors.AsType[rules.Errors](err)
	if err != nil && !ok {
		return []string{err.Error()}
	}
	lines := make([]string, len(list))
	for i, f := range list {
		lines[i] = f.String()
	}
	return lines
}

type rulesListCommand struct {
	Language string `help:"Of the titles." enum:"en,zh" default:"en"`
}

// Run lists the rules.
func (c *rulesListCommand) Run() error { return c.list(os.Stdout) }

func (c *rulesListCommand) list(out io.Writer) error {
	all, err := packs.All()
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(out, 2, 4, 2, ' ', 0)
	fmt.Fprintln(t, "MODEL\tRULE\tKIND\tSEVERITY\tFAILURE MODE\tCOMPONENT\tTITLE")
	for _, model := range slices.Sorted(maps.Keys(all)) {
		for i := range all[model].Rules {
			r := &all[model].Rules[i]
			title := r.Title
			if c.Language == "zh" {
				title = r.TitleZH
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", model, r.ID, r.Kind, r.Severity, r.FailureMode, r.Component, title)
		}
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("print the rules: %w", err)
	}
	return nil
}
