package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

const readClockSQL = `SELECT program_at, wall_at, speed FROM program_clock WHERE id = 1`

const saveClockSQL = `INSERT INTO program_clock (id, program_at, wall_at, speed) VALUES (1, @program, @wall, @speed)
ON CONFLICT (id) DO UPDATE SET program_at = greatest(program_clock.program_at, @program), wall_at = @wall, speed = @speed`

type clockRow struct {
	ProgramAt time.Time `db:"program_at"`
	WallAt    time.Time `db:"wall_at"`
	Speed     float64   `db:"speed"`
}

// openClock goes on where the program clock was. A real installation's clock
// also counts the time that it was down; the demo's stands still meanwhile, so
// that its simulated fleet has no hole.
func openClock(ctx context.Context, pool *postgres.Pool, start time.Time, speed float64, standsStill bool) (*clock.Clock, error) {
	var saved clockRow
	err := postgres.As(ctx, pool, identity.Program("clock"), func(tx pgx.Tx) error {
		var err error
		saved, err = postgres.One[clockRow](ctx, tx, readClockSQL, nil)
		return err
	})
	switch {
	case problem.Of(err) == problem.NotFound && err != nil:
		if start.IsZero() {
			start = time.Now()
		}
		return clock.New(start, speed, wallOf(standsStill)), nil
	case err != nil:
		return nil, fmt.Errorf("read the program clock: %w", err)
	}
	at := saved.ProgramAt
	if !standsStill {
		if down := time.Since(saved.WallAt); down > 0 {
			at = at.Add(time.Duration(float64(down) * saved.Speed))
		}
	}
	return clock.New(at, speed, wallOf(standsStill)), nil
}

// wallOf is what a program clock goes by. A real installation's is the calendar,
// as the devices' clocks are: the system's count of time passed stops while a
// machine is suspended, and does not see that a clock was set right.
func wallOf(standsStill bool) func() time.Time {
	if standsStill {
		return nil
	}
	return func() time.Time { return time.Now().Round(0) }
}

func saveClock(ctx context.Context, pool *postgres.Pool, clk *clock.Clock) error {
	r := clk.Read()
	return postgres.As(ctx, pool, identity.Program("clock"), func(tx pgx.Tx) error {
		_, err := postgres.Run(ctx, tx, saveClockSQL, pgx.NamedArgs{"program": r.Program, "wall": r.Wall, "speed": r.Speed})
		return err
	})
}

// runClock saves the clock every few seconds, and once more at the end.
func runClock(ctx context.Context, pool *postgres.Pool, clk *clock.Clock, log *slog.Logger) error {
	ticker := time.NewTicker(5 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return saveClockLast(context.WithoutCancel(ctx), pool, clk)
		case <-ticker.C:
			if err := saveClock(ctx, pool, clk); err != nil && ctx.Err() == nil {
				log.Warn("program clock not saved", "error", err)
			}
		}
	}
}

func saveClockLast(ctx context.Context, pool *postgres.Pool, clk *clock.Clock) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return saveClock(ctx, pool, clk)
}
