package main

import (
	"context"
	"log/slog"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/gate"
	"github.com/thirdstate/thirdstate/telemetry/history"
)

// newGate makes the gate of rules, which learns from maintenance what people have
// confirmed.
func newGate(pool *postgres.Pool, clk *clock.Clock, log *slog.Logger, fleet *detection.Fleet, stored history.Store) *gate.Gate {
	return gate.New(gate.Config{Pool: pool, Clock: clk, Log: log, Fleet: fleet, Rows: stored.Rows, Faults: confirmed})
}

func confirmed(ctx context.Context, db postgres.DB, machines []uuid.UUID) ([]gate.Fault, error) {
	list, err := maintenance.ConfirmedFaults(ctx, db, machines)
	faults := make([]gate.Fault, len(list))
	for i, f := range list {
		faults[i] = gate.Fault(f)
	}
	return faults, err
}
