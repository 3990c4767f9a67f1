package telemetry

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/internal/ucum"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// Mapping says what a name means that a machine sends, or all machines of a model:
// a signal of the model in a unit, or nothing that is wanted. A machine's own
// mapping goes before its model's.
type Mapping struct {
	ID        uuid.UUID  `json:"id" db:"id"`
	MachineID *uuid.UUID `json:"machineId,omitempty" db:"machine_id" doc:"of one machine"`
	ModelID   *uuid.UUID `json:"modelId,omitempty" db:"model_id" doc:"of all machines of a model"`
	Raw       string     `json:"raw" db:"raw" doc:"the name as it is sent"`
	Ignored   bool       `json:"ignored" db:"ignored" doc:"its values are dropped"`
	Signal    string     `json:"signal,omitempty" db:"signal" doc:"of the model"`
	Unit      string     `json:"unit,omitempty" db:"unit" doc:"UCUM, in which it is sent"`
	Canonical string     `json:"canonical,omitempty" db:"canonical" doc:"UCUM, in which it is stored"`
	CreatedAt time.Time  `json:"createdAt" db:"created_at"`
	CreatedBy string     `json:"createdBy" db:"created_by"`
}

const (
	maxMappings = 500 // of one machine or model
	maxRawName  = 200 // characters
)

const mappingsSQL = `SELECT id, machine_id, model_id, raw, ignored, signal, unit, canonical, created_at, created_by FROM signal_mapping
WHERE to_log IS NULL AND (machine_id = @machine OR model_id = @model) ORDER BY machine_id NULLS LAST, raw`

// Mappings lists those that hold now: a machine's with those of its model, or a
// model's.
func Mappings(ctx context.Context, db postgres.DB, machineID, modelID *uuid.UUID) ([]Mapping, error) {
	if machineID != nil {
		machine, err := machines.Get(ctx, db, *machineID)
		if err != nil {
			return nil, err
		}
		modelID = machine.ModelID
	}
	list, err := postgres.All[Mapping](ctx, db, mappingsSQL, pgx.NamedArgs{"machine": machineID, "model": modelID})
	if err != nil {
		return nil, fmt.Errorf("list signal mappings: %w", err)
	}
	return list, nil
}

const endMappingSQL = `UPDATE signal_mapping SET to_log = @log, to_lsn = @lsn
WHERE to_log IS NULL AND machine_id IS NOT DISTINCT FROM @machine AND model_id IS NOT DISTINCT FROM @model AND raw = @raw`

const addMappingSQL = `INSERT INTO signal_mapping (id, machine_id, model_id, raw, ignored, signal, unit, canonical, from_log, from_lsn, created_at, created_by)
VALUES (@id, @machine, @model, @raw, @ignored, @signal, @unit, @canonical, @log, @lsn, @now, @who)`

const countMappingsSQL = `SELECT count(*) FROM signal_mapping
WHERE to_log IS NULL AND machine_id IS NOT DISTINCT FROM @machine AND model_id IS NOT DISTINCT FROM @model`

// PutMapping makes or changes the mapping of a name. It holds for what comes from
// now on, to the record: a note of it stands in the log, and readers that come to
// the note read the mappings again. Of m the scope, name, signal and unit count.
func PutMapping(ctx context.Context, tx pgx.Tx, log *intakelog.Log, now time.Time, who identity.Principal, m Mapping) (Mapping, error) {
	if err := m.check(ctx, tx); err != nil {
		return m, err
	}
	before, lsn, err := changeMapping(ctx, tx, log, now, &m)
	if err != nil {
		return m, err
	}
	n, err := postgres.Value[int](ctx, tx, countMappingsSQL, pgx.NamedArgs{"machine": m.MachineID, "model": m.ModelID})
	if err != nil {
		return m, fmt.Errorf("count signal mappings: %w", err)
	}
	if n >= maxMappings {
		return m, problem.New(problem.Conflict, "%d names are mapped already: no more are taken", n)
	}
	m.ID, m.CreatedAt, m.CreatedBy = postgres.NewID(), now, who.Name
	_, err = postgres.Run(ctx, tx, addMappingSQL, pgx.NamedArgs{"id": m.ID, "machine": m.MachineID, "model": m.ModelID, "raw": m.Raw, "ignored": m.Ignored,
		"signal": m.Signal, "unit": m.Unit, "canonical": m.Canonical, "log": log.ID(), "lsn": int64(lsn), "now": now, "who": who.Name}) //nolint:gosec // an LSN never reaches 2^63
	if err != nil {
		return m, fmt.Errorf("map %s: %w", m.Raw, postgres.Translate(err))
	}
	return m, m.audit(ctx, tx, now, who, "mapped-signal", before, &m)
}

