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
	NoData        = "no_data"
)

// signsSQL looks after the machine was locked, so that it sees what others have
// committed before.
const signsSQL = `SELECT m.last_seen_at IS NOT NULL OR EXISTS (SELECT FROM reading r WHERE r.machine_id = m.id) AS heard,
		EXISTS (SELECT FROM finding f WHERE f.machine_id = m.id AND f.state = 'open' AND f.severity <> 'info'
			AND f.failure_mode NOT IN (@sensorFailure, @noData)) AS suspect
	FROM machine m WHERE m.id = @id`

type signs struct {
	Heard   bool `db:"heard"`
	Suspect bool `db:"suspect"`
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
	s, err := postgres.One[signs](ctx, db, signsSQL, pgx.NamedArgs{"id": machineID, "sensorFailure": SensorFailure, "noData": NoData})
	if err != nil {
		return m.Health, false, fmt.Errorf("judge the health of machine %s: %w", m.Key, err)
	}
	health := s.judge(m.Health, down)
	if health == m.Health {
		return health, false, nil
	}
	return health, true, changeHealth(ctx, db, now, who, m, health, cause, ruleHash, findingID)
}

func (s signs) judge(before Health, down bool) Health {
	switch {
	case down:
		return Faulty
	case s.Suspect:
		return ThirdState
	case s.Heard || before != Unknown:
		return Well
	}
	return Unknown
}

const changeHealthSQL = `WITH changed AS (UPDATE machine SET health = @health, health_since = @now WHERE id = @machineID RETURNING customer_id, score)
	INSERT INTO health_change (id, machine_id, customer_id, at, health, previous, score, cause, cause_en, rule_hash, finding_id)
	SELECT @id, @machineID, customer_id, @now, @health, @previous, score, @cause, @causeEN, @ruleHash, @findingID::uuid FROM changed`

func changeHealth(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, m Machine, health Health, cause Text, ruleHash string, findingID *uuid.UUID) error {
	id := postgres.NewID()
	_, err := postgres.Run(ctx, db, changeHealthSQL, pgx.NamedArgs{"id": id, "machineID": m.ID, "now": now, "health": health, "previous": m.Health,
		"cause": cause.ZH, "causeEN": cause.EN, "ruleHash": ruleHash, "findingID": findingID})
	if err != nil {
		return fmt.Errorf("set the health of machine %s to %s: %w", m.Key, health, err)
	}
	text := health.word()
	if cause.ZH != "" {
		text.ZH += "：" + cause.ZH
	}
	if cause.EN != "" {
		text.EN += ": " + cause.EN
	}
	if err := AddEvent(ctx, db, LifecycleEvent{MachineID: m.ID, At: now, Kind: "health", Text: text.ZH, TextEN: text.EN, Actor: who.Name,
		Entity: "health_change", EntityID: &id}); err != nil {
		return err
	}
	return Audit(ctx, db, now, who, "machine", m.ID, &m.ID, m.CustomerID, "health", map[string]any{"health": m.Health},
		map[string]any{"health": health, "cause": cause, "ruleHash": ruleHash, "findingId": findingID})
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
