package intake

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

const (
	relayQueue = 4_096    // messages between the log and the relay
	relayBytes = 32 << 20 // of them
	boxesBytes = 64 << 20 // of what waits in all mailboxes
	willsEvery = 250 * time.Millisecond

	userPropertyBytes = 32 // of one, beside its texts
)

// message is one that is passed on to subscribers.
type message struct {
	topic   string
	payload []byte
	qos     byte
	retain  bool
	origin  string // session id of who has published it
	device  string // his key; "" = he has none
	props   packets.Properties
	expires time.Time // zero = never
}

// take keeps those properties that a subscriber must see as they were sent.
func (m *message) take(p *packets.Properties, now time.Time) {
	m.props = packets.Properties{
		PayloadFormat: p.PayloadFormat, PayloadFormatFlag: p.PayloadFormatFlag, ContentType: p.ContentType,
		ResponseTopic: p.ResponseTopic, CorrelationData: p.CorrelationData, User: p.User,
	}
	if p.MessageExpiryInterval > 0 {
		m.expires = now.Add(time.Duration(p.MessageExpiryInterval) * time.Second)
	}
}

// size is what a message takes in memory, about: a sender may put more into its
// properties than into its payload.
func (m *message) size() int64 {
	p := &m.props
	n := len(m.topic) + len(m.payload) + len(p.ContentType) + len(p.ResponseTopic) + len(p.CorrelationData)
	for i := range p.User {
		n += len(p.User[i].Key) + len(p.User[i].Val) + userPropertyBytes
	}
	return int64(n)
}

// relay passes messages on to who has subscribed to them, in the order of the
// log. It never makes anybody wait: what a subscriber is too slow for is dropped
// and counted, and every queue has a bound.
type relay struct {
	broker   *Embedded
	queue    chan relayed
	stop     chan struct{}
	waiting  atomic.Int64 // bytes in queue
	boxed    atomic.Int64 // bytes in mailboxes
	audience atomic.Int64 // mailboxes
	kept     atomic.Int64 // retained messages
	retained retained     // of run alone
	turn     int          // of run alone, for shared subscriptions

	mu    sync.Mutex
	boxes map[string]*mailbox // by session id
	wills map[string]delayedWill
}

// relayed is a message, or a subscriber who is new.
type relayed struct {
	message *message
	box     *mailbox
	granted packets.Subscriptions
}

type delayedWill struct {
	session *session
	record  intakelog.Record
	due     time.Time
}

func newRelay(e *Embedded) *relay {
	return &relay{broker: e, queue: make(chan relayed, relayQueue), stop: make(chan struct{}),
		boxes: map[string]*mailbox{}, wills: map[string]delayedWill{}, retained: retained{messages: map[string]*message{}}}
}

func (r *relay) end() { close(r.stop) }

// run passes on until end.
func (r *relay) run() {
	tick := time.NewTicker(willsEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-tick.C:
			r.sendWills(time.Now())
		case next := <-r.queue:
			if next.message == nil {
				r.giveRetained(next.box, next.granted)
				continue
			}
			r.waiting.Add(-next.message.size())
			r.pass(next.message)
		}
	}
}

func (r *relay) hasAudience() bool { return r.audience.Load() > 0 }

// after is for Log.Append: it offers a message when it is durable.
func (r *relay) after(m *message) func(intakelog.LSN, error) {
	if m == nil {
		return nil
	}
	return func(_ intakelog.LSN, err error) {
		if err == nil {
			r.offer(m)
		}
	}
}

// offer queues a message; it is dropped when the relay is behind. nil is none.
func (r *relay) offer(m *message) {
	if m == nil {
		return
	}
	if r.waiting.Add(m.size()) <= relayBytes {
		select {
		case r.queue <- relayed{message: m}:
			return
		default:
		}
	}
	r.waiting.Add(-m.size())
	r.broker.counts.drop(dropRelay)
}

// welcome has a subscriber given the retained messages. Unlike a message it may
// wait: it is the subscriber himself who does.
func (r *relay) welcome(c *connection, granted packets.Subscriptions) {
	if box := c.box.Load(); box != nil {
		select {
		case r.queue <- relayed{box: box, granted: granted}:
		case <-c.life.Done():
		case <-r.stop:
		}
	}
}