const mappingSQL = `SELECT id, machine_id, model_id, raw, ignored, signal, unit, canonical, created_at, created_by FROM signal_mapping WHERE id = @id AND to_log IS NULL`

// DeleteMapping ends a mapping: what comes from now on is stored as it comes.
func DeleteMapping(ctx context.Context, tx pgx.Tx, log *intakelog.Log, now time.Time, who identity.Principal, id uuid.UUID) error {
	m, err := postgres.One[Mapping](ctx, tx, mappingSQL, pgx.NamedArgs{"id": id})
	if problem.Of(err) == problem.NotFound {
		return problem.New(problem.NotFound, "no such mapping")
	} else if err != nil {
		return fmt.Errorf("read signal mapping: %w", err)
	}
	before, _, err := changeMapping(ctx, tx, log, now, &m)
	if err != nil {
		return err
	}
	return m.audit(ctx, tx, now, who, "unmapped-signal", before, nil)
}

const currentMappingSQL = `SELECT id, machine_id, model_id, raw, ignored, signal, unit, canonical, created_at, created_by FROM signal_mapping
WHERE to_log IS NULL AND machine_id IS NOT DISTINCT FROM @machine AND model_id IS NOT DISTINCT FROM @model AND raw = @raw`

const forgetMappingsSQL = `DELETE FROM signal_mapping WHERE machine_id IS NOT DISTINCT FROM @machine AND model_id IS NOT DISTINCT FROM @model
AND to_log IS NOT NULL AND (to_log <> @log OR to_lsn < @first)`

// changeMapping ends what a name meant, at a note in the log, and says what that
// was and where the note stands. Readers that come to the note wait for the lock,
// and so for the transaction. What ended before the log begins is forgotten.
func changeMapping(ctx context.Context, tx pgx.Tx, log *intakelog.Log, now time.Time, m *Mapping) (before *Mapping, lsn intakelog.LSN, err error) {
	if log == nil {
		return nil, 0, problem.New(problem.Unavailable, "this server has no intake log")
	}
	if _, err := tx.Exec(ctx, lockClaimsSQL, pgx.NamedArgs{"lock": claimsLock}); err != nil {
		return nil, 0, fmt.Errorf("take turns at mapping signals: %w", err)
	}
	args := pgx.NamedArgs{"machine": m.MachineID, "model": m.ModelID, "raw": m.Raw, "log": log.ID()}
	was, err := postgres.One[Mapping](ctx, tx, currentMappingSQL, args)
	switch {
	case err == nil:
		before = &was
	case problem.Of(err) != problem.NotFound:
		return nil, 0, fmt.Errorf("read the mapping of %s: %w", m.Raw, err)
	}
	lsn, err = log.AppendWait(ctx, intakelog.Record{Kind: intakelog.Mapping, Source: "mapping", Received: now})
	if err != nil {
		return nil, 0, refusedByLog(err)
	}
	first, _ := log.Bounds()
	args["lsn"], args["first"] = int64(lsn), int64(first) //nolint:gosec // an LSN never reaches 2^63
	for _, sql := range []string{endMappingSQL, forgetMappingsSQL} {
		if _, err := postgres.Run(ctx, tx, sql, args); err != nil {
			return nil, 0, fmt.Errorf("end the mapping of %s: %w", m.Raw, err)
		}
	}
	return before, lsn, nil
}

