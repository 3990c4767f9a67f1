package maintenance

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// Sweep is what was found when the sisters of a machine with a confirmed fault were
// looked at: those that share what the fault may come from, and how far each has moved its way.
type Sweep struct {
	ID          uuid.UUID         `json:"id" db:"id"`
	CaseID      uuid.UUID         `json:"caseId" db:"case_id"`
	MachineID   uuid.UUID         `json:"machineId" db:"machine_id" doc:"on which the fault was confirmed"`
	CustomerID  *uuid.UUID        `json:"-" db:"customer_id"`
	SweptAt     time.Time         `json:"sweptAt" db:"swept_at"`
	ScoredAt    time.Time         `json:"scoredAt" db:"scored_at" doc:"the list is made anew each day for a month; who is on it stays"`
	FailureMode string            `json:"failureMode" db:"failure_mode"`
	Title       string            `json:"title" db:"title"`
	TitleEN     string            `json:"titleEn" db:"title_en"`
	Severity    machines.Severity `json:"severity" db:"severity"`
	ModelID     uuid.UUID         `json:"modelId" db:"model_id"`
	Component   string            `json:"component" db:"component"`
	Batch       string            `json:"batch" db:"batch" doc:"of the component; empty: not written down"`
	Firmware    string            `json:"firmware" db:"firmware"`
	Duty        string            `json:"duty" db:"duty"`
	Signals     []string          `json:"signals" db:"signals" doc:"that told of the fault"`
	Level       float64           `json:"level" db:"level" doc:"share of the listed machines that may be well (false-discovery rate)"`
	Basis       string            `json:"basis" db:"basis" enum:"others,cohort,itself" doc:"what p rests on: machines that differ; the middle and spread of those that are alike; each machine's own spread"`
	Alike       int               `json:"alike" db:"alike" doc:"machines that may share the fault and have a score"`
	Others      int               `json:"others" db:"others" doc:"machines of the model that differ and have a score"`
	Unscored    int               `json:"unscored" db:"unscored" doc:"machines that may share it and say nothing of it"`
}

// SweepRow is a sweep with how far its list is done.
type SweepRow struct {
	Sweep
	CaseNumber    int64  `json:"caseNumber" db:"case_number"`
	MachineName   string `json:"machineName" db:"machine_name"`
	MachineNameEN string `json:"machineNameEn" db:"machine_name_en"`
	ModelName     string `json:"modelName" db:"model_name"`
	Listed        int    `json:"listed" db:"listed" doc:"machines that are to be acted on"`
	ToDo          int    `json:"toDo" db:"to_do" doc:"of the listed ones"`
	Planned       int    `json:"planned" db:"planned"`
	Found         int    `json:"found" db:"found"`
	Clean         int    `json:"clean" db:"clean"`
}

// SweepMachine is one machine of a sweep.
type SweepMachine struct {
	SweepID       uuid.UUID  `json:"-" db:"sweep_id"`
	MachineID     uuid.UUID  `json:"machineId" db:"machine_id"`
	MachineKey    string     `json:"machineKey" db:"machine_key"`
	MachineName   string     `json:"machineName" db:"machine_name"`
	MachineNameEN string     `json:"machineNameEn" db:"machine_name_en"`
	CustomerName  string     `json:"customerName" db:"customer_name"`
	CustomerEN    string     `json:"customerNameEn" db:"customer_name_en"`
	Shares        []string   `json:"shares" db:"shares" doc:"what it is known to share: model, batch, firmware, duty"`
	Score         *float64   `json:"score" db:"score" doc:"how far it has moved the way of the fault; null: it says nothing of it"`
	P             float64    `json:"p" db:"p" doc:"chance of such a score on a well machine"`
	Q             float64    `json:"q" db:"q" doc:"least level at which it is listed"`
	Listed        bool       `json:"listed" db:"listed"`
	Progress      string     `json:"progress" db:"progress" enum:"to_do,planned,found,clean"`
	CaseID        *uuid.UUID `json:"caseId" db:"case_id" doc:"its case of the same fault"`
	CaseNumber    *int64     `json:"caseNumber" db:"case_number"`
	LookedAt      *time.Time `json:"lookedAt" db:"looked_at"`
	LookedBy      string     `json:"lookedBy" db:"looked_by"`
	Note          string     `json:"note" db:"note"`
}

