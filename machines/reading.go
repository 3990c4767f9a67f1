package machines

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

const readingColumns = `id, machine_id, at, signal, value, unit, source, actor, photo_id`

const readingsSQL = `SELECT ` + readingColumns + ` FROM reading WHERE machine_id = @machineID ORDER BY at DESC, id DESC LIMIT @limit`

func readings(ctx context.Context, db postgres.DB, machineID uuid.UUID) ([]Reading, error) {
	return postgres.All[Reading](ctx, db, readingsSQL, pgx.NamedArgs{"machineID": machineID, "limit": longestLife})
}

const addReadingSQL = `INSERT INTO reading (id, machine_id, customer_id, at, signal, value, unit, source, actor, photo_id)
	VALUES (@id, @machineID, @customerID, @at, @signal, @value, @unit, @source, @actor, @photoID) RETURNING ` + readingColumns

const signalOfSQL = `SELECT ` + signalColumns + ` FROM signal WHERE model_id = @modelID AND name = @name`

// AddReading notes a value that a person measured. Beyond the signal's limits it
// opens a finding, or brings the open one up to date, and that is returned; back
// within them it closes that finding. A signal that the model does not know is
// noted and not judged.
func AddReading(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, r Reading) (Reading, *Finding, error) {
	m, err := Get(ctx, db, r.MachineID)
	if err != nil {
		return Reading{}, nil, err
	}
	signal, err := signalOf(ctx, db, m, r.Signal)
	if err != nil {
		return Reading{}, nil, err
	}
	if err := checkReading(r, signal); err != nil {
		return Reading{}, nil, err
	}
	if err := photoOf(ctx, db, m, r.PhotoID); err != nil {
		return Reading{}, nil, err
	}
	if r.At.IsZero() {
		r.At = now
	}
	if signal != nil {
		r.Unit = signal.Unit
	}
	r.At = r.At.UTC().Truncate(time.Microsecond) // as it will be stored: the episode's identity
	added, err := postgres.One[Reading](ctx, db, addReadingSQL, pgx.NamedArgs{"id": postgres.NewID(), "machineID": m.ID, "customerID": m.CustomerID, "at": r.At,
		"signal": r.Signal, "value": r.Value, "unit": r.Unit, "source": r.Source, "actor": cmp.Or(r.Actor, who.Name), "photoID": r.PhotoID})
	if err != nil {
		return Reading{}, nil, fmt.Errorf("note a reading of machine %s: %w", m.Key, postgres.Translate(err))
	}
	if err := Audit(ctx, db, now, who, "reading", added.ID, &m.ID, m.CustomerID, "added", nil, added); err != nil {
		return Reading{}, nil, err
	}
	finding, err := judgeReading(ctx, db, now, who, m, signal, added)
	return added, finding, err
}

const photoOfSQL = `SELECT count(*) FROM attachment WHERE id = @photo AND machine_id = @machine`

// photoOf refuses a photo that is not of this machine, or not there for the caller.
func photoOf(ctx context.Context, db postgres.DB, m Machine, photo *uuid.UUID) error {
	if photo == nil {
		return nil
	}
	n, err := postgres.Value[int](ctx, db, photoOfSQL, pgx.NamedArgs{"photo": *photo, "machine": m.ID})
	if err != nil {
		return fmt.Errorf("look for the photo of a reading: %w", err)
	}
	if n == 0 {
		return problem.New(problem.Invalid, "see errors").WithZH("照片不属于这台设备").WithFields(problem.Field{Pointer: "/photoId", Detail: "is no photo of this machine"})
	}
	return nil
}

func signalOf(ctx context.Context, db postgres.DB, m Machine, name string) (*Signal, error) {
	if m.ModelID == nil {
		return nil, nil //nolint:nilnil // a machine without a model has no limits
	}
	s, err := postgres.One[Signal](ctx, db, signalOfSQL, pgx.NamedArgs{"modelID": *m.ModelID, "name": name})
	if problem.Of(err) == problem.NotFound {
		return nil, nil //nolint:nilnil // nor has a signal that its model does not know
	}
	if err != nil {
		return nil, fmt.Errorf("read signal %s: %w", name, err)
	}
	return &s, nil
}

