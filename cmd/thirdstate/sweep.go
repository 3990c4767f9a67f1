package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// sweeps looks at the sisters of machines whose fault has been confirmed.
func (y *system) sweeps(ctx context.Context, now time.Time) error {
	who := identity.Program("sweep")
	var confirmed []maintenance.CaseRow
	if err := postgres.As(ctx, y.pool, who, func(tx pgx.Tx) (err error) {
		confirmed, err = maintenance.CasesToSweep(ctx, tx, now)
		return err
	}); err != nil {
		return fmt.Errorf("list the confirmed faults: %w", err)
	}
	var errs []error
	for _, c := range confirmed {
		if err := postgres.As(ctx, y.pool, who, func(tx pgx.Tx) error { return y.sweep(ctx, tx, now, who, c) }); err != nil {
			errs = append(errs, fmt.Errorf("sweep the sisters of case %d: %w", c.Number, err))
		}
	}
	return errors.Join(errs...)
}

// sweep scores the machines of the model by how far they have moved the way of a case's finding.
func (y *system) sweep(ctx context.Context, tx pgx.Tx, now time.Time, who identity.Principal, c maintenance.CaseRow) error {
	findings, err := machines.CaseFindings(ctx, tx, c.ID)
	if err != nil {
		return err
	}
	finding, evidence := telling(findings)
	component := ""
	if finding.Component != nil {
		component = *finding.Component
	}
	self, sisters, err := machines.Sisters(ctx, tx, now, c.MachineID, component, c.OpenedAt)
	if err != nil {
		return err
	}
	keys := make([]string, len(sisters))
	for i, s := range sisters {
		keys[i] = s.Key
	}
	scored := y.runner.Toward(keys, finding.Rule, evidence)
	s := maintenance.Sweep{CaseID: c.ID, Component: component, Batch: self.Batch, Firmware: self.Firmware, Duty: self.Duty, Signals: signalsOf(evidence), Level: rules.SweepLevel}
	var list []maintenance.SweepMachine
	var all []rules.Suspect
	var at []int // in list, of those in all that are alike
	for _, sister := range sisters {
		shares, alike := self.Shares(sister)
		one, known := scored[sister.Key]
		if alike && !known {
			list = append(list, maintenance.SweepMachine{MachineID: sister.MachineID, Shares: shares, P: 1, Q: 1})
			s.Unscored++
		}
		if !known {
			continue
		}
		one.Alike = alike
		all, at = append(all, one), append(at, -1)
		if alike {
			at[len(at)-1] = len(list)
			score := one.Score
			list = append(list, maintenance.SweepMachine{MachineID: sister.MachineID, Shares: shares, Score: &score})
			s.Alike++
		} else {
			s.Others++
		}
	}
	s.Basis = rules.Sweep(all, s.Level)
	for i, one := range all {
		if at[i] >= 0 {
			m := &list[at[i]]
			m.P, m.Q, m.Listed = one.P, one.Q, one.Act
		}
	}
	slices.SortStableFunc(list, func(a, b maintenance.SweepMachine) int {
		if a.Listed != b.Listed {
			if a.Listed {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.P, b.P)
	})
	return maintenance.RecordSweep(ctx, tx, now, who, s, list)
}

// telling is the finding of a case that says most of its fault: the newest of a rule whose evidence names a signal, and
// rather one that measures from the machine's own normal than one that has met a limit, which says nothing of who is on the way.
func telling(findings []machines.Finding) (newest machines.Finding, its rules.Evidence) {
	for _, f := range findings {
		var e rules.Evidence
		if f.Source != "rule" || f.State == "dismissed" || json.Unmarshal(f.Evidence, &e) != nil || e.Signal == "" {
			continue
		}
		if e.Kind == "deviation" || e.Kind == "sisters" || e.Kind == "watcher" {
			return f, e
		}
		if its.Signal == "" {
			newest, its = f, e
		}
	}
	return newest, its
}

func signalsOf(e rules.Evidence) []string {
	names := []string{}
	if e.Signal != "" {
		names = append(names, e.Signal)
	}
	for _, c := range e.Causes {
		if !slices.Contains(names, c.Signal) {
			names = append(names, c.Signal)
		}
	}
	return names
}
