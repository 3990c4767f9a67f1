package telemetry

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/sparkplug"
)

// Bounds of the births that are kept.
const (
	keptEvents   = 256     // of one edge node or device
	manyEvents   = 100_000 // of all; beyond it, fewEvents of each are kept
	fewEvents    = 8
	forgetEvery  = 1_000 // events stored, between two times of forgetting
	nodesAtOnce  = 50
	sessionEvent = "SESSION"
)

// sparkplugEvent is a birth, a death or the beginning of a source, as it stands in
// the log. It never changes, so that it may be stored by whoever reads it first.
type sparkplugEvent struct {
	LSN      intakelog.LSN `db:"lsn"`
	Source   string        `db:"source"`
	Group    string        `db:"group_id"`
	Node     string        `db:"edge_node"`
	Device   string        `db:"device"`
	Type     string        `db:"type"`
	Received time.Time     `db:"received_at"`
	Payload  []byte        `db:"payload"`
}

func (e *sparkplugEvent) topic() sparkplug.Topic {
	return sparkplug.Topic{Node: sparkplug.Node{Group: e.Group, ID: e.Node}, Type: sparkplug.Type(e.Type), Device: e.Device}
}

// eventOf is the event that a record is, if it is one. What a person has replayed
// is none: it is about a session of then.
func eventOf(r *intakelog.Record) (e sparkplugEvent, ok bool) {
	if r.Kind == intakelog.Session {
		return sparkplugEvent{LSN: r.LSN, Source: r.Source, Type: sessionEvent, Received: r.Received}, true
	}
	if r.Kind != intakelog.Message || r.Replayed() {
		return e, false
	}
	t, _, fault := sparkplug.ParseTopic(r.Topic)
	if fault != nil {
		return e, false
	}
	switch t.Type {
	case sparkplug.NBirth, sparkplug.NDeath, sparkplug.DBirth, sparkplug.DDeath:
		return sparkplugEvent{LSN: r.LSN, Source: r.Source, Group: t.Group, Node: t.ID, Device: t.Device, Type: string(t.Type),
			Received: r.Received, Payload: r.Payload}, true
	}
	return e, false
}

