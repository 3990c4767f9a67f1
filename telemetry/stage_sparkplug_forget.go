package telemetry

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/sparkplug"
)

const (
	keptForReplays = 256    // old events of one edge node or device
	forgetAtOnce   = 10_000 // rows
	nodesForgotten = 500    // looked at in one time of forgetting
)

// forgetEvents makes room. What no record that the log still has can need, because
// a later birth has taken its place before the log begins, stays for replays of old
// dead letters as long as there is room; then it is retired at the log's end: only
// replays before that may still see it. Where too many nodes are kept, those of which
// the log has no record are retired whole, at the place up to which this reader is;
// they are returned. What comes after its place does not see what is retired, so that
// all readers agree; it is deleted when the log begins behind that place.
func (s *Stage) forgetEvents(ctx context.Context, tx pgx.Tx, t *keptTotals, at intakelog.LSN) ([]sparkplug.Node, error) {
	first, last := s.records.Bounds()
	args := pgx.NamedArgs{"log": s.records.ID(), "first": int64(first), "at": int64(at), "last": int64(max(last, at)), "limit": forgetAtOnce, "nodes": nodesForgotten, //nolint:gosec // an LSN never reaches 2^63
		"keep": keptForReplays, "quiet": int64(first) - int64(s.births.heard)} //nolint:gosec // an LSN never reaches 2^63
	crowded := s.births.crowded(t)
	if crowded {
		args["keep"] = 0
	}
	for _, sql := range []string{retireOldSQL, retireBeginningsSQL} {
		if _, err := postgres.Run(ctx, tx, sql, args); err != nil {
			return nil, fmt.Errorf("retire old births: %w", err)
		}
	}
	var evicted []sparkplug.Node
	if crowded {
		rows, err := postgres.All[keptNode](ctx, tx, retireQuietSQL, args)
		if err != nil {
			return nil, fmt.Errorf("retire the births of nodes that say nothing: %w", err)
		}
		for _, n := range rows {
			evicted = append(evicted, sparkplug.Node{Group: n.Group, ID: n.Node})
		}
	}
	if _, err := postgres.Run(ctx, tx, deleteRetiredSQL, args); err != nil {
		return nil, fmt.Errorf("delete retired births: %w", err)
	}
	if _, err := postgres.Run(ctx, tx, deleteNodesSQL, args); err != nil {
		return nil, fmt.Errorf("delete nodes without births: %w", err)
	}
	sum, err := postgres.One[keptTotals](ctx, tx, sumKeptSQL, args)
	if err != nil {
		return nil, fmt.Errorf("count the births that are kept: %w", err)
	}
	t.Nodes, t.Events, t.Bytes = sum.Nodes, sum.Events, sum.Bytes
	return evicted, nil
}

// Of the nodes with the most events: those before the last birth that came before
// the log begins, beyond the newest of each sender.
const retireOldSQL = `WITH many AS (SELECT group_id, edge_node FROM sparkplug_node WHERE log = @log AND group_id <> '' AND events > @keep ORDER BY events DESC LIMIT @nodes),
birth AS (SELECT m.group_id, m.edge_node, (SELECT max(b.lsn) FROM sparkplug_event b WHERE b.log = @log AND b.group_id = m.group_id AND b.edge_node = m.edge_node
    AND b.type = 'NBIRTH' AND b.lsn < @first AND b.retired_lsn IS NULL) AS lsn FROM many m),
old AS (SELECT e.lsn, row_number() OVER (PARTITION BY e.group_id, e.edge_node, e.device ORDER BY e.lsn DESC) AS nth
  FROM birth b JOIN sparkplug_event e ON e.log = @log AND e.group_id = b.group_id AND e.edge_node = b.edge_node AND e.lsn < b.lsn AND e.retired_lsn IS NULL)
UPDATE sparkplug_event e SET retired_lsn = @last FROM (SELECT lsn FROM old WHERE nth > @keep LIMIT @limit) AS o WHERE e.log = @log AND e.lsn = o.lsn`

// Of the times at which a source was listened to anew: all but the last before the
// log begins.
const retireBeginningsSQL = `UPDATE sparkplug_event e SET retired_lsn = @last WHERE e.log = @log AND e.group_id = '' AND e.edge_node = '' AND e.retired_lsn IS NULL
  AND e.lsn < (SELECT max(b.lsn) FROM sparkplug_event b WHERE b.log = @log AND b.group_id = '' AND b.edge_node = '' AND b.source = e.source AND b.lsn < @first)`

