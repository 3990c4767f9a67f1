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

const (
	nodesAtOnce   = 200 // edge nodes whose sessions are asked for together, at most
	sessionEvent  = "SESSION"
	refusedEvent  = "REFUSED" // ends what is known of a node: its births are not kept
	eventOverhead = 128       // bytes of a row beside its payload, about
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

const beginningsSQL = `SELECT source, max(lsn) AS lsn FROM sparkplug_event WHERE log = @log AND group_id = '' AND edge_node = '' AND lsn <= @at GROUP BY source`

// loadBeginnings reads when sources were listened to anew last, up to a place.
func (s *Stage) loadBeginnings(ctx context.Context, tx pgx.Tx, v *sparkplugView, at intakelog.LSN) error {
	type row struct {
		Source string        `db:"source"`
		LSN    intakelog.LSN `db:"lsn"`
	}
	rows, err := postgres.All[row](ctx, tx, beginningsSQL, pgx.NamedArgs{"log": s.records.ID(), "at": int64(at)}) //nolint:gosec // an LSN never reaches 2^63
	if err != nil {
		return fmt.Errorf("read when sources began: %w", err)
	}
	for _, r := range rows {
		v.anew[r.Source] = max(v.anew[r.Source], r.LSN)
	}
	return nil
}

// What is retired at or before a place says nothing of the records after it. OFFSET
// keeps the planner from reading the events of all nodes.
const nodeEventsSQL = `SELECT n.nth, e.lsn, e.source, e.group_id, e.edge_node, e.device, e.type, e.received_at, e.payload
FROM unnest(@groups::text[], @nodes::text[]) WITH ORDINALITY AS n(group_id, edge_node, nth)
CROSS JOIN LATERAL (SELECT coalesce(max(b.lsn), 0) AS lsn FROM sparkplug_event b
  WHERE b.log = @log AND b.group_id = n.group_id AND b.edge_node = n.edge_node AND b.type = 'NBIRTH' AND b.lsn <= @at AND (b.retired_lsn IS NULL OR b.retired_lsn > @at)) AS birth
CROSS JOIN LATERAL (SELECT s.lsn, s.source, s.group_id, s.edge_node, s.device, s.type, s.received_at, s.payload FROM sparkplug_event s
  WHERE s.log = @log AND s.group_id = n.group_id AND s.edge_node = n.edge_node AND s.lsn >= birth.lsn AND s.lsn <= @at
    AND (s.retired_lsn IS NULL OR s.retired_lsn > @at) ORDER BY s.lsn OFFSET 0) AS e
ORDER BY n.nth, e.lsn`

// loadNodes makes the sessions of nodes as they were at a place, one after the
// other and from one event at a time, until they define more metrics than there is
// room for; the first is made in any case. What is left is not in the answer.
func (s *Stage) loadNodes(ctx context.Context, tx pgx.Tx, v *sparkplugView, at intakelog.LSN, nodes []sparkplug.Node, room int) (map[sparkplug.Node]*viewedNode, error) {
	past := &sparkplugView{anew: v.anew, nodes: map[sparkplug.Node]*viewedNode{}}
	groups, ids := make([]string, len(nodes)), make([]string, len(nodes))
	for i, n := range nodes {
		groups[i], ids[i] = n.Group, n.ID
	}
	rows, err := tx.Query(ctx, nodeEventsSQL, pgx.NamedArgs{"log": s.records.ID(), "at": int64(at), "groups": groups, "nodes": ids}) //nolint:gosec // an LSN never reaches 2^63
	if err != nil {
		return nil, fmt.Errorf("read births: %w", err)
	}
	defer rows.Close()
	begun := -1 // of nodes, the one whose events are read
	for rows.Next() {
		var e sparkplugEvent
		nth := 0
		if err := rows.Scan(&nth, &e.LSN, &e.Source, &e.Group, &e.Node, &e.Device, &e.Type, &e.Received, &e.Payload); err != nil {
			return nil, fmt.Errorf("read a birth: %w", err)
		}
		if nth-1 > begun {
			if begun >= 0 && past.size > room {
				return past.nodes, nil // whole as far as they are there
			}
			for begun++; begun < nth-1; begun++ {
				past.node(nodes[begun]) // of which nothing is kept
			}
		}
		p, _ := s.readPayload(e.Payload) // a fault was told when it came
		_ = formats.Contain(func() { past.apply(&e, p) })
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read births: %w", err)
	}
	for _, n := range nodes[begun+1:] {
		past.node(n)
	}
	return past.nodes, nil
}

const sessionThenSQL = `WITH birth AS (
  SELECT coalesce((SELECT max(b.lsn) FROM sparkplug_event b WHERE b.log = @log AND b.group_id = @group AND b.edge_node = @node AND b.type = 'NBIRTH' AND b.lsn < @below AND b.received_at <= @received AND (b.retired_lsn IS NULL OR b.retired_lsn >= @below)),
    (SELECT min(b.lsn) FROM sparkplug_event b WHERE b.log = @log AND b.group_id = @group AND b.edge_node = @node AND b.type = 'NBIRTH' AND b.lsn < @below AND (b.retired_lsn IS NULL OR b.retired_lsn >= @below))) AS lsn),
ended AS (SELECT coalesce(min(b.lsn), @below) AS lsn FROM sparkplug_event b, birth
  WHERE b.log = @log AND b.group_id = @group AND b.edge_node = @node AND b.type = 'NBIRTH' AND b.lsn > birth.lsn AND b.lsn < @below AND (b.retired_lsn IS NULL OR b.retired_lsn >= @below))
SELECT e.lsn, e.source, e.group_id, e.edge_node, e.device, e.type, e.received_at, e.payload FROM sparkplug_event e, birth, ended
WHERE e.log = @log AND e.group_id = @group AND e.edge_node = @node AND e.type IN ('NBIRTH', 'DBIRTH') AND e.lsn >= birth.lsn AND e.lsn < ended.lsn
  AND (e.retired_lsn IS NULL OR e.retired_lsn >= @below) ORDER BY e.lsn`

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
