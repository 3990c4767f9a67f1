package maintenance

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

const sweepColumns = `s.id, s.case_id, s.machine_id, s.customer_id, s.swept_at, s.scored_at, s.failure_mode, s.title, s.title_en, s.severity, s.model_id, s.component, s.batch, s.firmware, s.duty,
  s.signals, s.level, s.basis, s.alike, s.others, s.unscored`

// How far a machine of a sweep is: what somebody has seen there, else what became of its case of the same fault.
const sweepProgressSQL = `SELECT x.sweep_id, x.machine_id, x.shares, x.score, x.p, x.q, x.listed, x.looked_at, x.looked_by, x.note, k.id AS case_id, k.number AS case_number,
  CASE WHEN x.looked <> '' THEN x.looked WHEN k.id IS NULL THEN 'to_do' WHEN k.state NOT IN ('closed', 'cancelled') THEN 'planned'
    WHEN k.verdict = 'true' THEN 'found' WHEN k.state = 'cancelled' AND k.verdict = '' THEN 'to_do' ELSE 'clean' END AS progress
FROM sweep_machine x JOIN sweep s ON s.id = x.sweep_id
LEFT JOIN LATERAL (SELECT k.id, k.number, k.state, k.verdict FROM service_case k
  WHERE k.machine_id = x.machine_id AND k.failure_mode = s.failure_mode AND (k.closed_at IS NULL OR k.closed_at > s.swept_at)
  ORDER BY k.opened_at DESC, k.id DESC LIMIT 1) k ON true
WHERE x.sweep_id = @id OR @id::uuid IS NULL AND x.listed`

const sweepRowsSQL = `WITH x AS (` + sweepProgressSQL + `)
SELECT ` + sweepColumns + `, c.number AS case_number, m.name AS machine_name, m.name_en AS machine_name_en, mo.name AS model_name,
  n.listed, n.to_do, n.planned, n.found, n.clean
FROM sweep s JOIN service_case c ON c.id = s.case_id JOIN machine m ON m.id = s.machine_id JOIN model mo ON mo.id = s.model_id
CROSS JOIN LATERAL (SELECT count(*) AS listed, count(*) FILTER (WHERE progress = 'to_do') AS to_do, count(*) FILTER (WHERE progress = 'planned') AS planned,
  count(*) FILTER (WHERE progress = 'found') AS found, count(*) FILTER (WHERE progress = 'clean') AS clean
  FROM x WHERE x.sweep_id = s.id AND x.listed) n
WHERE @id::uuid IS NULL OR s.id = @id
ORDER BY n.to_do > 0 DESC, s.swept_at DESC, s.id DESC LIMIT @limit`

// Sweeps lists the sweeps with how far each is done: those that wait for somebody, then the newest.
func Sweeps(ctx context.Context, db postgres.DB) ([]SweepRow, error) {
	return sweepRows(ctx, db, nil)
}

func sweepRows(ctx context.Context, db postgres.DB, id *uuid.UUID) ([]SweepRow, error) {
	rows, err := postgres.All[SweepRow](ctx, db, sweepRowsSQL, pgx.NamedArgs{"id": id, "limit": sweepsShown})
	if err != nil {
		return nil, fmt.Errorf("list sweeps: %w", err)
	}
	return rows, nil
}

const sweepMachinesSQL = `WITH x AS (` + sweepProgressSQL + `)
SELECT x.*, m.key AS machine_key, m.name AS machine_name, m.name_en AS machine_name_en, coalesce(cu.name, '') AS customer_name, coalesce(cu.name_en, '') AS customer_name_en
FROM x JOIN machine m ON m.id = x.machine_id LEFT JOIN customer cu ON cu.id = m.customer_id
ORDER BY NOT x.listed, x.q, x.score DESC NULLS LAST, m.key LIMIT @limit`

// GetSweep reads a sweep with its machines, the most suspect first.
func GetSweep(ctx context.Context, db postgres.DB, id uuid.UUID) (SweepFile, error) {
	rows, err := sweepRows(ctx, db, &id)
	if err != nil {
		return SweepFile{}, err
	}
	if len(rows) == 0 {
		return SweepFile{}, problem.New(problem.NotFound, "no such sweep")
	}
	list, err := postgres.All[SweepMachine](ctx, db, sweepMachinesSQL, pgx.NamedArgs{"id": id, "limit": sweepKeeps})
	if err != nil {
		return SweepFile{}, fmt.Errorf("list the machines of a sweep: %w", err)
	}
	return SweepFile{SweepRow: rows[0], Machines: list}, nil
}

const sweepOfSQL = `SELECT ` + sweepColumns + ` FROM sweep s JOIN sweep_machine x ON x.sweep_id = s.id WHERE s.id = @id AND x.machine_id = @machine`

// sweepOf reads the sweep that a machine is in.
func sweepOf(ctx context.Context, db postgres.DB, id, machine uuid.UUID) (Sweep, error) {
	s, err := postgres.One[Sweep](ctx, db, sweepOfSQL, pgx.NamedArgs{"id": id, "machine": machine})
	if problem.Of(err) == problem.NotFound {
		return s, problem.New(problem.NotFound, "no such machine in this sweep")
	}
	if err != nil {
		return s, fmt.Errorf("read a sweep: %w", err)
	}
	return s, nil
}