const retireQuietSQL = `WITH quiet AS (SELECT n.group_id, n.edge_node FROM sparkplug_node n WHERE n.log = @log AND n.group_id <> '' AND n.heard_lsn < @quiet
    AND EXISTS (SELECT 1 FROM sparkplug_event e WHERE e.log = @log AND e.group_id = n.group_id AND e.edge_node = n.edge_node AND e.retired_lsn IS NULL)
  ORDER BY n.heard_lsn LIMIT @nodes),
gone AS (UPDATE sparkplug_event e SET retired_lsn = @at FROM quiet q WHERE e.log = @log AND e.group_id = q.group_id AND e.edge_node = q.edge_node AND e.retired_lsn IS NULL)
SELECT group_id, edge_node FROM quiet`

const deleteRetiredSQL = `WITH gone AS (DELETE FROM sparkplug_event WHERE (log, lsn) IN (SELECT log, lsn FROM sparkplug_event WHERE log = @log AND retired_lsn < @first LIMIT @limit)
  RETURNING group_id, edge_node, octet_length(payload) + 128 AS size),
sum AS (SELECT group_id, edge_node, count(*) AS events, sum(size) AS bytes FROM gone GROUP BY group_id, edge_node)
UPDATE sparkplug_node n SET events = n.events - sum.events, bytes = greatest(0, n.bytes - sum.bytes) FROM sum
WHERE n.log = @log AND n.group_id = sum.group_id AND n.edge_node = sum.edge_node`

const deleteNodesSQL = `DELETE FROM sparkplug_node WHERE log = @log AND events <= 0`

const sumKeptSQL = `SELECT count(*) AS nodes, coalesce(sum(events), 0)::bigint AS events, coalesce(sum(bytes), 0)::bigint AS bytes FROM sparkplug_node WHERE log = @log`

// BirthMetrics are the births and deaths of Sparkplug that are kept beside the log.
// While the database is away they are left out.
type BirthMetrics struct {
	pool    *postgres.Pool
	records Records
	kept    map[string]*prometheus.Desc
}

// NewBirthMetrics returns a collector to be registered.
func NewBirthMetrics(pool *postgres.Pool, records Records) *BirthMetrics {
	m := &BirthMetrics{pool: pool, records: records, kept: map[string]*prometheus.Desc{}}
	for name, help := range map[string]string{"nodes": "Edge nodes of which births are kept.", "events": "Births and deaths that are kept.",
		"bytes": "Size of the births and deaths that are kept.", "refused_total": "Births and deaths that were not kept, because too many are."} {
		m.kept[name] = prometheus.NewDesc("thirdstate_sparkplug_kept_"+name, help, nil, nil)
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *BirthMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range m.kept {
		ch <- desc
	}
}

const keptSQL = `SELECT decided_lsn, nodes, events, bytes, refused FROM sparkplug_kept WHERE log = @log`

// Collect implements prometheus.Collector.
func (m *BirthMetrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	var t []keptTotals
	err := postgres.As(ctx, m.pool, identity.Program("metrics"), func(tx pgx.Tx) (err error) {
		t, err = postgres.All[keptTotals](ctx, tx, keptSQL, pgx.NamedArgs{"log": m.records.ID()})
		return err
	})
	if err != nil {
		return
	}
	t = append(t, keptTotals{}) // where nothing was kept yet
	for name, value := range map[string]int64{"nodes": t[0].Nodes, "events": t[0].Events, "bytes": t[0].Bytes} {
		ch <- prometheus.MustNewConstMetric(m.kept[name], prometheus.GaugeValue, float64(value))
	}
	ch <- prometheus.MustNewConstMetric(m.kept["refused_total"], prometheus.CounterValue, float64(t[0].Refused))
}

const forgetLogsSQL = `WITH old AS (SELECT k.log FROM sparkplug_kept k WHERE EXISTS (SELECT 1 FROM intake_cursor c WHERE c.log = k.log)
    AND NOT EXISTS (SELECT 1 FROM intake_cursor c WHERE c.log = k.log AND c.saved_at >= @before)),
events AS (DELETE FROM sparkplug_event e USING old WHERE e.log = old.log), nodes AS (DELETE FROM sparkplug_node n USING old WHERE n.log = old.log)
DELETE FROM sparkplug_kept k USING old WHERE k.log = old.log`
