package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/gate"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// apply is the one place where telemetry meets maintenance: what detection found,
// the cases it opens and the jobs those cause, in the transaction that also says
// how far the rules are.
func apply(ctx context.Context, tx pgx.Tx, now time.Time, n detection.News) error {
	if len(n.Changes) > 0 {
		changes, err := gate.Take(ctx, tx, now, n.Changes)
		if err != nil {
			return err
		}
		if err := maintenance.Accept(ctx, tx, now, changes); err != nil {
			return err
		}
	}
	if err := machines.SetSeen(ctx, tx, n.Seen); err != nil {
		return err
	}
	return machines.NoteSilences(ctx, tx, now, identity.Program("detection"), n.Silences)
}

// verifyRows bounds how much telemetry one verification reads.
const verifyRows = 20_000

// housekeeping does what has become due by now: plans, promises, deferrals,
// calls, and the verification of repairs from the telemetry.
func (y *system) housekeeping(ctx context.Context, now time.Time) error {
	who := identity.Program("scheduler")
	if err := postgres.As(ctx, y.pool, who, func(tx pgx.Tx) error {
		_, err := maintenance.RunDue(ctx, tx, now)
		return err
	}); err != nil {
		return fmt.Errorf("do what is due: %w", err)
	}
	var verifying []maintenance.CaseRow
	if err := postgres.As(ctx, y.pool, who, func(tx pgx.Tx) error {
		var err error
		verifying, err = maintenance.CasesToVerify(ctx, tx)
		return err
	}); err != nil {
		return fmt.Errorf("list the repairs to verify: %w", err)
	}
	errs := []error{y.sweeps(ctx, now)}
	for _, c := range verifying {
		if err := y.verify(ctx, now, c); err != nil {
			errs = append(errs, fmt.Errorf("verify case %d: %w", c.Number, err))
		}
	}
	return errors.Join(errs...)
}

// verify asks the telemetry since the repair whether the signal is back within
// its band in the same regime.
func (y *system) verify(ctx context.Context, now time.Time, c maintenance.CaseRow) error {
	if c.WorkCompletedAt == nil {
		return nil
	}
	who := identity.Program("verification")
	var machine machines.Machine
	var file maintenance.CaseFile
	var pack string
	if err := postgres.As(ctx, y.pool, who, func(tx pgx.Tx) error {
		var err error
		if machine, err = machines.Get(ctx, tx, c.MachineID); err != nil {
			return err
		}
		if pack, err = packOf(ctx, tx, machine); err != nil {
			return err
		}
		file, err = maintenance.GetCase(ctx, tx, who, c.ID)
		return err
	}); err != nil {
		return err
	}
	rows, err := y.history.Rows(identity.With(ctx, who), history.Ref{Key: machine.Key, No: machine.No}, *c.WorkCompletedAt, now, verifyRows)
	if err != nil {
		return err
	}
	verdict, some := weakest(y.verdicts(now, detection.Watched{Key: machine.Key, Pack: pack}, file.Findings, rows))
	if !some {
		return nil
	}
	return postgres.As(ctx, y.pool, who, func(tx pgx.Tx) error {
		_, err := maintenance.RecordVerdict(ctx, tx, now, who, c.ID, verdict)
		return err
	})
}

// verdicts asks each rule that has found something of a case, by its newest finding.
func (y *system) verdicts(now time.Time, watched detection.Watched, findings []machines.Finding, rows []observation.Observation) []maintenance.Verdict {
	var list []maintenance.Verdict
	asked := map[string]bool{}
	for _, f := range findings {
		rule, ok := y.fleet.Rule(watched, f.Rule)
		var evidence rules.Evidence
		if !ok || asked[f.Rule] || f.State == "dismissed" || json.Unmarshal(f.Evidence, &evidence) != nil {
			continue
		}
		asked[f.Rule] = true
		v := rules.Verify(rule, evidence, rows)
		list = append(list, maintenance.Verdict{Passed: v.Passed, Enough: v.Enough, Deviation: v.Deviation, Limit: v.Limit,
			RegimeHours: v.RegimeHours, NeededHours: v.NeededHours, Unit: evidence.Unit, Signal: evidence.Signal, At: now})
	}
	return list
}

// weakest is what several rules say together of one repair: it did not hold where
// one of them says so, and it is not proved while one of them has not seen enough.
func weakest(list []maintenance.Verdict) (worst maintenance.Verdict, some bool) {
	rank := func(v maintenance.Verdict) int {
		switch {
		case v.Enough && !v.Passed:
			return 0
		case !v.Enough:
			return 1
		}
		return 2
	}
	for i, v := range list {
		if i == 0 || rank(v) < rank(worst) {
			worst = v
		}
	}
	return worst, len(list) > 0
}

func packOf(ctx context.Context, db postgres.DB, m machines.Machine) (string, error) {
	models, err := machines.Models(ctx, db)
	if err != nil || m.ModelID == nil {
		return "", err
	}
	for _, model := range models {
		if model.ID == *m.ModelID {
			return detection.PackOf(model), nil
		}
	}
	return "", nil
}

// runHousekeeping looks each program minute, but at most each real second.
func (y *system) runHousekeeping(ctx context.Context) error {
	for {
		now := y.clock.Now()
		if err := errors.Join(y.held.TryDue(ctx, now), y.housekeeping(ctx, now), y.gate.Review(ctx, now)); err != nil && ctx.Err() == nil {
			y.log.Error("housekeeping failed, trying again", "error", err)
		}
		wait := time.Minute
		if speed := y.clock.Read().Speed; speed > 1 {
			wait = max(time.Duration(float64(time.Minute)/speed), time.Second)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-y.clock.Moved():
			timer.Stop()
		case <-timer.C:
		}
	}
}