// SweepFile is a sweep with its machines, the most suspect first.
type SweepFile struct {
	SweepRow
	Machines []SweepMachine `json:"machines"`
}

// Bounds of sweeps.
const (
	sweepWithin  = 30 * 24 * time.Hour // a fault that was confirmed longer ago starts none, and a list is made anew for so long
	sweepEvery   = 24 * time.Hour
	sweepAtOnce  = 5   // in one round
	sweepKeeps   = 500 // machines of one sweep
	sweepsShown  = 100
	longestNotes = 1000
)

// Many cases of one fault start one sweep: a machine that an earlier one has looked at starts none.
const toSweepWhere = `c.state = 'closed' AND c.verdict = 'true' AND m.model_id IS NOT NULL AND (
  c.closed_at > @since AND EXISTS (SELECT FROM finding f WHERE f.case_id = c.id AND f.source = 'rule' AND f.state <> 'dismissed')
  AND NOT EXISTS (SELECT FROM sweep s WHERE s.case_id = c.id)
  AND NOT EXISTS (SELECT FROM sweep s JOIN sweep_machine x ON x.sweep_id = s.id
    WHERE s.failure_mode = c.failure_mode AND x.machine_id = c.machine_id AND s.swept_at > @since)
  OR EXISTS (SELECT FROM sweep s WHERE s.case_id = c.id AND s.swept_at > @since AND s.scored_at <= @before))`

// CasesToSweep lists confirmed faults whose sisters have not been looked at since a day, oldest first.
func CasesToSweep(ctx context.Context, db postgres.DB, now time.Time) ([]CaseRow, error) {
	return caseRows(ctx, db, toSweepWhere, pgx.NamedArgs{"since": now.Add(-sweepWithin), "before": now.Add(-sweepEvery), "limit": sweepAtOnce}, `ORDER BY c.closed_at, c.id LIMIT @limit`)
}

const keepSweepSQL = `INSERT INTO sweep (id, case_id, machine_id, customer_id, swept_at, scored_at, failure_mode, title, title_en, severity, model_id, component, batch, firmware, duty,
  signals, level, basis, alike, others, unscored)
SELECT @id, c.id, c.machine_id, c.customer_id, @now, @now, c.failure_mode, c.title, c.title_en, c.severity, m.model_id, @component, @batch, @firmware, @duty,
  @signals, @level, @basis, @alike, @others, @unscored
FROM service_case c JOIN machine m ON m.id = c.machine_id WHERE c.id = @case AND m.model_id IS NOT NULL
ON CONFLICT (case_id) DO UPDATE SET scored_at = @now, level = @level, basis = @basis, alike = @alike, others = @others, unscored = @unscored
RETURNING id`

const listedSQL = `SELECT machine_id AS id FROM sweep_machine WHERE sweep_id = @id AND listed`

const keepSweepMachineSQL = `INSERT INTO sweep_machine (id, sweep_id, machine_id, customer_id, shares, score, p, q, listed)
SELECT @id, @sweep, m.id, m.customer_id, @shares, @score, @p, @q, @listed FROM machine m WHERE m.id = @machine
ON CONFLICT (sweep_id, machine_id) DO UPDATE SET shares = @shares, score = @score, p = @p, q = @q, listed = sweep_machine.listed OR @listed`

