package detection

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// Position is how far the rules have been on a log. The epoch fences off an
// older runner of the same shard.
type Position struct {
	Shard int
	Log   uuid.UUID
	Epoch int64
	LSN   intakelog.LSN
}

// ErrTaken is Advance's answer to a runner that another one has fenced off.
var ErrTaken = problem.New(problem.Conflict, "another runner has taken over")

const takeSQL = `INSERT INTO checkpoint (shard, log, epoch, lsn, saved_at) VALUES (@shard, @log, 1, 0, @at)
ON CONFLICT (shard, log) DO UPDATE SET epoch = checkpoint.epoch + 1, saved_at = @at
RETURNING epoch, lsn`

// Take makes this runner the shard's only one: it raises the epoch and returns
// the position that was committed last.
func Take(ctx context.Context, db postgres.DB, now time.Time, shard int, log uuid.UUID) (Position, error) {
	type row struct {
		Epoch int64 `db:"epoch"`
		LSN   int64 `db:"lsn"`
	}
	r, err := postgres.One[row](ctx, db, takeSQL, pgx.NamedArgs{"shard": shard, "log": log, "at": now})
	if err != nil {
		return Position{}, fmt.Errorf("take shard %d: %w", shard, err)
	}
	return Position{Shard: shard, Log: log, Epoch: r.Epoch, LSN: intakelog.LSN(r.LSN)}, nil //nolint:gosec // an LSN never reaches 2^63
}

const advanceSQL = `UPDATE checkpoint SET lsn = @lsn, saved_at = @at
WHERE shard = @shard AND log = @log AND epoch = @epoch AND lsn <= @lsn`

// Advance commits, in the transaction that stored the findings, that all records
// up to p.LSN are dealt with. It refuses a runner that was fenced off.
func Advance(ctx context.Context, tx postgres.DB, now time.Time, p Position) error {
	n, err := postgres.Run(ctx, tx, advanceSQL, pgx.NamedArgs{
		"shard": p.Shard, "log": p.Log, "epoch": p.Epoch, "lsn": int64(p.LSN), "at": now, //nolint:gosec // an LSN never reaches 2^63
	})
	if err != nil {
		return fmt.Errorf("advance shard %d: %w", p.Shard, err)
	}
	if n == 0 {
		return fmt.Errorf("advance shard %d: %w", p.Shard, ErrTaken)
	}
	return nil
}