// pass gives a message to each of its subscribers.
func (r *relay) pass(m *message) {
	if m.retain && !r.retained.keep(m) {
		r.broker.counts.drop(dropRetain)
	}
	r.kept.Store(int64(len(r.retained.messages)))
	found := r.broker.server.Topics.Subscribers(m.topic)
	for id, sub := range found.Subscriptions {
		if !sub.NoLocal || id != m.origin {
			r.give(r.box(id), m, &sub, m.retain && sub.RetainAsPublished)
		}
	}
	for _, group := range found.Shared {
		if box, sub := r.choose(m, group); box != nil {
			r.give(box, m, &sub, false)
		}
	}
	if w := r.broker.watched.Load(); w != nil && m.topic == w.topic && m.origin != "" {
		w.heard(m.payload)
	}
}

// choose takes one of a group that shares a subscription: in turn those who are
// here and not behind, else any.
func (r *relay) choose(m *message, group map[string]packets.Subscription) (*mailbox, packets.Subscription) {
	ids := slices.Sorted(maps.Keys(group))
	r.turn++
	var spare *mailbox
	var its packets.Subscription
	for i := range ids {
		id := ids[(r.turn+i)%len(ids)]
		box := r.box(id)
		switch {
		case box == nil || !r.maySee(box, m):
		case box.keepsUp():
			return box, group[id]
		case spare == nil:
			spare, its = box, group[id]
		}
	}
	return spare, its
}

func (r *relay) give(box *mailbox, m *message, sub *packets.Subscription, retain bool) {
	if box == nil || !r.maySee(box, m) {
		return
	}
	d := delivery{message: m, qos: min(m.qos, sub.Qos), retain: retain}
	for _, id := range sub.Identifiers {
		if id > 0 {
			d.subscriptions = append(d.subscriptions, id)
		}
	}
	if len(sub.Identifiers) == 0 && sub.Identifier > 0 {
		d.subscriptions = []int{sub.Identifier}
	}
	slices.Sort(d.subscriptions)
	if reason := box.deliver(&d); reason != "" {
		r.broker.counts.drop(reason)
		r.broker.warn("a message was not passed on to a subscriber", "reason", reason, "client", printable(box.id), "topic", printable(m.topic))
	}
}

// maySee looks at what the subscriber may do now, and not when he subscribed.
func (r *relay) maySee(box *mailbox, m *message) bool {
	g, known := r.broker.grantOf(box.session.Load())
	return known && mayReceive(g, m)
}

func (r *relay) giveRetained(box *mailbox, granted packets.Subscriptions) {
	now := time.Now()
	for i := range granted {
		sub := &granted[i]
		if isShared(sub.Filter) || sub.RetainHandling > 1 {
			continue
		}
		for _, m := range r.retained.matching(sub.Filter, now) {
			r.give(box, m, sub, true)
		}
	}
	r.kept.Store(int64(len(r.retained.messages)))
}

func (r *relay) box(id string) *mailbox {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.boxes[id]
}

// open makes the mailbox of a client that has subscribed.
func (r *relay) open(c *connection, s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	box := r.boxes[s.id]
	if box == nil {
		box = newMailbox(r, s)
		r.boxes[s.id] = box
		r.audience.Store(int64(len(r.boxes)))
	}
	if c.box.CompareAndSwap(nil, box) {
		box.attach(c, s)
	}
}

// comeBack gives the mailbox of a session to the connection that goes on with it,
// and takes back a last will that has not been sent yet.
func (r *relay) comeBack(c *connection, s *session) {
	r.mu.Lock()
	delete(r.wills, s.id)
	box := r.boxes[s.id]
	r.mu.Unlock()
	if box != nil && c.box.CompareAndSwap(nil, box) {
		box.attach(c, s)
	}
}

// goAway keeps the mailbox for a client that may come back.
func (r *relay) goAway(c *connection, s *session, expire bool) {
	if expire {
		r.drop(s.id)
	} else if box := c.box.Load(); box != nil {
		box.detach(c)
	}
}

// drop forgets what is meant for a session.
func (r *relay) drop(id string) {
	r.mu.Lock()
	box := r.boxes[id]
	delete(r.boxes, id)
	r.audience.Store(int64(len(r.boxes)))
	r.mu.Unlock()
	if box != nil {
		box.empty()
	}
}

// delay keeps a last will until it is due.
func (r *relay) delay(s *session, record intakelog.Record, due time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.wills) < r.broker.pace.Connections {
		r.wills[s.id] = delayedWill{s, record, due}
	}
}

func (r *relay) sendWills(now time.Time) {
	var due []delayedWill
	r.mu.Lock()
	for id, w := range r.wills {
		if !now.Before(w.due) {
			due = append(due, w)
			delete(r.wills, id)
		}
	}
	r.mu.Unlock()
	for _, w := range due {
		if !r.broker.stopping.Load() {
			r.broker.publishWill(w.session, w.record)
		}
	}
}