// loadSparkplug stores events and puts the sessions of nodes into a view.
func (s *Stage) loadSparkplug(ctx context.Context, v *sparkplugView, events []sparkplugEvent, missing map[sparkplug.Node]struct{}) error {
	fresh := map[sparkplug.Node]*viewedNode{}
	err := postgres.As(ctx, s.pool, identity.Program("intake"), func(tx pgx.Tx) error {
		if err := s.storeEvents(ctx, tx, events); err != nil {
			return err
		}
		if !v.loaded {
			if err := s.loadBeginnings(ctx, tx, v); err != nil {
				return err
			}
		}
		nodes := make([]sparkplug.Node, 0, len(missing))
		for id := range missing {
			nodes = append(nodes, id)
		}
		clear(fresh)
		for len(nodes) > 0 {
			n := min(len(nodes), nodesAtOnce)
			if err := s.loadNodes(ctx, tx, v, nodes[:n], fresh); err != nil {
				return err
			}
			nodes = nodes[n:]
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep and read births: %w", err)
	}
	for id, n := range fresh {
		v.nodes[id] = n
	}
	v.loaded = true
	return nil
}

const storeEventsSQL = `INSERT INTO sparkplug_event (log, lsn, source, group_id, edge_node, device, type, received_at, payload)
SELECT @log, e.lsn, e.source, e.group_id, e.edge_node, e.device, e.type, e.received_at, e.payload
FROM unnest(@lsns::bigint[], @sources::text[], @groups::text[], @nodes::text[], @devices::text[], @types::text[], @received::timestamptz[], @payloads::bytea[])
  AS e(lsn, source, group_id, edge_node, device, type, received_at, payload)
ON CONFLICT (log, lsn) DO NOTHING`

func (s *Stage) storeEvents(ctx context.Context, tx pgx.Tx, events []sparkplugEvent) error {
	if len(events) == 0 {
		return nil
	}
	var lsns []int64
	var sources, groups, nodes, devices, types []string
	var received []time.Time
	var payloads [][]byte
	for i := range events {
		e := &events[i]
		lsns, received = append(lsns, int64(e.LSN)), append(received, e.Received) //nolint:gosec // an LSN never reaches 2^63
		sources, groups, nodes = append(sources, e.Source), append(groups, e.Group), append(nodes, e.Node)
		devices, types, payloads = append(devices, e.Device), append(types, e.Type), append(payloads, append([]byte{}, e.Payload...))
	}
	_, err := postgres.Run(ctx, tx, storeEventsSQL, pgx.NamedArgs{"log": s.records.ID(), "lsns": lsns, "sources": sources, "groups": groups,
		"nodes": nodes, "devices": devices, "types": types, "received": received, "payloads": payloads})
	if err != nil {
		return fmt.Errorf("store %d births and deaths: %w", len(events), err)
	}
	if s.eventsStored += len(events); s.eventsStored < forgetEvery {
		return nil
	}
	s.eventsStored = 0
	return forgetEvents(ctx, tx)
}

const countEventsSQL = `SELECT count(*) FROM (SELECT 1 FROM sparkplug_event LIMIT @limit) AS e`

const forgetEventsSQL = `DELETE FROM sparkplug_event e USING (SELECT log, lsn, row_number() OVER (PARTITION BY log, group_id, edge_node, device ORDER BY lsn DESC) AS nth
  FROM sparkplug_event) AS o WHERE e.log = o.log AND e.lsn = o.lsn AND o.nth > @keep`

func forgetEvents(ctx context.Context, tx pgx.Tx) error {
	count, err := postgres.Value[int](ctx, tx, countEventsSQL, pgx.NamedArgs{"limit": manyEvents})
	if err != nil {
		return fmt.Errorf("count births: %w", err)
	}
	keep := keptEvents
	if count == manyEvents {
		keep = fewEvents
	}
	if _, err := postgres.Run(ctx, tx, forgetEventsSQL, pgx.NamedArgs{"keep": keep}); err != nil {
		return fmt.Errorf("forget old births: %w", err)
	}
	return nil
}

const beginningsSQL = `SELECT source, max(lsn) AS lsn FROM sparkplug_event WHERE log = @log AND group_id = '' AND edge_node = '' AND lsn <= @at GROUP BY source`

func (s *Stage) loadBeginnings(ctx context.Context, tx pgx.Tx, v *sparkplugView) error {
	type row struct {
		Source string        `db:"source"`
		LSN    intakelog.LSN `db:"lsn"`
	}
	rows, err := postgres.All[row](ctx, tx, beginningsSQL, pgx.NamedArgs{"log": s.records.ID(), "at": int64(v.at)}) //nolint:gosec // an LSN never reaches 2^63
	if err != nil {
		return fmt.Errorf("read when sources began: %w", err)
	}
	for _, r := range rows {
		v.anew[r.Source] = r.LSN
	}
	return nil
}

const nodeEventsSQL = `SELECT e.lsn, e.source, e.group_id, e.edge_node, e.device, e.type, e.received_at, e.payload
FROM unnest(@groups::text[], @nodes::text[]) AS n(group_id, edge_node)
CROSS JOIN LATERAL (SELECT coalesce(max(b.lsn), 0) AS lsn FROM sparkplug_event b
  WHERE b.log = @log AND b.group_id = n.group_id AND b.edge_node = n.edge_node AND b.type = 'NBIRTH' AND b.lsn <= @at) AS birth
JOIN sparkplug_event e ON e.log = @log AND e.group_id = n.group_id AND e.edge_node = n.edge_node AND e.lsn >= birth.lsn AND e.lsn <= @at
ORDER BY e.lsn`

// loadNodes makes the sessions of nodes as they were at the view's place.
func (s *Stage) loadNodes(ctx context.Context, tx pgx.Tx, v *sparkplugView, nodes []sparkplug.Node, into map[sparkplug.Node]*viewedNode) error {
	past := &sparkplugView{at: v.at, anew: v.anew, nodes: into}
	groups, ids := make([]string, len(nodes)), make([]string, len(nodes))
	for i, n := range nodes {
		groups[i], ids[i] = n.Group, n.ID
		into[n] = &viewedNode{}
	}
	events, err := postgres.All[sparkplugEvent](ctx, tx, nodeEventsSQL, pgx.NamedArgs{"log": s.records.ID(), "at": int64(v.at), "groups": groups, "nodes": ids}) //nolint:gosec // an LSN never reaches 2^63
	if err != nil {
		return fmt.Errorf("read births: %w", err)
	}
	for i := range events {
		p, _ := s.readPayload(events[i].Payload) // a fault was told when it came
		_ = formats.Contain(func() { past.apply(&events[i], p) })
	}
	return nil
}

const sessionThenSQL = `WITH birth AS (
  SELECT coalesce((SELECT max(b.lsn) FROM sparkplug_event b WHERE b.log = @log AND b.group_id = @group AND b.edge_node = @node AND b.type = 'NBIRTH' AND b.lsn < @below AND b.received_at <= @received),
    (SELECT min(b.lsn) FROM sparkplug_event b WHERE b.log = @log AND b.group_id = @group AND b.edge_node = @node AND b.type = 'NBIRTH' AND b.lsn < @below)) AS lsn),
ended AS (SELECT coalesce(min(b.lsn), @below) AS lsn FROM sparkplug_event b, birth
  WHERE b.log = @log AND b.group_id = @group AND b.edge_node = @node AND b.type = 'NBIRTH' AND b.lsn > birth.lsn AND b.lsn < @below)
SELECT e.lsn, e.source, e.group_id, e.edge_node, e.device, e.type, e.received_at, e.payload FROM sparkplug_event e, birth, ended
WHERE e.log = @log AND e.group_id = @group AND e.edge_node = @node AND e.type IN ('NBIRTH', 'DBIRTH') AND e.lsn >= birth.lsn AND e.lsn < ended.lsn ORDER BY e.lsn`

// sessionThen is the session in which a replayed record fell when it came, else
// the first one after it: the birth that we asked for because of it.
func (s *Stage) sessionThen(ctx context.Context, id sparkplug.Node, r *intakelog.Record) (*sparkplug.Session, error) {
	then := &sparkplug.Session{}
	err := s.insist(ctx, "births of edge nodes cannot be read, trying again", func() error {
		var events []sparkplugEvent
		err := postgres.As(ctx, s.pool, identity.Program("intake"), func(tx pgx.Tx) (err error) {
			events, err = postgres.All[sparkplugEvent](ctx, tx, sessionThenSQL, pgx.NamedArgs{"log": s.records.ID(), "group": id.Group, "node": id.ID,
				"below": int64(r.LSN), "received": r.Received}) //nolint:gosec // an LSN never reaches 2^63
			return err
		})
		if err != nil {
			return fmt.Errorf("read the births of %s: %w", id, err)
		}
		then.Forget()
		for i := range events {
			p, _ := s.readPayload(events[i].Payload)
			if formats.Contain(func() { then.Apply(events[i].topic(), p) }) != nil {
				then.Forget()
			}
		}
		return nil
	})
	return then, err
}
