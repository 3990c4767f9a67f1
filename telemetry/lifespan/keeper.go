package lifespan

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/rules/prognosis"
)

const (
	settled   = time.Hour        // rows are stepped so long after they were due: most of what is late has come
	lookEvery = 10 * time.Minute // at a machine, at most
	atOnce    = 200              // machines of one round
	mostSaid  = 3                // failures of a round that the log names
	mostAway  = 3                // machines in a row that cannot be asked: then none can
	breath    = 100 * time.Millisecond
)

// Keeper follows the machines of the models on a shelf. All fields but KeepRaw are required.
type Keeper struct {
	Pool    *postgres.Pool
	Clock   *clock.Clock
	Log     *slog.Logger
	History history.Store
	Shelf   *Shelf
	KeepRaw time.Duration // for how long the history has values as they came; 0 = for ever

	rows, failures, followed, estimates atomic.Int64
}

// Stepped is how many rows were shown to followers since the start.
func (k *Keeper) Stepped() int64 { return k.rows.Load() }

// Failures is how often a machine could not be looked at since the start.
func (k *Keeper) Failures() int64 { return k.failures.Load() }

// Followed is how many machines and components are followed, Estimates of how many something is said.
func (k *Keeper) Followed() int64 { return k.followed.Load() }

// Estimates is of how many machines and components something is said.
func (k *Keeper) Estimates() int64 { return k.estimates.Load() }

func who() identity.Principal { return identity.Program("prognosis") }

func (k *Keeper) as(ctx context.Context, fn func(tx pgx.Tx) error) error {
	return postgres.As(ctx, k.Pool, who(), fn)
}

// Run looks each program minute, but at most each real second, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		n, err := k.Round(ctx, k.Clock.Now())
		if err != nil && ctx.Err() == nil {
			k.Log.Error("remaining life is not up to date, trying again", "error", err)
		}
		timer := time.NewTimer(pause(n, err, k.Clock.Read().Speed))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-k.Clock.Moved():
			timer.Stop()
		case <-timer.C:
		}
	}
}

// pause is how long to wait after a round that looked at n machines.
func pause(n int, err error, speed float64) time.Duration {
	switch {
	case n == atOnce && err == nil:
		return breath // more are due
	case speed > 1:
		return max(time.Duration(float64(time.Minute)/speed), time.Second)
	}
	return time.Minute
}

// Round looks at the machines that are due, the longest unseen first, 200 at most, and says how many.
func (k *Keeper) Round(ctx context.Context, now time.Time) (looked int, err error) {
	all := k.Shelf.read()
	models := applied(all)
	var list []due
	if err := k.as(ctx, func(tx pgx.Tx) (err error) {
		if list, err = k.due(ctx, tx, now, all, models); err != nil {
			return err
		}
		return k.count(ctx, tx)
	}); err != nil {
		return 0, fmt.Errorf("list the machines to look at: %w", err)
	}
	var errs []error
	silent := map[uuid.UUID]bool{} // machines that could not be asked, since one could
	for _, d := range list {
		if ctx.Err() != nil {
			return looked, ctx.Err()
		}
		err := k.look(ctx, now, d, &models[d.Model])
		if err != nil {
			k.failures.Add(1)
			errs = append(errs, err)
		}
		looked++
		if problem.Of(err) != problem.Unavailable {
			clear(silent)
		} else if silent[d.MachineID] = true; len(silent) == mostAway {
			break
		}
	}
	return looked, errors.Join(errs[:min(len(errs), mostSaid)]...)
}

// due is a machine that is to be looked at, with the index of its model.
type due struct {
	MachineID uuid.UUID `db:"machine_id"`
	No        int       `db:"no"`
	Key       string    `db:"key"`
	ModelID   uuid.UUID `db:"model_id"`
	Since     time.Time `db:"since"`
	Entered   bool      `db:"entered"` // nobody knows when it began: since is when the machine was entered
	Model     int       `db:"model"`
}

