package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/watchfile"
)

type watchCommand struct {
	File         string        `arg:"" help:"CSV file, .gz too; - reads the standard input." placeholder:"FILE.csv"`
	Time         string        `help:"Column of the time; default: looks for one. none = rows are --every apart." placeholder:"COL"`
	TimeFormat   string        `help:"How times are written: ${time_formats}; default: looks." placeholder:"FORMAT"`
	Every        time.Duration `help:"Distance of rows without a time." default:"1m"`
	Signals      []string      `help:"Columns to watch; default: all numbers." aliases:"condition" placeholder:"A,B"`
	Context      []string      `help:"Columns that explain the others: load, speed, ambient; at most four." placeholder:"C,D"`
	Ignore       []string      `help:"Columns to leave out." placeholder:"E,F"`
	Group        string        `help:"Column that names the machine, one a value; none = all rows are one machine's." placeholder:"COL"`
	SignalColumn string        `help:"Column that names the signal, where each row holds one value." placeholder:"COL"`
	ValueColumn  string        `help:"Column of that value." placeholder:"COL"`
	Healthy      int           `help:"Rows of each machine that are known to be healthy; default: decides itself." placeholder:"ROWS"`
	SkipBad      bool          `help:"Leave out cells and rows that cannot be read, and count them, instead of ending at the first."`
	Model        string        `help:"What thirdstate train has learnt: says how much life remains to each machine; without a column of its age its first row is taken to be of a new one." placeholder:"FILE"`
	Pack         string        `help:"Rule pack to use instead of the default watcher." placeholder:"FILE.yaml"`
	Format       string        `help:"One JSON object a row, a table of episodes, or a page with charts." enum:"ndjson,table,html" default:"ndjson"`
	Evidence     string        `help:"Folder for a bundle of evidence of each episode; thirdstate verify checks it." placeholder:"DIR"`
	Output       string        `help:"File to write, whole or not at all; default: the standard output." placeholder:"FILE"`
	Language     string        `help:"Of the table and the page." enum:"en,zh" default:"en"`
}

// Run watches the file and writes to the standard output; what it came to is said
// on the standard error.
func (c *watchCommand) Run(ctx context.Context) error {
	return c.watch(ctx, os.Stdin, os.Stdout, os.Stderr)
}

func (c *watchCommand) watch(ctx context.Context, in io.Reader, out, notes io.Writer) error {
	if c.Healthy < 0 || c.Every <= 0 {
		return problem.New(problem.Invalid, "--healthy and --every must not be negative")
	}
	opts, err := c.options()
	if err != nil {
		return err
	}
	name := "standard input"
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return problem.New(problem.Invalid, "%v", err)
		}
		defer file.Close()
		in, name = file, c.File
	}
	var summary watchfile.Summary
	err = c.into(out, func(w io.Writer) (err error) {
		summary, err = watchfile.Run(ctx, in, name, opts, w)
		return err
	})
	for _, note := range summary.Notes {
		if _, failed := fmt.Fprintln(notes, "note:", note); failed != nil {
			return fmt.Errorf("print the notes: %w", failed)
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return problem.New(problem.Invalid, "%v", err)
	}
	_, err = fmt.Fprintln(notes, tally(summary))
	return err
}

func (c *watchCommand) options() (watchfile.Options, error) {
	opts := watchfile.Options{
		Time: c.Time, TimeFormat: c.TimeFormat, Every: c.Every, Signals: c.Signals, Context: c.Context, Ignore: c.Ignore, Group: c.Group,
		SignalColumn: c.SignalColumn, ValueColumn: c.ValueColumn, Healthy: c.Healthy, SkipBad: c.SkipBad,
		Format: watchfile.Format(c.Format), Language: c.Language,
	}
	var err error
	if opts.Pack, err = c.pack(); err != nil {
		return opts, err
	}
	if c.Model != "" {
		if opts.Model, err = readModel(c.Model); err != nil {
			return opts, err
		}
	}
	if c.Evidence != "" {
		if err := os.MkdirAll(c.Evidence, 0o755); err != nil {
			return opts, problem.New(problem.Invalid, "%v", err)
		}
		opts.Bundle = func(name string, data []byte) error {
			return os.WriteFile(filepath.Join(c.Evidence, name), data, 0o644)
		}
	}
	return opts, nil
}

func (c *watchCommand) pack() (*rules.Pack, error) {
	if c.Pack == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.Pack)
	if err != nil {
		return nil, problem.New(problem.Invalid, "%v", err)
	}
	pack, err := rules.Parse(c.Pack, text)
	if err != nil {
		return nil, problem.New(problem.Invalid, "%v", err)
	}
	return pack, nil
}

// into hands out what is written to: the output, or a file that appears whole.
func (c *watchCommand) into(out io.Writer, write func(io.Writer) error) error {
	if c.Output == "" {
		return write(out)
	}
	file, err := os.CreateTemp(filepath.Dir(c.Output), ".watch-*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", c.Output, err)
	}
	defer os.Remove(file.Name()) // gone already when all went well
	defer file.Close()
	if err := write(file); err != nil {
		return err
	}
	if err := errors.Join(file.Chmod(0o644), file.Close(), os.Rename(file.Name(), c.Output)); err != nil {
		return fmt.Errorf("cannot write %s: %w", c.Output, err)
	}
	return nil
}

// tally says what a run came to in one line.
func tally(s watchfile.Summary) string {
	line := s.Tally("en")
	switch {
	case s.Learning == 1 && s.Machines == 1:
		line += "; there is not enough yet to know what is normal (--healthy says how many rows are)"
	case s.Learning > 0:
		line += fmt.Sprintf("; of %d machines there is not enough yet to know what is normal (--healthy says how many rows are)", s.Learning)
	}
	return line
}
