package machines

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

const (
	modelColumns  = `id, manufacturer, name, kind, label, label_en, pack`
	signalColumns = `id, model_id, name, label, label_en, unit, role, low, high, position`
)

const modelsSQL = `SELECT ` + modelColumns + ` FROM model ORDER BY manufacturer, name`

// Models lists makes and types, by manufacturer and name.
func Models(ctx context.Context, db postgres.DB) ([]Model, error) {
	return listed(postgres.All[Model](ctx, db, modelsSQL, nil))
}

const getModelSQL = `SELECT ` + modelColumns + ` FROM model WHERE id = @id`

// HasModel is problem.NotFound where there is no such model.
func HasModel(ctx context.Context, db postgres.DB, id uuid.UUID) error {
	_, err := postgres.One[Model](ctx, db, getModelSQL, pgx.NamedArgs{"id": id})
	if problem.Of(err) == problem.NotFound {
		return problem.New(problem.NotFound, "there is no such model")
	} else if err != nil {
		return fmt.Errorf("read model %s: %w", id, err)
	}
	return nil
}

const addModelSQL = `INSERT INTO model (id, manufacturer, name, kind, label, label_en, pack)
	VALUES (@id, @manufacturer, @name, @kind, @label, @labelEN, @pack) RETURNING ` + modelColumns

// AddModel adds a make and type.
func AddModel(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, m Model) (Model, error) {
	if err := errors.Join(named("/manufacturer", m.Manufacturer), named("/name", m.Name), named("/kind", m.Kind)); err != nil {
		return Model{}, err
	}
	added, err := postgres.One[Model](ctx, db, addModelSQL, pgx.NamedArgs{"id": postgres.NewID(), "manufacturer": strings.TrimSpace(m.Manufacturer),
		"name": strings.TrimSpace(m.Name), "kind": m.Kind, "label": m.Label, "labelEN": m.LabelEN, "pack": m.Pack})
	if err != nil {
		return Model{}, fmt.Errorf("add model %s: %w", m.Name, postgres.Translate(err))
	}
	return added, Audit(ctx, db, now, who, "model", added.ID, nil, nil, "added", nil, added)
}

const signalsSQL = `SELECT ` + signalColumns + ` FROM signal WHERE model_id = @modelID ORDER BY position, name`

// Signals lists a model's signals in the order of its file.
func Signals(ctx context.Context, db postgres.DB, modelID uuid.UUID) ([]Signal, error) {
	return listed(postgres.All[Signal](ctx, db, signalsSQL, pgx.NamedArgs{"modelID": modelID}))
}

const addSignalSQL = `INSERT INTO signal (id, model_id, name, label, label_en, unit, role, low, high, position)
	VALUES (@id, @modelID, @name, @label, @labelEN, @unit, @role, @low, @high, @position) RETURNING ` + signalColumns

// AddSignals adds signals to a model, all or none.
func AddSignals(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, modelID uuid.UUID, signals []Signal) ([]Signal, error) {
	if err := HasModel(ctx, db, modelID); problem.Of(err) == problem.NotFound {
		return nil, problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/modelId", Detail: "there is no such model"})
	} else if err != nil {
		return nil, err
	}
	if err := checkSignals(signals); err != nil {
		return nil, err
	}
	added := make([]Signal, 0, len(signals))
	for _, s := range signals {
		one, err := postgres.One[Signal](ctx, db, addSignalSQL, pgx.NamedArgs{"id": postgres.NewID(), "modelID": modelID, "name": s.Name, "label": s.Label,
			"labelEN": s.LabelEN, "unit": s.Unit, "role": cmp.Or(s.Role, "condition"), "low": s.Low, "high": s.High, "position": s.Position})
		if err != nil {
			return nil, fmt.Errorf("add signal %s: %w", s.Name, postgres.Translate(err))
		}
		added = append(added, one)
	}
	return added, Audit(ctx, db, now, who, "model", modelID, nil, nil, "signals added", nil, added)
}

func checkSignals(signals []Signal) error {
	var faults []problem.Field
	seen := map[string]bool{}
	for i, s := range signals {
		at := fmt.Sprintf("/signals/%d", i)
		if strings.TrimSpace(s.Name) == "" {
			faults = append(faults, problem.Field{Pointer: at + "/name", Detail: "is empty"})
		}
		if seen[s.Name] {
			faults = append(faults, problem.Field{Pointer: at + "/name", Detail: "is named twice"})
		}
		seen[s.Name] = true
		if s.Low != nil && s.High != nil && *s.Low > *s.High {
			faults = append(faults, problem.Field{Pointer: at + "/low", Detail: "is above high"})
		}
	}
	if len(faults) > 0 {
		return problem.New(problem.Invalid, "see errors").WithFields(faults...)
	}
	return nil
}