func checkReading(r Reading, signal *Signal) error {
	var faults []problem.Field
	if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
		faults = append(faults, problem.Field{Pointer: "/value", Detail: "is no number"})
	}
	if r.Signal == "" || len(r.Signal) > 64 {
		faults = append(faults, problem.Field{Pointer: "/signal", Detail: "has 1 to 64 characters"})
	}
	if r.Source != "daily_check" && r.Source != "patrol" && r.Source != "oil_sample" && r.Source != "visit" {
		faults = append(faults, problem.Field{Pointer: "/source", Detail: "is daily_check, patrol, oil_sample or visit"})
	}
	if signal != nil && r.Unit != "" && r.Unit != signal.Unit {
		faults = append(faults, problem.Field{Pointer: "/unit", Detail: "is not the signal's, " + cmp.Or(signal.Unit, "none")})
	}
	if len(faults) > 0 {
		return problem.New(problem.Invalid, "see errors").WithFields(faults...)
	}
	return nil
}

// judgeReading holds a reading against the signal's limits.
func judgeReading(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, m Machine, signal *Signal, r Reading) (*Finding, error) {
	cause, beyond := Text{ZH: "人工读数正常", EN: "a reading by a person is within limits"}, (*Finding)(nil)
	changed := m.Health == Unknown
	if signal != nil {
		for _, change := range signal.judge(r) {
			f, fresh, err := apply(ctx, db, now, who, change)
			if err != nil {
				return nil, err
			}
			changed = changed || fresh
			if change.Change != FindingClosed && f.ID != uuid.Nil {
				beyond, cause = &f, Text{ZH: f.Title, EN: f.TitleEN}
			}
		}
	}
	if !changed {
		return beyond, nil
	}
	var id *uuid.UUID
	if beyond != nil {
		id = &beyond.ID
	}
	_, _, err := setHealth(ctx, db, now, who, m.ID, m.Health == Faulty, cause, "", id) // only a case ends a breakdown
	return beyond, err
}

// judge says what a reading means for each limit: beyond it a finding that opens,
// or is brought up to date where it is open; within it the end of that finding.
func (s Signal) judge(r Reading) []FindingChange {
	var changes []FindingChange
	for _, side := range []struct {
		limit          *float64
		beyond         bool
		suffix, zh, en string
	}{
		{s.Low, s.Low != nil && r.Value < *s.Low, "low", "低于下限", "below its limit"},
		{s.High, s.High != nil && r.Value > *s.High, "high", "高于上限", "above its limit"},
	} {
		if side.limit == nil {
			continue
		}
		f := Finding{MachineID: r.MachineID, Rule: "reading/" + s.Name + "/" + side.suffix, FailureMode: s.Name + "_" + side.suffix,
			Title: cmp.Or(s.Label, s.LabelEN, s.Name) + side.zh, TitleEN: cmp.Or(s.LabelEN, s.Label, s.Name) + " " + side.en,
			Severity: Warning, Source: "reading", OpenedAt: r.At, UpdatedAt: r.At, Evidence: s.evidence(r, *side.limit)}
		if r.Source == "daily_check" {
			f.Source = "daily_check"
		}
		if side.beyond {
			changes = append(changes, FindingChange{Change: FindingOpened, Finding: f}, FindingChange{Change: FindingUpdated, Finding: f})
			continue
		}
		f.ClosedAt, f.CloseReason = &r.At, "cleared"
		changes = append(changes, FindingChange{Change: FindingClosed, Finding: f})
	}
	return changes
}

// evidence has the shape of rules.Evidence, which is above this package.
func (s Signal) evidence(r Reading, limit float64) json.RawMessage {
	within := func(v *float64) float64 {
		if v == nil {
			return 0
		}
		return *v
	}
	packed, err := json.Marshal(map[string]any{"kind": "reading", "signal": s.Name, "unit": s.Unit, "since": r.At, "observed": r.Value, "normal": limit,
		"low": within(s.Low), "high": within(s.High), "deviation": r.Value - limit, "limit": limit, "sigma": 0, "perDay": 0, "regimeRows": 1,
		"readingId": r.ID, "source": r.Source, "photoId": r.PhotoID})
	if err != nil {
		return json.RawMessage("{}") // finite numbers and texts always marshal
	}
	return packed
}
