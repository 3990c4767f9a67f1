package telemetry

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/sparkplug"
)

const (
	maxViews     = 4      // places of the log for which sessions are kept in memory
	maxViewNodes = 20_000 // edge nodes of one view

	maxViewMetrics = 250_000 // that the births of one view define; one edge node more is looked at beyond it
	sparkplugB     = "sparkplug-b"
)

// What a message of Sparkplug means depends on the births before it. A view knows
// the sessions of edge nodes as of one place of the log; it moves along with the
// reader that decodes there, and reads sessions that it does not have from the
// births that are kept in the database. So every reader at every place sees the same.
type sparkplugView struct {
	at     intakelog.LSN
	anew   map[string]intakelog.LSN // by source: where it was listened to anew last
	nodes  map[sparkplug.Node]*viewedNode
	size   int  // metrics that their births define
	atOnce int  // nodes that are asked for together
	loaded bool // anew is
}

type viewedNode struct {
	session sparkplug.Session
	source  string        // of its newest birth
	used    intakelog.LSN // its newest record
	heard   intakelog.LSN // the one that the database knows of
}

// view takes the view at a place out of the stage, an empty one where there is none.
func (s *Stage) view(at intakelog.LSN) *sparkplugView {
	for i, v := range s.views {
		if v.at == at {
			s.views = append(s.views[:i], s.views[i+1:]...)
			return v
		}
	}
	return &sparkplugView{at: at, anew: map[string]intakelog.LSN{}, nodes: map[sparkplug.Node]*viewedNode{}, atOnce: nodesAtOnce / 4}
}

// keepView gives a view back that has moved to a place.
func (s *Stage) keepView(v *sparkplugView, at intakelog.LSN) {
	v.at = at
	if len(s.views) == maxViews {
		s.views = append(s.views[:0], s.views[1:]...)
	}
	s.views = append(s.views, v)
}

// node returns what is known of a node; it was loaded before.
func (v *sparkplugView) node(id sparkplug.Node) *viewedNode {
	n := v.nodes[id]
	if n == nil {
		n = &viewedNode{}
		v.nodes[id] = n
	}
	return n
}

// begin forgets the sessions of a source that is listened to anew.
func (v *sparkplugView) begin(source string, at intakelog.LSN) {
	v.anew[source] = at
	for _, n := range v.nodes {
		if n.source == source {
			v.forget(n)
		}
	}
}

func (v *sparkplugView) forget(n *viewedNode) {
	v.size -= n.session.Size()
	n.session.Forget()
}

func (v *sparkplugView) drop(id sparkplug.Node) {
	if n := v.nodes[id]; n != nil {
		v.size -= n.session.Size()
		delete(v.nodes, id)
	}
}

// shrink drops the nodes that were heard longest ago until what is left fits with
// some room; they come back when they speak.
func (v *sparkplugView) shrink() {
	if len(v.nodes)+nodesAtOnce <= maxViewNodes && v.size <= maxViewMetrics {
		return
	}
	ids := slices.SortedFunc(maps.Keys(v.nodes), func(a, b sparkplug.Node) int { return cmp.Compare(v.nodes[a].used, v.nodes[b].used) })
	for _, id := range ids {
		if len(v.nodes) <= maxViewNodes*3/4 && v.size <= maxViewMetrics*3/4 {
			return
		}
		v.drop(id)
	}
}

// apply moves a node on by an event. Of a source that was listened to anew after
// it, an event says nothing any more.
func (v *sparkplugView) apply(e *sparkplugEvent, p *sparkplug.Payload) (c sparkplug.Change) {
	n := v.node(e.topic().Node)
	if e.Type == refusedEvent {
		v.forget(n)
		return c
	}
	if e.LSN < v.anew[e.Source] {
		return c
	}
	if t := e.topic().Type; t == sparkplug.NBirth || t == sparkplug.DBirth {
		n.source = e.Source
	}
	before, applied := n.session.Size(), false
	defer func() {
		if !applied { // it panics: what is left is no session, wherever it is made of its births
			n.session.Forget()
		}
		v.size += n.session.Size() - before
	}()
	c = n.session.Apply(e.topic(), p)
	applied = true
	return c
}

// readPayload decodes a payload; one that makes the decoder panic is refused.
func (s *Stage) readPayload(b []byte) (p *sparkplug.Payload, refused *formats.Fault) {
	crash := formats.Contain(func() {
		var fault *sparkplug.Fault
		if p, fault = s.decoders.Sparkplug(b); fault != nil {
			refused = asFormatFault(fault)
		}
	})
	if crash != nil {
		return nil, crash
	}
	return p, refused
}

// isSparkplug says whether a record is one that the sessions are about.
func isSparkplug(r *intakelog.Record) bool {
	return r.Kind == intakelog.Session || r.Kind == intakelog.Message && strings.HasPrefix(r.Topic, sparkplug.Namespace)
}