// RecordSweep keeps a sweep of the case s.CaseID with its machines, which come the most
// suspect first, or makes the one that there is anew, and tells the manager of those that are
// newly listed. Who is listed stays so: his progress says what came of it.
func RecordSweep(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, s Sweep, list []SweepMachine) error {
	kept, err := postgres.All[idRow](ctx, db, keepSweepSQL, pgx.NamedArgs{"id": postgres.NewID(), "case": s.CaseID, "now": now, "component": s.Component, "batch": s.Batch,
		"firmware": s.Firmware, "duty": s.Duty, "signals": s.Signals, "level": s.Level, "basis": s.Basis, "alike": s.Alike, "others": s.Others, "unscored": s.Unscored})
	if err != nil {
		return fmt.Errorf("keep the sweep of case %s: %w", s.CaseID, err)
	}
	if len(kept) == 0 { // the machine is of no model any more
		return nil
	}
	s.ID = kept[0].ID
	before, err := postgres.All[idRow](ctx, db, listedSQL, pgx.NamedArgs{"id": s.ID})
	if err != nil {
		return fmt.Errorf("read who is listed: %w", err)
	}
	listed := 0
	for _, m := range list[:min(len(list), sweepKeeps)] {
		if m.Listed && !slices.Contains(before, idRow{m.MachineID}) {
			listed++
		}
		if _, err := postgres.Run(ctx, db, keepSweepMachineSQL, pgx.NamedArgs{"id": postgres.NewID(), "sweep": s.ID, "machine": m.MachineID, "shares": m.Shares, "score": m.Score, "p": m.P, "q": m.Q, "listed": m.Listed}); err != nil {
			return fmt.Errorf("keep machine %s of a sweep: %w", m.MachineID, err)
		}
	}
	if listed == 0 {
		return nil
	}
	c, err := loadCase(ctx, db, s.CaseID)
	if err != nil {
		return err
	}
	if err := machines.Audit(ctx, db, now, who, "sweep", s.ID, &c.MachineID, c.CustomerID, "listed", nil, map[string]int{"machines": listed}); err != nil {
		return err
	}
	return tellManager(ctx, db, now, Notice{MachineID: &c.MachineID, CaseID: &c.ID}, machines.Text{
		ZH: fmt.Sprintf("服务单 %d「%s」已确认，同类设备中有 %d 台出现同样苗头，请安排检查。", c.Number, c.Title, listed),
		EN: fmt.Sprintf("Case %d, %s, is confirmed; %d of its sisters have moved the same way: have them looked at.", c.Number, machines.InLanguage("en", c.Title, c.TitleEN), listed)})
}

// OpenSweepCase opens the case of a machine of a sweep, or gives the one that is open for the same fault.
func OpenSweepCase(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, sweepID, machineID uuid.UUID) (Case, error) {
	s, err := sweepOf(ctx, db, sweepID, machineID)
	if err != nil {
		return Case{}, err
	}
	m, err := machines.Lock(ctx, db, machineID)
	if err != nil {
		return Case{}, err
	}
	if m.OperatingStatus == machines.Scrapped {
		return Case{}, refuse(problem.Conflict, "the machine is scrapped", "该设备已报废")
	}
	origin, err := loadCase(ctx, db, s.CaseID)
	if err != nil {
		return Case{}, err
	}
	why := machines.Text{ZH: fmt.Sprintf("同类设备排查：服务单 %d 已确认该故障", origin.Number), EN: fmt.Sprintf("a sister of case %d, on which this fault was confirmed", origin.Number)}
	c, created, err := openCase(ctx, db, now, who, Case{MachineID: machineID, FailureMode: s.FailureMode, Title: s.Title, TitleEN: s.TitleEN,
		Severity: machines.Advice, Origin: "sweep", Description: why.ZH, DescriptionEN: why.EN})
	if err != nil || created {
		return c, err
	}
	return c, noteCase(ctx, db, now, who, c, why)
}

const lookedSQL = `UPDATE sweep_machine SET looked = @looked, looked_at = @at, looked_by = @by, note = @note WHERE sweep_id = @sweep AND machine_id = @machine`

// LookedAt notes what somebody has seen on a machine of a sweep: found or clean; "" takes it back.
func LookedAt(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, sweepID, machineID uuid.UUID, result, note string) (SweepFile, error) {
	s, err := sweepOf(ctx, db, sweepID, machineID)
	if err != nil {
		return SweepFile{}, err
	}
	if result != "" && result != "found" && result != "clean" || len(note) > longestNotes {
		return SweepFile{}, refuse(problem.Invalid, "see errors", "请填写检查结果").WithFields(problem.Field{Pointer: "/result", Detail: "found or clean, with at most 1000 bytes of note"})
	}
	at, by := &now, who.Name
	if result == "" {
		at, by = nil, ""
	}
	if _, err := postgres.Run(ctx, db, lookedSQL, pgx.NamedArgs{"looked": result, "at": at, "by": by, "note": note, "sweep": sweepID, "machine": machineID}); err != nil {
		return SweepFile{}, fmt.Errorf("note what was seen on machine %s: %w", machineID, err)
	}
	if err := machines.Audit(ctx, db, now, who, "sweep", s.ID, &machineID, s.CustomerID, "looked_at", nil, map[string]string{"result": result, "note": note}); err != nil {
		return SweepFile{}, err
	}
	return GetSweep(ctx, db, sweepID)
}
