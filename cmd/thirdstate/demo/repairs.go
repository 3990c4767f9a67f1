package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/simulate"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/maintenance"
)

// The hero's oil is hot because its fan motor leaks: who cleans the cooler has
// helped a little, who changes the motor has repaired it.
const heroCleaned = 0.05

// heroVisit is what the demo's own engineer does: first he cleans, then he changes.
func (p *people) heroVisit(c maintenance.CaseRow) (simulate.Visit, bool) {
	if c.Comebacks == 0 {
		return simulate.Visit{Quality: heroCleaned}, true
	}
	return simulate.Visit{Quality: goodRepair}, true
}

// effectOf marks in the ledger that the repair of an order has taken effect.
func effectOf(order int64) string { return about("repaired by order", order) }

type visitorsOrder struct {
	Number      int64     `db:"number"`
	Machine     string    `db:"machine"`
	Mode        string    `db:"mode"`
	Activity    string    `db:"activity"`
	CompletedAt time.Time `db:"completed_at"`
}

// visitorsMemory is how far back orders are looked for that the visitor has completed.
const visitorsMemory = 14 * 24 * time.Hour

const visitorsOrdersSQL = `SELECT o.number, m.key AS machine, c.failure_mode AS mode, o.activity, o.completed_at
FROM work_order o JOIN service_case c ON c.id = o.case_id JOIN machine m ON m.id = o.machine_id
WHERE c.played_by = 'yours' AND o.state = 'completed' AND o.completed_at > @since AND o.completed_at <= @now ORDER BY o.completed_at, o.id LIMIT 100`

// visitorsRepairs lets the visitor's completed orders take effect on the simulated
// machines.
func (p *people) visitorsRepairs(ctx context.Context, now time.Time) error {
	var done []visitorsOrder
	err := postgres.As(ctx, p.Pool, identity.Program("demo"), func(tx pgx.Tx) (err error) {
		done, err = postgres.All[visitorsOrder](ctx, tx, visitorsOrdersSQL, pgx.NamedArgs{"since": now.Add(-visitorsMemory), "now": now})
		return err
	})
	if err != nil {
		return fmt.Errorf("look what the visitor has repaired: %w", err)
	}
	for _, o := range done {
		if p.ledger.Done[effectOf(o.Number)] {
			continue
		}
		quality := p.visitorsQuality(o)
		if quality == 0 {
			continue
		}
		_, err := p.act(ctx, deed{at: now, words: effectOf(o.Number), do: func(ctx context.Context, tx pgx.Tx, _ time.Time) error {
			return p.repaired(ctx, tx, o.Number, repair{Machine: o.Machine, Mode: o.Mode, At: o.CompletedAt, Quality: quality})
		}}, now, now)
		if err != nil {
			return err
		}
	}
	return nil
}

// visitorsQuality is how much of a fault a visitor's order has removed, by what he
// says that he did; 0 = nothing.
func (p *people) visitorsQuality(o visitorsOrder) float64 {
	f, ok := p.faults[o.Machine+"/"+o.Mode]
	switch {
	case !ok, o.Activity == "check", o.Activity == "inspection":
		return 0
	case f.Story == "hero" && o.Activity != "replace":
		return heroCleaned
	}
	return goodRepair
}