// readySparkplug keeps the births and deaths of a batch before it is decoded, and
// notes which of them are not kept.
func (s *Stage) readySparkplug(ctx context.Context, d *decoding) error {
	var events []sparkplugEvent
	some := false
	for i := range d.records {
		r := &d.records[i]
		if !isSparkplug(r) || d.parts[i].whole != nil {
			continue
		}
		d.contain(i, func() {
			if e, ok := eventOf(r); ok {
				events = append(events, e)
			}
			if t, _, fault := sparkplug.ParseTopic(r.Topic); r.Kind == intakelog.Message && fault == nil && t.ID != "" {
				d.parts[i].spoke, some = &t.Node, true
			}
		})
	}
	if len(events) == 0 && !some {
		return nil
	}
	heard := d.unsaidNodes()
	if len(events)+len(heard) == 0 {
		return nil
	}
	err := s.insist(ctx, "births of edge nodes cannot be kept, trying again", func() (err error) {
		d.unkept, err = s.keepEvents(ctx, d, events, heard)
		return err
	})
	if err == nil {
		for _, id := range heard {
			if n := d.view.nodes[id]; n != nil {
				n.heard = d.To
			}
		}
	}
	return err
}

// readyNode loads the session of the node of record i, as it is before the record,
// and those of the next nodes of the batch that are not in the view.
func (s *Stage) readyNode(ctx context.Context, d *decoding, i int) error {
	id := d.parts[i].spoke
	if id == nil {
		return nil
	}
	if n := d.view.nodes[*id]; n != nil {
		n.used = d.records[i].LSN
		return nil
	}
	d.view.shrink()
	var nodes []sparkplug.Node
	asked := map[sparkplug.Node]bool{}
	for k := i; k < len(d.records) && len(nodes) < max(d.view.atOnce, 1); k++ {
		next := d.parts[k].spoke
		if next == nil || asked[*next] || d.view.nodes[*next] != nil {
			continue
		}
		asked[*next] = true
		if e, ok := eventOf(&d.records[k]); ok && e.Type == string(sparkplug.NBirth) && !d.unkept.has(e.LSN) {
			if k == i {
				break
			}
			continue // whatever was before it does not count any more
		}
		nodes = append(nodes, *next)
	}
	if len(nodes) == 0 {
		n := d.view.node(*id)
		n.used, n.heard = d.records[i].LSN, d.To
		return nil
	}
	at := d.records[i].LSN - 1
	return s.insist(ctx, "births of edge nodes cannot be read, trying again", func() error {
		return postgres.As(ctx, s.pool, identity.Program("intake"), func(tx pgx.Tx) error {
			if !d.view.loaded {
				if err := s.loadBeginnings(ctx, tx, d.view, at); err != nil {
					return err
				}
			}
			fresh, err := s.loadNodes(ctx, tx, d.view, at, nodes, maxViewMetrics-d.view.size)
			if err != nil {
				return err
			}
			for id, n := range fresh {
				n.used, n.heard = d.records[i].LSN, d.To
				d.view.nodes[id] = n
				d.view.size += n.session.Size()
			}
			d.view.loaded = true
			if d.view.atOnce = min(2*len(fresh), nodesAtOnce); len(fresh) < len(nodes) { // as many as there was room for
				d.view.atOnce = len(fresh)
			}
			return nil
		})
	})
}

// readSparkplug decodes a message in the light of the births before it.
func (s *Stage) readSparkplug(ctx context.Context, d *decoding, r *intakelog.Record, p *decodedRecord) error {
	p.decoder = sparkplugB
	t, _, fault := sparkplug.ParseTopic(r.Topic)
	if fault != nil {
		p.whole = asFormatFault(fault)
		return nil
	}
	if t.Type == sparkplug.State || t.Type.Command() {
		return nil // said to machines, and by none
	}
	payload, refused := s.readPayload(r.Payload)
	if refused != nil {
		p.whole, payload = refused, nil
	}
	if d.unkept.has(r.LSN) {
		d.view.forget(d.view.node(t.Node))
		p.whole = &formats.Fault{Reason: formats.Unkept, Detail: "too many births of edge nodes are kept already: this one is not, and its node means nothing until a birth of it is"}
		return nil
	}
	session := &d.view.node(t.Node).session
	var change sparkplug.Change
	if e, ok := eventOf(r); ok {
		change = d.view.apply(&e, payload)
	} else if r.Replayed() {
		then, err := s.sessionThen(ctx, t.Node, r)
		if err != nil {
			return err
		}
		session = then
	}
	switch {
	case payload == nil:
	case change.Refused != nil:
		p.whole = asFormatFault(change.Refused)
	default:
		m := sparkplugMessage{topic: t, received: r.Received.Truncate(time.Microsecond).UTC(), out: &s.out, payload: payload, first: len(s.out.Faults)}
		m.presences(change)
		for i := range change.Faults {
			m.refuse(asFormatFault(&change.Faults[i]))
		}
		if t.Type != sparkplug.NDeath && t.Type != sparkplug.DDeath {
			m.read(session)
		}
		m.more()
		p.node = t.Node.String()
		if p.also = p.node; t.Device != "" {
			p.also += "/" + t.Device
		}
	}
	return nil
}

