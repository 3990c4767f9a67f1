package telemetry

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// SequenceGap is a stretch of a device's messages that did not come when later
// ones did: lost on the way, or late. Both ends are included.
type SequenceGap struct {
	MachineID uuid.UUID  `json:"machineId" db:"machine_id"`
	Machine   string     `json:"machine" db:"key" doc:"key of the machine"`
	Boot      string     `json:"boot" db:"boot" doc:"the run of the device to which the numbers belong"`
	From      int64      `json:"from" db:"first"`
	To        int64      `json:"to" db:"last"`
	FirstSeen time.Time  `json:"firstSeenAt" db:"found_at" doc:"when a later number had come"`
	FilledAt  *time.Time `json:"filledAt,omitempty" db:"filled_at" doc:"when the last of them came after all"`
}

// Numbers is how many messages it names.
func (g SequenceGap) Numbers() int64 { return g.To - g.From + 1 }

// GapFilter chooses gaps; the zero value means all.
type GapFilter struct {
	MachineID uuid.UUID
	State     string // "open" or "filled"
	Cursor    string
	Limit     int
}

const listGapsSQL = `SELECT g.machine_id, m.key, g.boot, g.first, g.last, g.found_at, g.filled_at FROM sequence_gap g JOIN machine m ON m.id = g.machine_id
WHERE (@machine::uuid IS NULL OR g.machine_id = @machine) AND (@state = '' OR (g.filled_at IS NULL) = (@state = 'open'))
  AND (@at::timestamptz IS NULL OR (g.found_at, g.machine_id, g.boot, g.first) < (@at, @last_machine::uuid, @last_boot::text, @last_first::bigint))
ORDER BY g.found_at DESC, g.machine_id DESC, g.boot DESC, g.first DESC LIMIT @limit`

// SequenceGaps lists gaps, the one found last first; who is asking sees those of
// the time in which the machine is his.
func SequenceGaps(ctx context.Context, db postgres.DB, f GapFilter) (machines.Page[SequenceGap], error) {
	limit := machines.PageLimit(f.Limit)
	args := pgx.NamedArgs{"machine": nil, "state": f.State, "at": nil, "last_machine": nil, "last_boot": nil, "last_first": nil, "limit": limit + 1}
	if f.MachineID != uuid.Nil {
		args["machine"] = f.MachineID
	}
	if err := readGapCursor(f.Cursor, args); err != nil {
		return machines.Page[SequenceGap]{}, err
	}
	rows, err := postgres.All[SequenceGap](ctx, db, listGapsSQL, args)
	if err != nil {
		return machines.Page[SequenceGap]{}, fmt.Errorf("list sequence gaps: %w", err)
	}
	return machines.PageOf(rows, limit, func(g SequenceGap) string {
		return machines.EncodeCursor(g.FirstSeen.UTC().Format(time.RFC3339Nano), g.MachineID.String(), g.Boot, strconv.FormatInt(g.From, 10))
	}), nil
}

func readGapCursor(cursor string, args pgx.NamedArgs) error {
	parts, err := machines.DecodeCursor(cursor, 4)
	if err != nil || parts == nil {
		return err
	}
	at, errAt := time.Parse(time.RFC3339Nano, parts[0])
	machine, errMachine := uuid.Parse(parts[1])
	first, errFirst := strconv.ParseInt(parts[3], 10, 64)
	if errAt != nil || errMachine != nil || errFirst != nil || at.Year() < 1 || at.Year() > 9999 {
		return problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/cursor", Detail: "is no cursor of this list"})
	}
	args["at"], args["last_machine"], args["last_boot"], args["last_first"] = at, machine, parts[2], first
	return nil
}

// SequenceTotals count messages by their numbers, of all machines and all time.
type SequenceTotals struct {
	Missing  int64 `json:"missing" db:"missing" doc:"have not come: lost on the way, or late"`
	Filled   int64 `json:"filled" db:"filled" doc:"were missing and came after all"`
	Unlisted int64 `json:"unlisted" db:"unlisted" doc:"of those missing, in gaps beyond the 4,096 that are listed for a machine"`
	Machines int64 `json:"machines" db:"machines" doc:"of which numbers are missing"`
}

const sequenceTotalsSQL = `SELECT coalesce(sum(missed - filled), 0)::bigint AS missing, coalesce(sum(filled), 0)::bigint AS filled,
  coalesce(sum(unlisted), 0)::bigint AS unlisted, count(*) FILTER (WHERE missed > filled) AS machines
FROM sequence_account WHERE missed > 0 AND (@machine::uuid IS NULL OR machine_id = @machine)`

// ReadSequenceTotals counts what is missing of all machines, or of one.
func ReadSequenceTotals(ctx context.Context, db postgres.DB, machine uuid.UUID) (SequenceTotals, error) {
	args := pgx.NamedArgs{"machine": nil}
	if machine != uuid.Nil {
		args["machine"] = machine
	}
	t, err := postgres.One[SequenceTotals](ctx, db, sequenceTotalsSQL, args)
	if err != nil {
		return t, fmt.Errorf("count what is missing: %w", err)
	}
	return t, nil
}

// GapMetrics are the messages that were expected by their numbers. While the
// database is away they are left out.
type GapMetrics struct {
	pool *postgres.Pool
	desc *prometheus.Desc
}

// NewGapMetrics returns a collector to be registered.
func NewGapMetrics(pool *postgres.Pool) *GapMetrics {
	return &GapMetrics{pool: pool, desc: prometheus.NewDesc("thirdstate_sequence_numbers",
		"Messages that did not come when later ones did: missing still, or filled since.", []string{"state"}, nil)}
}

// Describe implements prometheus.Collector.
func (m *GapMetrics) Describe(ch chan<- *prometheus.Desc) { ch <- m.desc }

// Collect implements prometheus.Collector.
func (m *GapMetrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	var t SequenceTotals
	err := postgres.As(ctx, m.pool, identity.Program("metrics"), func(tx pgx.Tx) (err error) {
		t, err = ReadSequenceTotals(ctx, tx, uuid.Nil)
		return err
	})
	if err != nil {
		return
	}
	for state, n := range map[string]int64{"missing": t.Missing, "filled": t.Filled} {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, float64(n), state)
	}
}
