package machines

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

const troubleColumns = `id, machine_id, customer_id, protocol, code, spn, fmi, source_address, description, description_en, severity,
	mil, red_stop, amber_warning, protect, occurrences, unit_count, previous, first_seen_at, last_seen_at, cleared_at`

// The newest record of each code of some machines; older ones no longer change.
// When a code was seen last decides: when it began is the sender's word, which may
// be long before the record that was cleared.
const loadTroubleSQL = `SELECT DISTINCT ON (machine_id, protocol, source_address, code) ` + troubleColumns + ` FROM trouble_code
	WHERE machine_id = ANY(@ids::uuid[]) ORDER BY machine_id, protocol, source_address, code, (cleared_at IS NULL) DESC, last_seen_at DESC, id DESC`

const loadSourcesSQL = `SELECT machine_id, protocol, source_address, heard_at, whole_at, spacing_ms, period_ms FROM trouble_source WHERE machine_id = ANY(@ids::uuid[])`

type sourceRow struct {
	MachineID     uuid.UUID  `json:"machine_id" db:"machine_id"`
	Protocol      string     `json:"protocol" db:"protocol"`
	SourceAddress *int       `json:"source_address" db:"source_address"`
	HeardAt       time.Time  `json:"heard_at" db:"heard_at"`
	WholeAt       *time.Time `json:"whole_at" db:"whole_at"`
	SpacingMS     int64      `json:"spacing_ms" db:"spacing_ms"`
	PeriodMS      int64      `json:"period_ms" db:"period_ms"`
}

// LoadTrouble opens the book of some machines.
func LoadTrouble(ctx context.Context, db postgres.DB, machineIDs []uuid.UUID) (*TroubleBook, error) {
	b := &TroubleBook{codes: map[uuid.UUID][]*troubleEntry{}, sources: map[troubleUnit]*troubleSource{}}
	args := pgx.NamedArgs{"ids": machineIDs}
	codes, err := postgres.All[TroubleCode](ctx, db, loadTroubleSQL, args)
	if err != nil {
		return nil, fmt.Errorf("read the trouble codes of %d machines: %w", len(machineIDs), err)
	}
	for _, c := range codes {
		b.codes[c.MachineID] = append(b.codes[c.MachineID], &troubleEntry{TroubleCode: c})
	}
	sources, err := postgres.All[sourceRow](ctx, db, loadSourcesSQL, args)
	if err != nil {
		return nil, fmt.Errorf("read when control units were heard: %w", err)
	}
	for _, r := range sources {
		s := &troubleSource{heardAt: r.HeardAt.UTC(), spacing: time.Duration(r.SpacingMS) * time.Millisecond, period: time.Duration(r.PeriodMS) * time.Millisecond}
		if r.WholeAt != nil {
			s.wholeAt = r.WholeAt.UTC()
		}
		b.sources[unitOf(r.MachineID, r.Protocol, r.SourceAddress)] = s
	}
	return b, nil
}

// What is active belongs to whom the machine belongs.
const saveTroubleSQL = `INSERT INTO trouble_code (id, machine_id, customer_id, protocol, code, spn, fmi, source_address, description, description_en, severity,
		mil, red_stop, amber_warning, protect, occurrences, unit_count, previous, first_seen_at, last_seen_at, cleared_at)
	SELECT r.id, r.machine_id, m.customer_id, r.protocol, r.code, r.spn, r.fmi, r.source_address, r.description, r.description_en, r.severity,
		r.mil, r.red_stop, r.amber_warning, r.protect, r.occurrences, r.unit_count, r.previous, r.first_seen_at, r.last_seen_at, r.cleared_at
	FROM jsonb_to_recordset(@rows::jsonb) AS r (id uuid, machine_id uuid, protocol text, code text, spn int, fmi int, source_address int, description text,
		description_en text, severity text, mil boolean, red_stop boolean, amber_warning boolean, protect boolean, occurrences int, unit_count int, previous boolean,
		first_seen_at timestamptz, last_seen_at timestamptz, cleared_at timestamptz)
	JOIN machine m ON m.id = r.machine_id
	ON CONFLICT (id) DO UPDATE SET customer_id = CASE WHEN excluded.cleared_at IS NULL THEN excluded.customer_id ELSE trouble_code.customer_id END, severity = excluded.severity, mil = excluded.mil, red_stop = excluded.red_stop, amber_warning = excluded.amber_warning,
		protect = excluded.protect, occurrences = excluded.occurrences, unit_count = excluded.unit_count, previous = excluded.previous,
		first_seen_at = excluded.first_seen_at, last_seen_at = excluded.last_seen_at, cleared_at = excluded.cleared_at`

