package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// reconcileCommand does on a stopped installation what a running one does by itself
// at its start and after each outage of InfluxDB.
type reconcileCommand struct {
	settings
	LogLevel string `name:"log-level" help:"debug, info, warn or error." enum:"debug,info,warn,error" default:"warn"`
}

// Run prints what was found.
func (c *reconcileCommand) Run(ctx context.Context) error {
	if c.InfluxURL == "" {
		return telemetry.ErrNothingToReconcile
	}
	if err := c.check(); err != nil {
		return err
	}
	y, err := open(ctx, c.settings, false, newLogger(c.LogLevel))
	if problem.Of(err) == problem.Invalid {
		return fmt.Errorf("%w; a program that runs reconciles by itself, and at once when POST /api/v1/intake/reconciliation asks for it", err)
	}
	if err != nil {
		return err
	}
	place, err := telemetry.HistoryPlace(ctx, y.pool, y.intake.ID())
	var found telemetry.Reconciliation
	if err == nil {
		found, err = telemetry.Reconcile(ctx, y.reconciliation(func() intakelog.LSN { return place }))
	}
	if err == nil {
		fmt.Fprintf(y.out, "%d records read, %d hours of machines compared: %d values were missing, %d points written again, %d values refused, %d still missing\n",
			found.Records, found.Hours, found.Missing, found.Rewritten, found.Refused, found.Left)
	}
	if err == nil && found.Left > 0 {
		err = problem.New(problem.Unavailable, "%d values are still missing", found.Left)
	}
	return errors.Join(err, y.close(context.WithoutCancel(ctx)))
}
