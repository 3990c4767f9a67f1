package webhooks

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// delays are the waits after each failed try: eight tries over about a day.
var delays = []time.Duration{5 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 6 * time.Hour, 16 * time.Hour}

const (
	shortestRest  = 5 * time.Second
	longestRest   = 5 * time.Minute
	failingFor    = 3 * 24 * time.Hour // then a webhook is switched off
	mostRestTwice = 10                 // doublings of a rest
)

// restAfter is how long a receiver is left alone after so many failures in a row:
// one that is down is asked now and then, however much waits for it.
func restAfter(failures int) time.Duration {
	return min(shortestRest<<min(max(failures-1, 0), mostRestTwice), longestRest)
}

const (
	takenSQL = `UPDATE webhook_delivery SET state = 'delivered', settled_at = @now, next_at = NULL, last_status = @status, last_error = '' WHERE id = @id AND state = 'waiting'`
	wellSQL  = `UPDATE webhook SET failures = 0, failing_since = NULL, rest_until = NULL WHERE id = @webhook AND failures > 0`
	backSQL  = `UPDATE webhook_delivery SET tries = greatest(tries - 1, 0), next_at = NULL WHERE id = @id AND state = 'waiting'`
	failSQL  = `UPDATE webhook_delivery SET state = @state, settled_at = @settled, next_at = @next, last_status = @status, last_error = @error WHERE id = @id AND state = 'waiting'`
	illSQL   = `UPDATE webhook SET failures = failures + 1, failing_since = coalesce(failing_since, @wall) WHERE id = @webhook RETURNING failures, failing_since`
	restSQL  = `UPDATE webhook SET rest_until = @rest WHERE id = @webhook`
)

// settle notes what came of a try.
func (d *Dispatcher) settle(ctx context.Context, t try, r result) error {
	now, wall := d.clock.Now(), d.wall()
	args := pgx.NamedArgs{"id": t.ID, "webhook": t.WebhookID, "now": now, "wall": wall, "status": nil}
	if r.status != 0 {
		args["status"] = r.status
	}
	err := postgres.As(ctx, d.pool, program, func(tx pgx.Tx) error {
		if r.err != nil {
			return d.settleFailed(ctx, tx, t, r, now, wall, args)
		}
		if _, err := postgres.Run(ctx, tx, takenSQL, args); err != nil {
			return err
		}
		_, err := postgres.Run(ctx, tx, wellSQL, args)
		return err
	})
	if err != nil {
		return fmt.Errorf("note what came of delivery %s: %w", t.ID, err)
	}
	d.count(t, r)
	return nil
}

func (d *Dispatcher) settleFailed(ctx context.Context, tx pgx.Tx, t try, r result, now, wall time.Time, args pgx.NamedArgs) error {
	args["state"], args["settled"], args["next"], args["error"] = "failed", now, nil, r.err.Error()
	if !lastTry(t, r) {
		args["state"], args["settled"], args["next"] = "waiting", nil, wall.Add(max(spread(delays[t.Tries-1]), r.wait))
	}
	if _, err := postgres.Run(ctx, tx, failSQL, args); err != nil {
		return err
	}
	ill, err := postgres.One[struct {
		Failures int       `db:"failures"`
		Since    time.Time `db:"failing_since"`
	}](ctx, tx, illSQL, args)
	if problem.Of(err) == problem.NotFound {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	args["rest"] = wall.Add(max(restAfter(ill.Failures), r.wait))
	if _, err := postgres.Run(ctx, tx, restSQL, args); err != nil {
		return err
	}
	switch {
	case r.status == http.StatusGone:
		return d.disable(ctx, tx, now, t.WebhookID, disabledGone)
	case wall.Sub(ill.Since) >= failingFor:
		return d.disable(ctx, tx, now, t.WebhookID, disabledFailing)
	}
	return nil
}

// lastTry says whether a failed try was the last: the schedule is over, or the
// receiver has said that it is gone.
func lastTry(t try, r result) bool { return t.Tries > len(delays) || r.status == http.StatusGone }

// giveBack undoes the claim of a try that we interrupted.
func (d *Dispatcher) giveBack(ctx context.Context, t try) error {
	return postgres.As(ctx, d.pool, program, func(tx pgx.Tx) error {
		_, err := postgres.Run(ctx, tx, backSQL, pgx.NamedArgs{"id": t.ID})
		return err
	})
}