// What is followed of machines: with the life that began last of the component that a model
// is of, else of the machine. The first by name of several models is applied.
const followedSQL = `SELECT DISTINCT ON (m.id, l.component) m.id AS machine_id, m.no, m.key, m.model_id, m.last_seen_at, l.component, l.hash, l.every, l.n AS model,
  coalesce(c.installed_at, m.handed_over_on::timestamp AT TIME ZONE 'UTC', m.built_on::timestamp AT TIME ZONE 'UTC', m.created_at) AS since,
  coalesce(c.installed_at::date, m.handed_over_on, m.built_on) IS NULL AS entered
FROM unnest(@fors::text[], @components::text[], @hashes::text[], @everies::float8[]) WITH ORDINALITY AS l(made, component, hash, every, n)
JOIN model d ON l.made IN (lower(d.name), lower(d.manufacturer || ' ' || d.name)) JOIN machine m ON m.model_id = d.id
LEFT JOIN LATERAL (SELECT installed_at FROM component WHERE machine_id = m.id AND code = l.component AND removed_at IS NULL ORDER BY installed_at DESC, id DESC LIMIT 1) c ON l.component <> ''
WHERE m.operating_status <> 'scrapped' AND (l.component = '' OR c.installed_at IS NOT NULL)
ORDER BY m.id, l.component, l.n`

const dueSQL = `WITH f AS (` + followedSQL + `)
SELECT f.machine_id, f.no, f.key, f.model_id, f.since, f.entered, f.model - 1 AS model FROM f LEFT JOIN remaining_life r ON r.machine_id = f.machine_id AND r.component = f.component
WHERE f.last_seen_at IS NOT NULL AND (r.machine_id IS NULL OR r.model_hash <> f.hash OR r.since <> f.since OR r.behind
  OR r.looked_at + greatest(f.every, @least) * interval '1 second' <= @now AND f.last_seen_at > r.place)
ORDER BY r.looked_at NULLS FIRST, f.machine_id, f.component LIMIT @limit`

// What no model is of any more is forgotten; of a file that cannot be read it stays.
const forgetSQL = `WITH f AS (` + followedSQL + `)
DELETE FROM remaining_life r WHERE r.model <> ALL(@bad::text[]) AND NOT EXISTS (SELECT FROM f WHERE f.machine_id = r.machine_id AND f.component = r.component)`

func (k *Keeper) due(ctx context.Context, db postgres.DB, now time.Time, all, models []Learnt) ([]due, error) {
	fors, components, hashes, everies, bad := []string{}, []string{}, []string{}, []float64{}, []string{}
	for i := range models {
		m := &models[i]
		fors, components, hashes, everies = append(fors, strings.ToLower(m.For)), append(components, m.Component), append(hashes, m.Hash), append(everies, m.every().Seconds())
	}
	for _, m := range all {
		if m.learnt == nil {
			bad = append(bad, m.Name)
		}
	}
	args := pgx.NamedArgs{"fors": fors, "components": components, "hashes": hashes, "everies": everies, "bad": bad, "now": now, "least": lookEvery.Seconds(), "limit": atOnce}
	if _, err := postgres.Run(ctx, db, forgetSQL, args); err != nil {
		return nil, fmt.Errorf("forget what no model is of: %w", err)
	}
	return postgres.All[due](ctx, db, dueSQL, args)
}

type counts struct {
	Followed  int64 `db:"followed"`
	Estimates int64 `db:"estimates"`
}

const countSQL = `SELECT count(*) AS followed, count(remaining) AS estimates FROM remaining_life`

func (k *Keeper) count(ctx context.Context, db postgres.DB) error {
	n, err := postgres.One[counts](ctx, db, countSQL, nil)
	k.followed.Store(n.Followed)
	k.estimates.Store(n.Estimates)
	return err
}

const placeSQL = `SELECT ` + lifespanColumns + `, l.place, l.looked_at, l.behind, l.state, l.meter, l.meter_offset, l.last_row, l.gaps
FROM remaining_life l WHERE l.machine_id = @machine AND l.component = @component AND l.model_hash = @hash AND l.since = @since`

// stored is a row of what is followed.
type stored struct {
	Lifespan
	state
}

