package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/rules/packs"
)

type importCommand struct {
	Machines importMachines `cmd:"" help:"Import machines from a CSV file with the columns manufacturer, serial, model, name, customer and site. All or nothing."`
}

type importMachines struct {
	store
	File   string `arg:"" help:"CSV file, UTF-8; - is standard input."`
	DryRun bool   `help:"Say what would be done, and do nothing."`
}

// Run imports the file in one transaction and says what it did, or every fault.
func (c *importMachines) Run(ctx context.Context) error {
	in := io.Reader(os.Stdin)
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return problem.New(problem.Invalid, "cannot read the file: %v", rootCause(err))
		}
		defer file.Close()
		in = file
	}
	rows, err := io.ReadAll(io.LimitReader(in, maxImport+1)) // read before the transaction, which may run twice
	if err != nil {
		return fmt.Errorf("read %s: %w", c.File, err)
	}
	known, err := packs.All()
	if err != nil {
		return fmt.Errorf("read the rule packs: %w", err)
	}
	return c.with(ctx, func(pool *postgres.Pool, clk *clock.Clock) error {
		var report machines.Report
		err := postgres.As(ctx, pool, administrator, func(tx pgx.Tx) (err error) {
			report, err = machines.Import(ctx, tx, clk.Now(), administrator, bytes.NewReader(rows), c.DryRun)
			if err != nil || c.DryRun {
				return err
			}
			return detection.NewFleet(known).NameSignals(ctx, tx, clk.Now(), administrator)
		})
		for _, fault := range report.Faults {
			fmt.Fprintln(os.Stderr, fault)
		}
		if err != nil {
			return err
		}
		return printImport(os.Stdout, report, c.DryRun)
	})
}

// maxImport is a little more than machines.Import takes, which says so better.
const maxImport = 65 << 20

func printImport(out io.Writer, r machines.Report, dryRun bool) error {
	text := fmt.Sprintf("%d machines: %d added, %d known already and left as they are\n", r.Rows, r.Added, r.Known)
	for _, made := range []struct {
		what  string
		names []string
	}{{"customers", r.Customers}, {"sites", r.Sites}, {"models of no kind", r.Models}} {
		if len(made.names) > 0 {
			text += fmt.Sprintf("%s made (%d): %s\n", made.what, len(made.names), strings.Join(made.names, ", "))
		}
	}
	if len(r.Ignored) > 0 {
		text += "columns that were not read: " + strings.Join(r.Ignored, ", ") + "\n"
	}
	if dryRun {
		text += "this was a dry run: nothing was written\n"
	}
	_, err := io.WriteString(out, text)
	return err
}
