package main

import (
	"context"

	"github.com/thirdstate/thirdstate/maintenance"
)

// runJobs works off what transactions have enqueued: notices to people.
func (y *system) runJobs(ctx context.Context) error {
	return maintenance.NewJobs(y.pool, y.clock, y.log).Run(ctx)
}
