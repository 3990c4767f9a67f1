package telemetry

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/sparkplug"
)

// birthLimits bound what is kept of births and deaths beside the log. An edge node
// that flaps each ten seconds for a day makes some 30,000 of them.
type birthLimits struct {
	nodeEvents, nodeBytes int64 // of one edge node
	nodes, events, bytes  int64 // of all

	every int           // events stored, between two times of forgetting
	heard intakelog.LSN // by how many records what the database knows of a node's newest record may be behind
}

func ownBirthLimits() birthLimits {
	return birthLimits{nodeEvents: 100_000, nodeBytes: 256 << 20, nodes: 50_000, events: 1_000_000, bytes: 4 << 30, every: 1_000, heard: 50_000}
}

// keptTotals is the row of sparkplug_kept.
type keptTotals struct {
	Decided intakelog.LSN `db:"decided_lsn"` // the events up to here were kept or refused
	Nodes   int64         `db:"nodes"`
	Events  int64         `db:"events"`
	Bytes   int64         `db:"bytes"`
	Refused int64         `db:"refused"`
}

// keptNode is a row of sparkplug_node.
type keptNode struct {
	Group    string `db:"group_id"`
	Node     string `db:"edge_node"`
	Events   int64  `db:"events"`
	Bytes    int64  `db:"bytes"`
	Refusing bool   `db:"refusing"` // its newest row says that nothing is known of it
}

// full says whether there is no room for another event.
func (l *birthLimits) full(t *keptTotals, n *keptNode, size int64) bool {
	return t.Events >= l.events || t.Bytes+size > l.bytes || n.Events == 0 && t.Nodes >= l.nodes ||
		n.Events >= l.nodeEvents || n.Bytes+size > l.nodeBytes
}

// crowded says that little room is left, so that what is kept for replays only has
// to go.
func (l *birthLimits) crowded(t *keptTotals) bool {
	return t.Events > l.events/5*4 || t.Bytes > l.bytes/5*4 || t.Nodes > l.nodes/10*9
}

// decide says whether an event is kept, and which row that leaves; nil for none.
// One that is refused ends what was known of its node, so that its aliases are
// never read by an older birth.
func (l *birthLimits) decide(t *keptTotals, n *keptNode, e *sparkplugEvent) (row *sparkplugEvent, kept bool) {
	size := int64(len(e.Payload)) + eventOverhead
	switch {
	case e.Type == sessionEvent: // ours, and few
	case n.Refusing && e.Type != string(sparkplug.NBirth):
		t.Refused++
		return nil, false
	case l.full(t, n, size):
		t.Refused++
		if n.Events == 0 || n.Refusing {
			return nil, false
		}
		end := *e
		end.Device, end.Type, end.Payload = "", refusedEvent, nil
		e, size, n.Refusing = &end, eventOverhead, true
	default:
		n.Refusing = false
	}
	if n.Events == 0 {
		t.Nodes++
	}
	n.Events++
	t.Events++
	n.Bytes += size
	t.Bytes += size
	return e, e.Type != refusedEvent
}

// keepEvents decides on the events of a batch, keeps them, and notes which nodes
// were heard. Whoever comes first to a record decides for all readers; those that
// come later find its decision. It returns the events that are not kept.
func (s *Stage) keepEvents(ctx context.Context, d *decoding, events []sparkplugEvent, heard []sparkplug.Node) (lsnSet, error) {
	var unkept lsnSet
	var came int // since old ones were forgotten
	var evicted []sparkplug.Node
	err := postgres.As(ctx, s.pool, identity.Program("intake"), func(tx pgx.Tx) error {
		unkept, came, evicted = lsnSet{}, s.eventsCame, nil
		if err := s.noteHeard(ctx, tx, d.To, heard); err != nil || len(events) == 0 {
			return err
		}
		totals, err := s.lockKept(ctx, tx)
		if err != nil {
			return err
		}
		known := 0 // events come in the order of the log
		for known < len(events) && events[known].LSN <= totals.Decided {
			known++
		}
		if err := s.decided(ctx, tx, events[:known], unkept); err != nil || known == len(events) {
			return err
		}
		if err := s.decideEvents(ctx, tx, &totals, events[known:], unkept); err != nil {
			return err
		}
		if came += len(events) - known; came >= s.births.every || came >= s.births.every/10 && s.births.crowded(&totals) {
			if evicted, err = s.forgetEvents(ctx, tx, &totals, d.To); err != nil {
				return err
			}
			came = 0
		}
		return s.saveKept(ctx, tx, &totals)
	})
	if err != nil {
		return nil, fmt.Errorf("keep births: %w", err)
	}
	s.eventsCame = came
	for _, id := range evicted { // nobody has heard them in all of the log
		d.view.drop(id)
		for _, v := range s.views {
			v.drop(id)
		}
	}
	return unkept, nil
}

