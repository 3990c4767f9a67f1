package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/watchfile"
)

type watchCommand struct {
	File     string        `arg:"" help:"CSV file, .gz too; - reads the standard input." placeholder:"FILE.csv"`
	Time     string        `help:"Column of the time; default: looks for one. none = rows are --every apart." placeholder:"COL"`
	Every    time.Duration `help:"Distance of rows without a time." default:"1m"`
	Signals  []string      `help:"Columns to watch; default: all numbers." placeholder:"A,B"`
	Context  []string      `help:"Columns that explain the others: load, speed, ambient; at most four." placeholder:"C,D"`
	Ignore   []string      `help:"Columns to leave out." placeholder:"E,F"`
	Group    string        `help:"Column that names the machine." placeholder:"COL"`
	Healthy  int           `help:"Rows of each machine that are known to be healthy; default: decides itself." placeholder:"ROWS"`
	Pack     string        `help:"Rule pack to use instead of the default watcher." placeholder:"FILE.yaml"`
	Format   string        `help:"One JSON object a row, or a table of episodes." enum:"ndjson,table" default:"ndjson"`
	Language string        `help:"Of the table." enum:"en,zh" default:"en"`
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
	pack, err := c.pack()
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
	summary, err := watchfile.Run(ctx, in, name, watchfile.Options{
		Time: c.Time, Every: c.Every, Signals: c.Signals, Context: c.Context, Ignore: c.Ignore, Group: c.Group,
		Healthy: c.Healthy, Pack: pack, Table: c.Format == "table", Language: c.Language,
	}, out)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return problem.New(problem.Invalid, "%v", err)
	}
	_, err = fmt.Fprintln(notes, tally(summary))
	return err
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

// tally says what a run came to in one line.
func tally(s watchfile.Summary) string {
	line := fmt.Sprintf("%d rows, %d machines, %d signals, %d episodes", s.Rows, s.Machines, len(s.Signals), len(s.Episodes))
	if s.Learning > 0 {
		line += fmt.Sprintf("; of %d machines there is not enough yet to know what is normal (--healthy says how many rows are)", s.Learning)
	}
	return line
}
