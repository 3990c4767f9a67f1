package telemetry

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
)

// Account is the identity of the intake: what was received is stored, a
// duplicate, dead-lettered, unclaimed, refused over its quota or still waiting,
// and nothing else. It counts messages; Readings counts single values.
type Account struct {
	Received   int64 `json:"received" doc:"messages that were acknowledged"`
	Stored     int64 `json:"stored" db:"stored"`
	Duplicates int64 `json:"duplicates" db:"duplicates"`
	Dead       int64 `json:"dead" db:"dead"`
	Unclaimed  int64 `json:"unclaimed" db:"unclaimed"`
	Refused    int64 `json:"refused" db:"refused" doc:"beyond the quotas of dead letters and unclaimed devices"`
	Waiting    int64 `json:"waiting" doc:"in the log and not looked at yet; the log's own records among them"`
	Readings   int64 `json:"readings" db:"readings"`
}

// Holds says whether nothing is missing and nothing was counted twice. It does
// not where the log has lost records to a damaged disk.
func (a Account) Holds() bool {
	return a.Received == a.Stored+a.Duplicates+a.Dead+a.Unclaimed+a.Refused+a.Waiting
}

const accountSQL = `SELECT coalesce(u.lsn, 0) AS lsn, coalesce(c.ticks, 0) AS ticks, coalesce(c.stored, 0) AS stored, coalesce(c.duplicates, 0) AS duplicates,
  coalesce(c.dead, 0) AS dead, coalesce(c.unclaimed, 0) AS unclaimed, coalesce(c.refused, 0) AS refused, coalesce(c.readings, 0) AS readings
FROM (SELECT @log::uuid AS log) l
LEFT JOIN intake_cursor u ON u.log = l.log AND u.consumer = @consumer
LEFT JOIN intake_count c ON c.log = l.log`

// ReadAccount reads the account of a log whose last durable record is last. What
// was received is told by the log's numbering, the rest was counted.
func ReadAccount(ctx context.Context, db postgres.DB, log uuid.UUID, last uint64) (Account, error) {
	type row struct {
		Account
		LSN   int64 `db:"lsn"`
		Ticks int64 `db:"ticks"`
	}
	r, err := postgres.One[row](ctx, db, accountSQL, pgx.NamedArgs{"log": log, "consumer": HistoryConsumer})
	if err != nil {
		return Account{}, fmt.Errorf("read the intake's account: %w", err)
	}
	end := max(int64(last), r.LSN) //nolint:gosec // an LSN never reaches 2^63; the cursor may have moved since last was read
	r.Received, r.Waiting = end-r.Ticks, end-r.LSN
	return r.Account, nil
}

const letterTotalsSQL = `SELECT reason, sum(count)::bigint AS count FROM dead_letter_count GROUP BY reason ORDER BY reason`

// scrapeTimeout bounds how long a scrape waits for the database.
const scrapeTimeout = 2 * time.Second

// LetterMetrics are the dead letters by reason, those beyond the quotas among
// them. While the database is away they are left out.
type LetterMetrics struct {
	pool *postgres.Pool
	desc *prometheus.Desc
}

// NewLetterMetrics returns a collector to be registered.
func NewLetterMetrics(pool *postgres.Pool) *LetterMetrics {
	return &LetterMetrics{pool: pool, desc: prometheus.NewDesc("thirdstate_dead_letters", "Refused messages and parts of messages, by reason.", []string{"reason"}, nil)}
}

// Describe implements prometheus.Collector.
func (m *LetterMetrics) Describe(ch chan<- *prometheus.Desc) { ch <- m.desc }

// Collect implements prometheus.Collector.
func (m *LetterMetrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	type row struct {
		Reason string `db:"reason"`
		Count  int64  `db:"count"`
	}
	var rows []row
	err := postgres.As(ctx, m.pool, identity.Program("metrics"), func(tx pgx.Tx) (err error) {
		rows, err = postgres.All[row](ctx, tx, letterTotalsSQL, nil)
		return err
	})
	if err != nil {
		return
	}
	for _, r := range rows {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, float64(r.Count), r.Reason)
	}
}