func (m *Mapping) audit(ctx context.Context, tx pgx.Tx, now time.Time, who identity.Principal, action string, before, after *Mapping) error {
	entity, id := "model", m.ModelID
	if m.MachineID != nil {
		entity, id = "machine", m.MachineID
	}
	var was, is any
	if before != nil {
		was = before
	}
	if after != nil {
		is = after
	}
	return machines.Audit(ctx, tx, now, who, entity, *id, m.MachineID, nil, action, was, is)
}

// check fills in the unit in which the signal is stored and refuses what cannot be
// converted into it.
func (m *Mapping) check(ctx context.Context, db postgres.DB) error {
	if (m.MachineID == nil) == (m.ModelID == nil) {
		return invalid("/machineId", "name a machine or a model", "请指定一台设备或一个机型")
	}
	if n := utf8.RuneCountInString(m.Raw); n == 0 || n > maxRawName || storable(m.Raw) != m.Raw {
		return invalid("/raw", fmt.Sprintf("the name as it is sent must have 1 to %d characters", maxRawName), fmt.Sprintf("原始名称须为 1 至 %d 个字符", maxRawName))
	}
	signals, err := signalsOf(ctx, db, m.MachineID, m.ModelID)
	if err != nil {
		return err
	}
	if m.Ignored {
		m.Signal, m.Unit, m.Canonical = "", "", ""
		return nil
	}
	_, err = m.conversion(signals)
	return err
}

// conversion finds the signal among those of a model and says how values become
// its unit.
func (m *Mapping) conversion(signals []machines.Signal) (ucum.Linear, error) {
	for i := range signals {
		if signals[i].Name == m.Signal {
			m.Canonical = signals[i].Unit
			return conversion(m.Unit, m.Canonical)
		}
	}
	if near := Nearest(m.Signal, signals); near != "" {
		return ucum.Linear{}, invalid("/signal", fmt.Sprintf("the model has no signal %q; did you mean %s?", m.Signal, near), fmt.Sprintf("机型没有信号 %q，是否为 %s？", m.Signal, near))
	}
	return ucum.Linear{}, invalid("/signal", fmt.Sprintf("the model has no signal %q", m.Signal), fmt.Sprintf("机型没有信号 %q", m.Signal))
}

// UnitMismatch is the code of a mapping whose unit measures something else, and of
// what a sender says in such a unit.
const UnitMismatch = formats.UnitMismatch

func conversion(unit, canonical string) (ucum.Linear, error) {
	if unit == canonical { // whatever the model calls its unit
		return ucum.Linear{Factor: 1}, nil
	}
	l, err := ucum.Convert(unit, canonical)
	if mismatch, ok := errors.AsType[*ucum.MismatchError](err); ok {
		return l, invalid("/unit", UnitMismatch+": "+mismatch.Error(), fmt.Sprintf("%s：单位 %s 不能换算为 %s", UnitMismatch, mismatch.From, mismatch.To))
	}
	if unknown, ok := errors.AsType[*ucum.UnknownError](err); ok {
		return l, invalid("/unit", fmt.Sprintf("%q is no UCUM unit that is known", unknown.Unit), fmt.Sprintf("%q 不是已知的 UCUM 单位", unknown.Unit))
	}
	return l, err
}

func invalid(pointer, text, zh string) *problem.Error {
	return problem.New(problem.Invalid, "%s", text).WithZH("%s", zh).WithFields(problem.Field{Pointer: pointer, Detail: text})
}

// signalsOf are the signals of a machine's model, or of a model.
func signalsOf(ctx context.Context, db postgres.DB, machineID, modelID *uuid.UUID) ([]machines.Signal, error) {
	if machineID != nil {
		machine, err := machines.Get(ctx, db, *machineID)
		if err != nil {
			return nil, err
		}
		modelID = machine.ModelID
	}
	if modelID == nil {
		return nil, nil
	}
	if err := machines.HasModel(ctx, db, *modelID); err != nil {
		return nil, err
	}
	return machines.Signals(ctx, db, *modelID)
}