const saveSourcesSQL = `INSERT INTO trouble_source (machine_id, protocol, source_address, heard_at, whole_at, spacing_ms, period_ms)
	SELECT r.machine_id, r.protocol, r.source_address, r.heard_at, r.whole_at, r.spacing_ms, r.period_ms
	FROM jsonb_to_recordset(@rows::jsonb) AS r (machine_id uuid, protocol text, source_address int, heard_at timestamptz, whole_at timestamptz, spacing_ms bigint, period_ms bigint)
	ON CONFLICT (machine_id, protocol, source_address) DO UPDATE SET heard_at = excluded.heard_at, whole_at = excluded.whole_at,
		spacing_ms = excluded.spacing_ms, period_ms = excluded.period_ms`

// troubleRow is a code by the names of its columns.
type troubleRow struct {
	ID            uuid.UUID  `json:"id"`
	MachineID     uuid.UUID  `json:"machine_id"`
	Protocol      string     `json:"protocol"`
	Code          string     `json:"code"`
	SPN           *int       `json:"spn"`
	FMI           *int       `json:"fmi"`
	SourceAddress *int       `json:"source_address"`
	Description   string     `json:"description"`
	DescriptionEN string     `json:"description_en"`
	Severity      string     `json:"severity"`
	MIL           bool       `json:"mil"`
	RedStop       bool       `json:"red_stop"`
	AmberWarning  bool       `json:"amber_warning"`
	Protect       bool       `json:"protect"`
	Occurrences   int        `json:"occurrences"`
	UnitCount     *int       `json:"unit_count"`
	Previous      bool       `json:"previous"`
	FirstSeenAt   time.Time  `json:"first_seen_at"`
	LastSeenAt    time.Time  `json:"last_seen_at"`
	ClearedAt     *time.Time `json:"cleared_at"`
}

func (c *TroubleCode) row() troubleRow {
	return troubleRow{c.ID, c.MachineID, c.Protocol, c.Code, c.SPN, c.FMI, c.SourceAddress, c.Description, c.DescriptionEN, c.Severity, c.MIL, c.RedStop,
		c.AmberWarning, c.Protect, c.Occurrences, c.UnitCount, c.Previous, c.FirstSeenAt, c.LastSeenAt, c.ClearedAt}
}

// Save stores what has changed in the book. Like a sign of life it is worked out
// and not decided by anybody, and not audited.
func (b *TroubleBook) Save(ctx context.Context, db postgres.DB) error {
	var active, cleared []troubleRow
	for _, list := range b.codes {
		for _, e := range list {
			switch {
			case !e.dirty:
			case e.Active():
				active = append(active, e.row())
			default:
				cleared = append(cleared, e.row())
			}
		}
	}
	for _, rows := range [][]troubleRow{cleared, active} { // one record of a code is active at a time
		if err := saveRows(ctx, db, saveTroubleSQL, rows); err != nil {
			return fmt.Errorf("save %d trouble codes: %w", len(rows), err)
		}
	}
	sources := []sourceRow{}
	for unit, s := range b.sources {
		if !s.dirty {
			continue
		}
		r := sourceRow{MachineID: unit.machine, Protocol: unit.protocol, HeardAt: s.heardAt, SpacingMS: s.spacing.Milliseconds(), PeriodMS: s.period.Milliseconds()}
		if unit.address >= 0 {
			r.SourceAddress = &unit.address
		}
		if !s.wholeAt.IsZero() {
			r.WholeAt = &s.wholeAt
		}
		sources = append(sources, r)
	}
	if err := saveRows(ctx, db, saveSourcesSQL, sources); err != nil {
		return fmt.Errorf("save when %d control units were heard: %w", len(sources), err)
	}
	return nil
}

