package main

import (
	"context"
	"io"
	"os"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/datasets"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// benchDetection measures what the default watcher finds in public data sets.
type benchDetection struct {
	Dir    string `arg:"" help:"Folder that holds them, in any order; .gz too." placeholder:"DIR"`
	Copies bool   `help:"Measure what has a goal on transformed copies of the sets too (gain, time, rate, rows dropped, late, doubled)."`
	Format string `help:"Of the table." enum:"text,markdown" default:"text"`
}

// Run prints the table; families that are not in the folder are named under it.
func (c *benchDetection) Run(ctx context.Context) error { return c.measure(ctx, os.Stdout) }

func (c *benchDetection) measure(ctx context.Context, out io.Writer) error {
	if info, err := os.Stat(c.Dir); err != nil || !info.IsDir() {
		return problem.New(problem.Invalid, "%s is not a folder", c.Dir)
	}
	var result interface{ Print(io.Writer, bool) error }
	var err error
	var lines int
	if c.Copies {
		copies, e := datasets.MeasureCopies(ctx, os.DirFS(c.Dir))
		result, lines, err = copies, len(copies.Lines), e
	} else {
		plain, e := datasets.Measure(ctx, os.DirFS(c.Dir))
		result, lines, err = plain, len(plain.Lines), e
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return problem.New(problem.Invalid, "%v", err)
	case lines == 0:
		return problem.New(problem.Invalid, "%s holds no data set that is known; docs/detection.md says how they are recognised", c.Dir)
	}
	return result.Print(out, c.Format == "markdown")
}
