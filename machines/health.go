package machines

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
)

// Failure modes that say something of the measuring and nothing of the machine:
// a sensor at fault or a silence is no third state.
const (
	SensorFailure = "sensor_failure"
	RedStopLamp   = "red_stop_lamp" // a trouble code says: stop now
	NoData        = "no_data"
)

// signsSQL looks after the machines were locked, so that it sees what others have
// committed before.
const signsSQL = `SELECT m.id, m.customer_id, m.health, m.last_seen_at IS NOT NULL OR EXISTS (SELECT FROM reading r WHERE r.machine_id = m.id) AS heard,
		EXISTS (SELECT FROM finding f WHERE f.machine_id = m.id AND f.state = 'open' AND f.severity <> 'info'
			AND f.failure_mode NOT IN (@sensorFailure, @noData)) AS suspect
	FROM machine m WHERE m.id = ANY(@ids::uuid[]) ORDER BY m.id`

type signs struct {
	ID         uuid.UUID  `db:"id"`
	CustomerID *uuid.UUID `db:"customer_id"`
	Health     Health     `db:"health"`
	Heard      bool       `db:"heard"`
	Suspect    bool       `db:"suspect"`
}

// SetHealth works out the one health state of a machine: faulty where a case says
// that it is down, else third state while a finding beyond a mere note is open,
// else well where anything was ever heard of it. A change is kept with its cause,
// rule version and finding; it answers false, and writes nothing, where the
// machine's health is what it was.
func SetHealth(ctx context.Context, db postgres.DB, now time.Time, machineID uuid.UUID, down bool, cause Text, ruleHash string, findingID *uuid.UUID) (Health, bool, error) {
	who, ok := identity.From(ctx)
	if !ok {
		who = identity.Program("health")
	}
	return setHealth(ctx, db, now, who, machineID, down, cause, ruleHash, findingID)
}

func setHealth(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, machineID uuid.UUID, down bool, cause Text, ruleHash string, findingID *uuid.UUID) (Health, bool, error) {
	m, err := Lock(ctx, db, machineID)
	if err != nil {
		return "", false, err
	}
	list, err := readSigns(ctx, db, []uuid.UUID{machineID})
	if err != nil {
		return m.Health, false, err
	}
	health := list[0].judge(down)
	if health == m.Health {
		return health, false, nil
	}
	if _, err := postgres.Run(ctx, db, setHealthSQL, pgx.NamedArgs{"id": m.ID, "health": health, "at": now}); err != nil {
		return health, false, fmt.Errorf("set the health of machine %s to %s: %w", m.Key, health, err)
	}
	return health, true, keepHealths(ctx, db, who, cause, ruleHash, []newHealth{{m.ID, m.CustomerID, m.Health, health, now, findingID}})
}

// firstHealths judges machines of which nothing was known and that are heard now.
func firstHealths(ctx context.Context, db postgres.DB, ids []uuid.UUID, at map[uuid.UUID]time.Time) ([]newHealth, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	list, err := readSigns(ctx, db, ids)
	changes := make([]newHealth, len(list))
	for i, s := range list {
		s.Heard = true
		changes[i] = newHealth{s.ID, s.CustomerID, s.Health, s.judge(false), at[s.ID], nil}
	}
	return changes, err
}

func readSigns(ctx context.Context, db postgres.DB, ids []uuid.UUID) ([]signs, error) {
	list, err := postgres.All[signs](ctx, db, signsSQL, pgx.NamedArgs{"ids": ids, "sensorFailure": SensorFailure, "noData": NoData})
	if err != nil {
		return nil, fmt.Errorf("judge the health of %d machines: %w", len(ids), err)
	}
	return list, nil
}

func (s signs) judge(down bool) Health {
	switch {
	case down:
		return Faulty
	case s.Suspect:
		return ThirdState
	case s.Heard || s.Health != Unknown:
		return Well
	}
	return Unknown
}

const setHealthSQL = `UPDATE machine SET health = @health, health_since = @at WHERE id = @id`