const lockKeptSQL = `INSERT INTO sparkplug_kept (log, decided_lsn, nodes, events, bytes) VALUES (@log, 0, 0, 0, 0)
ON CONFLICT (log) DO UPDATE SET log = excluded.log RETURNING decided_lsn, nodes, events, bytes, refused`

// lockKept makes this the only reader that decides until the transaction ends.
func (s *Stage) lockKept(ctx context.Context, tx pgx.Tx) (keptTotals, error) {
	t, err := postgres.One[keptTotals](ctx, tx, lockKeptSQL, pgx.NamedArgs{"log": s.records.ID()})
	if err != nil {
		return t, fmt.Errorf("lock the births that are kept: %w", err)
	}
	return t, nil
}

const saveKeptSQL = `UPDATE sparkplug_kept SET decided_lsn = @decided, nodes = @nodes, events = @events, bytes = @bytes, refused = @refused WHERE log = @log`

func (s *Stage) saveKept(ctx context.Context, tx pgx.Tx, t *keptTotals) error {
	_, err := postgres.Run(ctx, tx, saveKeptSQL, pgx.NamedArgs{"log": s.records.ID(), "decided": int64(t.Decided), "nodes": t.Nodes, //nolint:gosec // an LSN never reaches 2^63
		"events": t.Events, "bytes": t.Bytes, "refused": t.Refused})
	if err != nil {
		return fmt.Errorf("save how much of births is kept: %w", err)
	}
	return nil
}

const decidedSQL = `SELECT lsn FROM sparkplug_event WHERE log = @log AND lsn = ANY (@lsns) AND type <> 'REFUSED'`

// decided finds out which events another reader has refused.
func (s *Stage) decided(ctx context.Context, tx pgx.Tx, events []sparkplugEvent, unkept lsnSet) error {
	if len(events) == 0 {
		return nil
	}
	lsns := make([]int64, len(events))
	for i := range events {
		lsns[i] = int64(events[i].LSN) //nolint:gosec // an LSN never reaches 2^63
		unkept[events[i].LSN] = struct{}{}
	}
	kept, err := postgres.Values[int64](ctx, tx, decidedSQL, pgx.NamedArgs{"log": s.records.ID(), "lsns": lsns})
	if err != nil {
		return fmt.Errorf("read which births are kept: %w", err)
	}
	for _, lsn := range kept {
		delete(unkept, intakelog.LSN(lsn)) //nolint:gosec // never negative
	}
	return nil
}

const keptNodesSQL = `SELECT s.group_id, s.edge_node, s.events, s.bytes, s.refusing FROM sparkplug_node s
JOIN unnest(@groups::text[], @nodes::text[]) AS n(group_id, edge_node) USING (group_id, edge_node) WHERE s.log = @log`

const saveNodesSQL = `INSERT INTO sparkplug_node (log, group_id, edge_node, events, bytes, refusing, heard_lsn)
SELECT @log, n.group_id, n.edge_node, n.events, n.bytes, n.refusing, @heard
FROM unnest(@groups::text[], @nodes::text[], @events::bigint[], @bytes::bigint[], @refusing::boolean[]) AS n(group_id, edge_node, events, bytes, refusing)
ON CONFLICT (log, group_id, edge_node) DO UPDATE SET events = excluded.events, bytes = excluded.bytes, refusing = excluded.refusing,
  heard_lsn = greatest(sparkplug_node.heard_lsn, excluded.heard_lsn)`

// decideEvents decides on events that nobody has come to before.
func (s *Stage) decideEvents(ctx context.Context, tx pgx.Tx, t *keptTotals, events []sparkplugEvent, unkept lsnSet) error {
	nodes := map[sparkplug.Node]*keptNode{}
	var groups, ids []string
	for i := range events {
		id := events[i].topic().Node
		if nodes[id] == nil {
			nodes[id] = &keptNode{Group: id.Group, Node: id.ID}
			groups, ids = append(groups, id.Group), append(ids, id.ID)
		}
	}
	rows, err := postgres.All[keptNode](ctx, tx, keptNodesSQL, pgx.NamedArgs{"log": s.records.ID(), "groups": groups, "nodes": ids})
	if err != nil {
		return fmt.Errorf("read how much of nodes is kept: %w", err)
	}
	for i := range rows {
		nodes[sparkplug.Node{Group: rows[i].Group, ID: rows[i].Node}] = &rows[i]
	}
	var keep []*sparkplugEvent
	for i := range events {
		row, kept := s.births.decide(t, nodes[events[i].topic().Node], &events[i])
		if row != nil {
			keep = append(keep, row)
		}
		if !kept {
			unkept[events[i].LSN] = struct{}{}
		}
	}
	if err := s.storeEvents(ctx, tx, keep, unkept); err != nil {
		return err
	}
	t.Decided = events[len(events)-1].LSN
	return s.saveNodes(ctx, tx, nodes, t.Decided)
}

