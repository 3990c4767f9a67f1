package lifespan

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry/rules/prognosis"
)

// Lifespan is how much life a machine or a component of it has left, or why nobody says.
type Lifespan struct {
	MachineID uuid.UUID  `json:"machineId" db:"machine_id"`
	Component string     `json:"component" db:"component" doc:"its code; empty: the whole machine"`
	Model     string     `json:"model" db:"model" doc:"name of what was learnt"`
	ModelHash string     `json:"modelHash" db:"model_hash"`
	Since     time.Time  `json:"since" db:"since" doc:"when the life began: installed, handed over, built, or added"`
	Remaining *float64   `json:"remaining" db:"remaining" doc:"null: no estimate, see reason"`
	Low       *float64   `json:"low" db:"low" doc:"of the 80 % interval"`
	High      *float64   `json:"high" db:"high" doc:"null: it may be any more"`
	Beyond    bool       `json:"beyond" db:"beyond" doc:"it is more than low: so far ahead the model tells nothing apart"`
	Unit      string     `json:"unit" db:"unit" doc:"hour or what the age is counted in"`
	Age       *float64   `json:"age" db:"age" doc:"in that unit"`
	SaidAt    *time.Time `json:"saidAt" db:"said_at" doc:"end of the row that the estimate is of"`
	Reason    string     `json:"reason" db:"reason" enum:",too_few_rows,circumstances,missing,unlike,begun,age_unknown,sparse,units" doc:"why there is no estimate: too few rows yet; circumstances in which no machine was; signals that do not come; unlike all that was learnt from; heard first in the middle of its life; its age is not known; it speaks too rarely; its units cannot become those of the model"`
	Rows      int        `json:"rows" db:"rows" doc:"that were looked at"`
	FromNew   bool       `json:"fromNew" db:"from_new" doc:"followed from the beginning of its life"`
}

// Reasons beside those of package prognosis.
const (
	ageUnknown = "age_unknown"
	sparse     = "sparse"
	otherUnits = "units"
)

// Reasons lists why there may be no estimate.
func Reasons() []string {
	return []string{string(prognosis.TooFew), string(prognosis.Circumstances), string(prognosis.Missing), string(prognosis.Unlike), string(prognosis.Begun), ageUnknown, sparse, otherUnits}
}

// MachineLifespan is a lifespan with the machine that it is of.
type MachineLifespan struct {
	Lifespan
	MachineKey     string `json:"machineKey" db:"machine_key"`
	MachineName    string `json:"machineName" db:"machine_name"`
	MachineNameEN  string `json:"machineNameEn" db:"machine_name_en"`
	CustomerName   string `json:"customerName" db:"customer_name"`
	CustomerNameEN string `json:"customerNameEn" db:"customer_name_en"`
	ComponentName  string `json:"componentName" db:"component_name"`
	ComponentEN    string `json:"componentNameEn" db:"component_name_en"`
}

const lifespanColumns = `l.machine_id, l.component, l.model, l.model_hash, l.since, l.remaining, l.low, l.high, l.beyond, l.unit, l.age, l.said_at, l.reason, l.rows, l.from_new`

const rowsSQL = `SELECT ` + lifespanColumns + `, m.key AS machine_key, m.name AS machine_name, m.name_en AS machine_name_en,
  coalesce(c.name, '') AS customer_name, coalesce(c.name_en, '') AS customer_name_en, coalesce(p.name, '') AS component_name, coalesce(p.name_en, '') AS component_name_en
FROM remaining_life l JOIN machine m ON m.id = l.machine_id LEFT JOIN customer c ON c.id = m.customer_id
LEFT JOIN LATERAL (SELECT name, name_en FROM component WHERE machine_id = l.machine_id AND code = l.component AND removed_at IS NULL ORDER BY installed_at DESC, id DESC LIMIT 1) p ON true
WHERE (@machine::uuid IS NULL OR l.machine_id = @machine)
ORDER BY l.remaining NULLS LAST, l.low, m.key, l.component LIMIT @limit`

// shown bounds a list.
const shown = 200

// Of gives what is said of a machine, the least left first; nothing where no model is of it.
func Of(ctx context.Context, db postgres.DB, machineID uuid.UUID) ([]MachineLifespan, error) {
	return list(ctx, db, &machineID)
}

// Shortest lists the machines with the least life left, then those of which nothing is
// said, 200 at most.
func Shortest(ctx context.Context, db postgres.DB) ([]MachineLifespan, error) {
	return list(ctx, db, nil)
}

func list(ctx context.Context, db postgres.DB, machine *uuid.UUID) ([]MachineLifespan, error) {
	rows, err := postgres.All[MachineLifespan](ctx, db, rowsSQL, pgx.NamedArgs{"machine": machine, "limit": shown})
	if err != nil {
		return nil, fmt.Errorf("list remaining lives: %w", err)
	}
	return rows, nil
}

// say takes what a model says of a row; where it says nothing, why.
func (l *Lifespan) say(e prognosis.Estimate, why string, at time.Time) {
	l.Remaining, l.Low, l.High, l.Beyond, l.SaidAt, l.Reason = nil, nil, nil, false, nil, why
	if why != "" {
		return
	}
	l.Remaining, l.Low, l.SaidAt = &e.Remaining, &e.Low, &at
	if l.Beyond = e.More && e.Remaining >= e.High; !e.More {
		l.High = &e.High
	}
}