// look steps one machine as far as it goes, and stores what came of it.
func (k *Keeper) look(ctx context.Context, now time.Time, d due, m *Learnt) error {
	f := &follow{model: m.learnt, every: m.every(), ref: history.Ref{Key: d.Key, No: d.No}, names: append(append([]string{}, m.learnt.Signals...), m.learnt.Contexts...)}
	f.row.Values = make([]float64, len(f.names))
	fits := false
	if err := k.as(ctx, func(tx pgx.Tx) error {
		signals, err := machines.Signals(ctx, tx, d.ModelID)
		if err != nil {
			return err
		}
		f.convert, fits = conversions(m.learnt, f.names, signals)
		was, err := postgres.All[stored](ctx, tx, placeSQL, pgx.NamedArgs{"machine": d.MachineID, "component": m.Component, "hash": m.Hash, "since": d.Since})
		if err == nil && len(was) > 0 {
			f.resume(was[0])
		}
		return err
	}); err != nil {
		return fmt.Errorf("read how far machine %s is followed: %w", d.Key, err)
	}
	if f.follower == nil {
		f.Lifespan = Lifespan{MachineID: d.MachineID, Component: m.Component, Model: m.Name, ModelHash: m.Hash, Since: d.Since, Unit: m.Unit}
		f.begin(k.from(now, d.Since, f.every))
	}
	var failed error
	f.Behind = false
	switch {
	case !fits:
		f.say(prognosis.Estimate{}, otherUnits, now)
	case d.Entered && m.Age == "":
		f.say(prognosis.Estimate{}, ageUnknown, now)
	default:
		failed = f.ahead(identity.With(ctx, who()), k.History, now.Add(-settled))
	}
	if ctx.Err() != nil {
		return errors.Join(failed, ctx.Err())
	}
	k.rows.Add(int64(f.stepped))
	f.LookedAt, f.State = now, f.follower.Snapshot(nil)
	return errors.Join(failed, k.keep(ctx, f))
}

// resume goes on where it was left. A state that cannot be read is made anew.
func (f *follow) resume(was stored) {
	follower := f.model.Follow()
	if follower.Restore(was.State) == nil {
		f.Lifespan, f.state, f.follower = was.Lifespan, was.state, follower
		if f.Meter == nil {
			f.Meter = &meter{}
		}
	}
}

// from is where a life is followed from: its beginning, or where there are values that are
// near enough to one another.
func (k *Keeper) from(now, since time.Time, every time.Duration) time.Time {
	if raw := now.Add(-k.KeepRaw); k.KeepRaw > 0 && every < rolledUp && raw.After(since) {
		return raw
	}
	return since
}

const keepSQL = `INSERT INTO remaining_life (id, machine_id, component, customer_id, model, model_hash, since, place, looked_at, behind, state, meter, meter_offset, rows, last_row, gaps, from_new, age,
  remaining, low, high, beyond, unit, said_at, reason)
SELECT @id, m.id, @component, m.customer_id, @model, @hash, @since, @place, @lookedAt, @behind, @state, @meter, @meterOffset, @rows, @lastRow, @gaps, @fromNew, @age,
  @remaining, @low, @high, @beyond, @unit, @saidAt, @reason FROM machine m WHERE m.id = @machine
ON CONFLICT (machine_id, component) DO UPDATE SET customer_id = excluded.customer_id, model = excluded.model, model_hash = excluded.model_hash, since = excluded.since, place = excluded.place,
  looked_at = excluded.looked_at, behind = excluded.behind, state = excluded.state, meter = excluded.meter, meter_offset = excluded.meter_offset, rows = excluded.rows, last_row = excluded.last_row,
  gaps = excluded.gaps, from_new = excluded.from_new, age = excluded.age, remaining = excluded.remaining, low = excluded.low, high = excluded.high, beyond = excluded.beyond, unit = excluded.unit,
  said_at = excluded.said_at, reason = excluded.reason`

func (k *Keeper) keep(ctx context.Context, f *follow) error {
	err := k.as(ctx, func(tx pgx.Tx) error {
		_, err := postgres.Run(ctx, tx, keepSQL, pgx.NamedArgs{"id": postgres.NewID(), "machine": f.MachineID, "component": f.Component, "model": f.Model, "hash": f.ModelHash, "since": f.Since, "place": f.Place,
			"lookedAt": f.LookedAt, "behind": f.Behind, "state": f.State, "meter": f.Meter, "meterOffset": f.MeterOffset, "rows": f.Rows, "lastRow": f.LastRow, "gaps": f.Gaps, "fromNew": f.FromNew,
			"age": f.Age, "remaining": f.Remaining, "low": f.Low, "high": f.High, "beyond": f.Beyond, "unit": f.Unit, "saidAt": f.SaidAt, "reason": f.Reason})
		return err
	})
	if err != nil {
		return fmt.Errorf("keep the remaining life of machine %s: %w", f.ref.Key, err)
	}
	return nil
}