func (s *Stage) saveNodes(ctx context.Context, tx pgx.Tx, nodes map[sparkplug.Node]*keptNode, heard intakelog.LSN) error {
	var c struct {
		groups, ids   []string
		events, bytes []int64
		refusing      []bool
	}
	for _, n := range nodes {
		if n.Events > 0 {
			c.groups, c.ids, c.events, c.bytes, c.refusing = append(c.groups, n.Group), append(c.ids, n.Node), append(c.events, n.Events), append(c.bytes, n.Bytes), append(c.refusing, n.Refusing)
		}
	}
	_, err := postgres.Run(ctx, tx, saveNodesSQL, pgx.NamedArgs{"log": s.records.ID(), "groups": c.groups, "nodes": c.ids, "events": c.events, "bytes": c.bytes,
		"refusing": c.refusing, "heard": int64(heard)}) //nolint:gosec // an LSN never reaches 2^63
	if err != nil {
		return fmt.Errorf("save how much of nodes is kept: %w", err)
	}
	return nil
}

const storeEventsSQL = `INSERT INTO sparkplug_event (log, lsn, source, group_id, edge_node, device, type, received_at, payload)
SELECT @log, e.lsn, e.source, e.group_id, e.edge_node, e.device, e.type, e.received_at, e.payload
FROM unnest(@lsns::bigint[], @sources::text[], @groups::text[], @nodes::text[], @devices::text[], @types::text[], @received::timestamptz[], @payloads::bytea[])
  AS e(lsn, source, group_id, edge_node, device, type, received_at, payload)
ON CONFLICT (log, lsn) DO NOTHING`

// storeEvents writes rows; one that the database does not take is not kept.
func (s *Stage) storeEvents(ctx context.Context, tx pgx.Tx, events []*sparkplugEvent, unkept lsnSet) error {
	store := func(part []*sparkplugEvent) error {
		var lsns []int64
		var sources, groups, nodes, devices, types []string
		var received []time.Time
		var payloads [][]byte
		for _, e := range part {
			lsns, received = append(lsns, int64(e.LSN)), append(received, e.Received) //nolint:gosec // an LSN never reaches 2^63
			sources, groups, nodes = append(sources, e.Source), append(groups, e.Group), append(nodes, e.Node)
			devices, types, payloads = append(devices, e.Device), append(types, e.Type), append(payloads, append([]byte{}, e.Payload...))
		}
		return postgres.Attempt(ctx, tx, func(tx pgx.Tx) error {
			_, err := postgres.Run(ctx, tx, storeEventsSQL, pgx.NamedArgs{"log": s.records.ID(), "lsns": lsns, "sources": sources, "groups": groups,
				"nodes": nodes, "devices": devices, "types": types, "received": received, "payloads": payloads})
			if err != nil {
				return fmt.Errorf("store %d births and deaths: %w", len(part), err)
			}
			return nil
		})
	}
	return postgres.Isolate(events, store, func(e *sparkplugEvent, why error) error {
		s.log.Error("the database refuses a birth or death of an edge node", "lsn", e.LSN, "node", e.topic().Node.String(), "error", why)
		unkept[e.LSN] = struct{}{}
		end := *e
		end.Device, end.Type, end.Payload = "", refusedEvent, nil
		if err := store([]*sparkplugEvent{&end}); !postgres.Refused(err) {
			return err
		}
		return nil // nothing of its node is kept under such a name
	})
}

// unsaidNodes are the nodes of a batch whose newest record the database has not
// been told for long.
func (d *decoding) unsaidNodes() (list []sparkplug.Node) {
	said := map[sparkplug.Node]bool{}
	for i := range d.parts {
		id := d.parts[i].spoke
		if id == nil || said[*id] {
			continue
		}
		said[*id] = true
		if n := d.view.nodes[*id]; n == nil || n.heard+d.stage.births.heard <= d.To {
			list = append(list, *id)
		}
	}
	return list
}

const noteHeardSQL = `UPDATE sparkplug_node s SET heard_lsn = @heard FROM unnest(@groups::text[], @nodes::text[]) AS n(group_id, edge_node)
WHERE s.log = @log AND s.group_id = n.group_id AND s.edge_node = n.edge_node AND s.heard_lsn < @heard`

// noteHeard notes that nodes speak: their sessions are kept for longer than those
// of nodes that say nothing.
func (s *Stage) noteHeard(ctx context.Context, tx pgx.Tx, at intakelog.LSN, nodes []sparkplug.Node) error {
	if len(nodes) == 0 {
		return nil
	}
	groups, ids := make([]string, len(nodes)), make([]string, len(nodes))
	for i, n := range nodes {
		groups[i], ids[i] = n.Group, n.ID
	}
	if _, err := postgres.Run(ctx, tx, noteHeardSQL, pgx.NamedArgs{"log": s.records.ID(), "groups": groups, "nodes": ids, "heard": int64(at)}); err != nil { //nolint:gosec // an LSN never reaches 2^63
		return fmt.Errorf("note that %d edge nodes speak: %w", len(nodes), err)
	}
	return nil
}