// sparkplugMessage puts what one message says into the stage's common form.
type sparkplugMessage struct {
	topic    sparkplug.Topic
	received time.Time
	payload  *sparkplug.Payload
	out      *formats.Decoded
	first    int // faults before the message
	refused  int
}

// machine is the name of the machine that a message is about: the device, else
// the edge node.
func machineOf(t sparkplug.Topic) string {
	if t.Device != "" {
		return t.Device
	}
	return t.ID
}

func (m *sparkplugMessage) refuse(f *formats.Fault) {
	if m.refused++; m.refused <= formats.MaxFaults {
		m.out.Faults = append(m.out.Faults, *f)
	}
}

func (m *sparkplugMessage) more() {
	if m.refused > formats.MaxFaults {
		m.out.Faults[len(m.out.Faults)-1].AndMore(m.refused - formats.MaxFaults)
	}
}

// presences says who is online or offline now. A node's death is dated by our
// clock: the broker sends what was written when the connection began.
func (m *sparkplugMessage) presences(c sparkplug.Change) {
	at := m.received
	if m.payload.HasTimestamp && m.topic.Type != sparkplug.NDeath {
		if placed, _, fault := formats.PlaceTime(unixMilli(m.payload.Timestamp), m.received); fault == nil {
			at = placed
		}
	}
	node, told := m.topic.Node.String(), m.topic.Type == sparkplug.DDeath // a node's death is its last will, or looks like it
	for _, device := range c.Devices {
		m.out.Presences = append(m.out.Presences, formats.Presence{Machine: device, Also: node + "/" + device, Online: c.Online, At: at, IfKnown: true, Told: told})
	}
	if c.Node {
		m.out.Presences = append(m.out.Presences, formats.Presence{Machine: m.topic.ID, Also: node, Online: c.Online, At: at, IfKnown: true})
	}
}

// moment is what values of one reading have in common.
type moment struct {
	at         uint64
	timed      bool
	historical bool
}

func (m *sparkplugMessage) read(session *sparkplug.Session) {
	reading := session.Read(m.topic, m.payload)
	m.out.Attributes += reading.Attributes
	for i := range reading.Faults {
		m.refuse(asFormatFault(&reading.Faults[i]))
	}
	places := map[moment]int{} // in out.Readings; -1 where the time is refused
	for i := range reading.Points {
		p := &reading.Points[i]
		key := moment{p.At, p.HasTime, p.Historical}
		place, known := places[key]
		if !known {
			place = m.place(key)
			places[key] = place
		}
		if place >= 0 {
			r := &m.out.Readings[place]
			r.Values = append(r.Values, observation.Value{Signal: p.Signal, Value: p.Value, Quality: qualityOf(p.Quality)})
			if p.Unit != "" && r.Units == nil {
				r.Units = make([]string, len(r.Values)-1)
			}
			if r.Units != nil {
				r.Units = append(r.Units, p.Unit)
			}
		}
	}
}

// place begins the reading of an instant, -1 where its time cannot be one.
func (m *sparkplugMessage) place(key moment) int {
	r := formats.Reading{Machine: machineOf(m.topic), At: m.received, Flags: observation.NoTime}
	if key.timed {
		var fault *formats.Fault
		if r.At, r.Flags, fault = formats.PlaceTime(unixMilli(key.at), m.received); fault != nil {
			m.refuse(fault)
			return -1
		}
	}
	if key.historical {
		r.Flags |= observation.Historical
	}
	m.out.Readings = append(m.out.Readings, r)
	return len(m.out.Readings) - 1
}

// unixMilli is a time on the wire, which may be any number.
func unixMilli(ms uint64) time.Time {
	return time.UnixMilli(int64(min(ms, 1<<53))) //nolint:gosec // bounded
}

func qualityOf(q sparkplug.Quality) observation.Quality {
	switch q {
	case sparkplug.Stale:
		return observation.Stale
	case sparkplug.Bad:
		return observation.Implausible
	}
	return observation.Good
}

func asFormatFault(f *sparkplug.Fault) *formats.Fault {
	return &formats.Fault{Reason: f.Reason, Detail: f.Detail, Path: f.Path, Offset: f.Offset}
}