func saveRows[T any](ctx context.Context, db postgres.DB, sql string, rows []T) error {
	if len(rows) == 0 {
		return nil
	}
	packed, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	_, err = postgres.Run(ctx, db, sql, pgx.NamedArgs{"rows": packed})
	return err
}

const troubledSQL = `SELECT DISTINCT machine_id FROM trouble_code WHERE cleared_at IS NULL`

// Troubled lists the machines that have an active code.
func Troubled(ctx context.Context, db postgres.DB) ([]uuid.UUID, error) {
	type row struct {
		ID uuid.UUID `db:"machine_id"`
	}
	list, err := postgres.All[row](ctx, db, troubledSQL, nil)
	if err != nil {
		return nil, fmt.Errorf("list the machines with trouble codes: %w", err)
	}
	ids := make([]uuid.UUID, 0, len(list))
	for _, r := range list {
		ids = append(ids, r.ID)
	}
	return ids, nil
}

const listTroubleSQL = `SELECT ` + troubleColumns + ` FROM trouble_code
	WHERE (@machineID::uuid IS NULL OR machine_id = @machineID) AND (@protocol = '' OR protocol = @protocol) AND (@severity = '' OR severity = @severity)
		AND (@code = '' OR code = @code) AND (@state = '' OR (@state = 'active') = (cleared_at IS NULL))
		AND (@at::timestamptz IS NULL OR (first_seen_at, id) < (@at, @after::uuid))
	ORDER BY first_seen_at DESC, id DESC LIMIT @limit`

// TroubleCodes lists trouble codes, those that appeared last first.
func TroubleCodes(ctx context.Context, db postgres.DB, f TroubleFilter) (Page[TroubleCode], error) {
	at, after, err := ReadTimeCursor(f.Cursor)
	if err != nil {
		return Page[TroubleCode]{}, err
	}
	limit := PageLimit(f.Limit)
	list, err := postgres.All[TroubleCode](ctx, db, listTroubleSQL, pgx.NamedArgs{"machineID": f.MachineID, "protocol": f.Protocol, "severity": f.Severity,
		"code": f.Code, "state": f.State, "at": at, "after": after, "limit": limit + 1})
	if err != nil {
		return Page[TroubleCode]{}, fmt.Errorf("list trouble codes: %w", err)
	}
	return PageOf(list, limit, func(c TroubleCode) string { return TimeCursor(c.FirstSeenAt, c.ID) }), nil
}

const getTroubleSQL = `SELECT ` + troubleColumns + ` FROM trouble_code WHERE id = @id`

// GetTroubleCode reads one record.
func GetTroubleCode(ctx context.Context, db postgres.DB, id uuid.UUID) (TroubleCode, error) {
	c, err := postgres.One[TroubleCode](ctx, db, getTroubleSQL, pgx.NamedArgs{"id": id})
	if problem.Of(err) == problem.NotFound {
		return c, problem.New(problem.NotFound, "no such trouble code")
	}
	if err != nil {
		return c, fmt.Errorf("read a trouble code: %w", err)
	}
	return c, nil
}

const fileTroubleSQL = `SELECT ` + troubleColumns + ` FROM trouble_code WHERE machine_id = @machineID
	ORDER BY (cleared_at IS NULL) DESC, last_seen_at DESC, id DESC LIMIT @limit`

func troubleCodes(ctx context.Context, db postgres.DB, machineID uuid.UUID) ([]TroubleCode, error) {
	return postgres.All[TroubleCode](ctx, db, fileTroubleSQL, pgx.NamedArgs{"machineID": machineID, "limit": longestLife})
}
