package maintenance

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

// atRiskWithin is how long before its due time an open promise is shown.
const atRiskWithin = 24 * time.Hour

// recently is the period of the board's summary: a month's first days say little.
const recently = 30 * 24 * time.Hour

const liveOf = `c.state NOT IN ('closed','cancelled') AND c.machine_down = @down`

const byUrgency = `ORDER BY array_position(ARRAY['alarm','warning','advice','info'], c.severity), c.opened_at, c.id LIMIT 500`

// What was found broken within the last day still needs somebody today.
const atRiskSQL = `SELECT ` + promiseColumns + ` FROM promise
WHERE state = 'open' AND due_at <= @until OR state = 'broken' AND settled_at > @since ORDER BY due_at, id LIMIT 500`

// Today is what needs somebody today: what will go wrong next and who is on it.
func Today(ctx context.Context, db postgres.DB, now time.Time) (TodayBoard, error) {
	var b TodayBoard
	for _, read := range []func() error{
		func() (err error) {
			b.ThirdState, err = caseRows(ctx, db, liveOf+` AND c.failure_mode <> ALL(@sensor) AND c.state NOT IN ('awaiting_callback','satisfied')`,
				pgx.NamedArgs{"down": false, "sensor": []string{machines.SensorFailure, machines.NoData}}, byUrgency)
			return err
		},
		func() (err error) {
			b.Down, err = caseRows(ctx, db, liveOf, pgx.NamedArgs{"down": true}, byUrgency)
			return err
		},
		func() (err error) {
			b.PromisesAtRisk, err = postgres.All[Promise](ctx, db, atRiskSQL, pgx.NamedArgs{"until": now.Add(atRiskWithin), "since": now.Add(-atRiskWithin)})
			return err
		},
		func() (err error) {
			b.CallbacksDue, err = Callbacks(ctx, db, now, CallbackFilter{Due: true, Limit: 500})
			return err
		},
		func() (err error) {
			b.NotAccepted, err = orderRows(ctx, db, `o.state = 'dispatched'`, pgx.NamedArgs{}, `ORDER BY o.priority, o.dispatched_at, o.id LIMIT 500`)
			return err
		},
		func() (err error) { b.Attention, err = attention(ctx, db, now); return err },
		func() (err error) { b.Recent, err = summarise(ctx, db, now.Add(-recently), now, nil); return err },
	} {
		if err := read(); err != nil {
			return b, fmt.Errorf("read the board of today: %w", err)
		}
	}
	return b, nil
}