const keepHealthsSQL = `WITH change AS (SELECT c.*, m.customer_id, m.score
		FROM unnest(@ids::uuid[], @machineIDs::uuid[], @ats::timestamptz[], @healths::text[], @previous::text[], @findingIDs::uuid[], @events::uuid[], @texts::text[], @textsEN::text[])
			AS c (id, machine_id, at, health, previous, finding_id, event, text, text_en) JOIN machine m ON m.id = c.machine_id),
	kept AS (INSERT INTO health_change (id, machine_id, customer_id, at, health, previous, score, cause, cause_en, rule_hash, finding_id)
		SELECT id, machine_id, customer_id, at, health, previous, score, @cause, @causeEN, @ruleHash, finding_id FROM change)
	INSERT INTO lifecycle_event (id, machine_id, customer_id, at, kind, text, text_en, actor, entity, entity_id)
		SELECT event, machine_id, customer_id, at, 'health', text, text_en, @actor, 'health_change', id FROM change`

// newHealth is a machine that was locked and what its health is from now on.
type newHealth struct {
	MachineID  uuid.UUID
	CustomerID *uuid.UUID
	Previous   Health
	Health     Health
	At         time.Time
	FindingID  *uuid.UUID
}

// keepHealths keeps changes that have one cause: in the list of them, in the
// machine's life and in the audit log.
func keepHealths(ctx context.Context, db postgres.DB, who identity.Principal, cause Text, ruleHash string, changes []newHealth) error {
	if len(changes) == 0 {
		return nil
	}
	n := len(changes)
	ids, machineIDs, events, findingIDs, ats := make([]uuid.UUID, n), make([]uuid.UUID, n), make([]uuid.UUID, n), make([]*uuid.UUID, n), make([]time.Time, n)
	healths, previous, texts, textsEN := make([]Health, n), make([]Health, n), make([]string, n), make([]string, n)
	var log auditLog
	for i, c := range changes {
		ids[i], machineIDs[i], events[i], findingIDs[i], ats[i] = postgres.NewID(), c.MachineID, postgres.NewID(), c.FindingID, c.At
		text := c.Health.because(cause)
		healths[i], previous[i], texts[i], textsEN[i] = c.Health, c.Previous, text.ZH, text.EN
		if err := log.add(c.At, who, "machine", c.MachineID, &c.MachineID, c.CustomerID, "health", map[string]any{"health": c.Previous},
			map[string]any{"health": c.Health, "cause": cause, "ruleHash": ruleHash, "findingId": c.FindingID}); err != nil {
			return err
		}
	}
	_, err := postgres.Run(ctx, db, keepHealthsSQL, pgx.NamedArgs{"ids": ids, "machineIDs": machineIDs, "ats": ats, "healths": healths, "previous": previous,
		"findingIDs": findingIDs, "events": events, "texts": texts, "textsEN": textsEN, "cause": cause.ZH, "causeEN": cause.EN, "ruleHash": ruleHash, "actor": who.Name})
	if err != nil {
		return fmt.Errorf("keep how the health of %d machines changed: %w", n, err)
	}
	return log.write(ctx, db)
}

// because is a state of health in words, with its cause.
func (h Health) because(cause Text) Text {
	text := h.word()
	if cause.ZH != "" {
		text.ZH += "：" + cause.ZH
	}
	if cause.EN != "" {
		text.EN += ": " + cause.EN
	}
	return text
}

func (h Health) word() Text {
	switch h {
	case Well:
		return Text{ZH: "正常", EN: "Well"}
	case ThirdState:
		return Text{ZH: "第三状态", EN: "Third state"}
	case Faulty:
		return Text{ZH: "故障", EN: "Faulty"}
	case Unknown:
		return Text{ZH: "未知", EN: "Unknown"}
	}
	return Text{ZH: string(h), EN: string(h)}
}

const healthChangesSQL = `SELECT id, machine_id, at, health, previous, score, cause, cause_en, rule_hash, finding_id FROM health_change
	WHERE machine_id = @machineID ORDER BY at DESC, id DESC LIMIT @limit`

func healthChanges(ctx context.Context, db postgres.DB, machineID uuid.UUID) ([]HealthChange, error) {
	return postgres.All[HealthChange](ctx, db, healthChangesSQL, pgx.NamedArgs{"machineID": machineID, "limit": longestLife})
}
