package detection

import (
	"context"
	"fmt"
	"time"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

// NameSignals gives each model the signals that its rule pack names and that it
// does not know yet, with unit, plausible range and texts: what a pack knows
// needs no mapping by hand. A signal that the model has stays as it is.
func (f *Fleet) NameSignals(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal) error {
	models, err := machines.Models(ctx, db)
	if err != nil {
		return fmt.Errorf("read the models: %w", err)
	}
	for _, m := range models {
		pack := f.Packs()[PackOf(m)]
		if pack == nil {
			continue
		}
		known, err := machines.Signals(ctx, db, m.ID)
		if err != nil {
			return fmt.Errorf("read the signals of %s: %w", m.Name, err)
		}
		has := map[string]bool{}
		for _, s := range known {
			has[s.Name] = true
		}
		var missing []machines.Signal
		for i, s := range pack.Signals {
			if !has[s.Name] {
				missing = append(missing, machines.Signal{ModelID: m.ID, Name: s.Name, Label: s.LabelZH, LabelEN: s.Label, Unit: s.Unit,
					Role: string(s.Role), Low: s.Low, High: s.High, Position: i})
			}
		}
		if len(missing) == 0 {
			continue
		}
		if _, err := machines.AddSignals(ctx, db, now, who, m.ID, missing); err != nil {
			return fmt.Errorf("add the signals of %s: %w", m.Name, err)
		}
	}
	return nil
}
