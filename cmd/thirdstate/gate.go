package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/gate"
	"github.com/thirdstate/thirdstate/telemetry/history"
)

// gateSettings are what a version of the rules must show before it goes live, and
// when a rule loses its stage.
type gateSettings struct {
	Precision float64 `help:"Least lower end of the 95 % interval of precision, in the newer part of the history, that a version of the rules needs to be published." default:"0.2"`
	Flags     float64 `help:"Flags in 100 machine-days that it may have at most." default:"5"`
	Days      float64 `help:"Machine-days that must have been judged." default:"100"`
	Trust     float64 `help:"A rule whose judged flags let one expect less true ones than this, at the lower end, goes down by a stage." default:"0.2"`
}

func (s gateSettings) check(bad func(flag, format string, args ...any)) {
	for flag, v := range map[string]float64{"--gate-precision": s.Precision, "--gate-trust": s.Trust} {
		if !(v >= 0 && v < 1) {
			bad(flag, "must be at least 0 and less than 1")
		}
	}
	for flag, v := range map[string]float64{"--gate-flags": s.Flags, "--gate-days": s.Days} {
		if !(v >= 0) {
			bad(flag, "must not be less than 0")
		}
	}
}

// newGate makes the gate of rules, which learns from maintenance what people have
// confirmed and said of flags.
func newGate(pool *postgres.Pool, clk *clock.Clock, log *slog.Logger, fleet *detection.Fleet, stored history.Store, s gateSettings) *gate.Gate {
	return gate.New(gate.Config{Pool: pool, Clock: clk, Log: log, Fleet: fleet, Rows: stored.Rows,
		Criteria: gate.Criteria{Precision: s.Precision, Flags: s.Flags, Days: s.Days}, Trust: s.Trust,
		Faults: confirmed, Verdicts: verdictsOf, Tell: maintenance.TellManager})
}

func confirmed(ctx context.Context, db postgres.DB, machines []uuid.UUID) ([]gate.Fault, error) {
	list, err := maintenance.ConfirmedFaults(ctx, db, machines)
	faults := make([]gate.Fault, len(list))
	for i, f := range list {
		faults[i] = gate.Fault(f)
	}
	return faults, err
}

func verdictsOf(ctx context.Context, db postgres.DB, of []gate.Since) ([]gate.Verdicts, error) {
	rules, hashes, since := make([]string, len(of)), make([]string, len(of)), make([]time.Time, len(of))
	for i, o := range of {
		rules[i], hashes[i], since[i] = o.Rule, o.Hash, o.At
	}
	list, err := maintenance.VerdictsOf(ctx, db, rules, hashes, since)
	said := make([]gate.Verdicts, len(list))
	for i, v := range list {
		said[i] = gate.Verdicts(v)
	}
	return said, err
}
