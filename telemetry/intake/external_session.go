package intake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

const (
	offerAgain   = 250 * time.Millisecond // to a log that takes nothing
	tooLargeKept = 64 << 10               // bytes of a message that is too large for the log
	tooLargeMark = "$too-large/"          // before its topic, so that nobody decodes a part as the whole

	messageOverhead = 200 // bytes that the library keeps a message in, about
)

// externalSession carries the messages of one client of the library: received
// to the log, and acknowledged in its order. Neither the library's goroutine, on
// which its keepalive depends, nor the log's committer may wait: each has a queue.
type externalSession struct {
	x       *External
	client  mqtt.Client
	inbox   *queue // received, not yet appended
	outbox  *queue // durable, not yet acknowledged
	unacked atomic.Int64
	heard   atomic.Int64 // messages received
	link    atomic.Int64 // which connection this is
	granted atomic.Int64 // the last connection whose subscription was granted
	broken  chan error
	running sync.WaitGroup
	end     context.CancelFunc
}

func newExternalSession(x *External) *externalSession {
	return &externalSession{x: x, broken: make(chan error, 1), inbox: newQueue(), outbox: newQueue()}
}

func (s *externalSession) start(ctx context.Context) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	s.end = end
	s.running.Go(func() { s.feed(life) })
	s.running.Go(func() { s.acknowledge(life) })
}

// stop lets go what was received and not appended, which the broker sends again,
// and gives the log a moment to acknowledge the rest.
func (s *externalSession) stop() {
	s.inbox.shut()
	deadline := time.After(lastAcks)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for s.unacked.Load() > 0 {
		select {
		case <-tick.C:
			continue
		case <-deadline:
		}
		break
	}
	s.end()
}

func (s *externalSession) fail(err error) {
	select {
	case s.broken <- err:
	default:
	}
}

// subscribed says whether the broker sends us what we have asked for.
func (s *externalSession) subscribed() bool {
	link := s.link.Load()
	return link > 0 && s.granted.Load() == link && s.client.IsConnectionOpen() && !s.inbox.isShut()
}

// filters are the topics as they are asked for.
func (x *External) filters() map[string]byte {
	filters := map[string]byte{}
	for _, topic := range x.Topics {
		if x.Share != "" {
			topic = "$share/" + x.Share + "/" + topic
		}
		filters[topic] = 1
	}
	return filters
}

// subscribe asks for the topics after each connect, also in a resumed session:
// the broker may have forgotten it.
func (s *externalSession) subscribe(client mqtt.Client) {
	link := s.link.Add(1)
	filters := s.x.filters()
	token, ok := client.SubscribeMultiple(filters, nil).(*mqtt.SubscribeToken)
	if !ok || !s.answered(token) {
		s.fail(errors.New("the broker did not answer the subscription"))
		return
	}
	if s.link.Load() != link || !client.IsConnectionOpen() {
		return // the connection is over, and the next one subscribes again
	}
	if err := token.Error(); err != nil {
		s.fail(fmt.Errorf("subscribe: %w", err))
		return
	}
	if err := s.check(filters, token.Result()); err != nil {
		s.fail(err)
		return
	}
	s.granted.Store(link)
	if !s.subscribed() {
		return
	}
	s.x.trouble.Store(nil)
	s.x.Logger.Info("reading the broker", "broker", s.x.broker.Redacted(), "client", s.x.ClientID, "topics", s.x.Topics)
	s.watchDrops(client)
}

// answered waits for the broker's answer, which in a resumed session stands
// behind all that it has kept: as long as messages come, it is on its way.
func (s *externalSession) answered(token *mqtt.SubscribeToken) bool {
	for heard := s.heard.Load(); !token.WaitTimeout(brokerWithin); {
		now := s.heard.Load()
		if now == heard {
			return false
		}
		heard = now
	}
	return true
}

// check looks at what the broker has granted.
func (s *externalSession) check(asked, granted map[string]byte) error {
	for _, topic := range slices.Sorted(maps.Keys(asked)) {
		qos, known := granted[topic]
		switch {
		case !known:
			return fmt.Errorf("the broker did not say whether we may subscribe to %s", topic)
		case qos > 2:
			return fmt.Errorf("the broker does not let us subscribe to %s: allow user %q to read it", topic, s.x.broker.User.Username())
		case qos == 0:
			s.x.Logger.Warn("the broker grants QoS 0 only: what it sends while this program is away is lost", "topic", topic)
		}
	}
	return nil
}

// notified follows the connection. What the broker has refused is asked again by
// a new session, less often than what did not answer.
func (s *externalSession) notified(_ mqtt.Client, n mqtt.ConnectionNotification) {
	switch n := n.(type) {
	case mqtt.ConnectionNotificationLost:
		reason := n.Reason
		if reason == nil {
			reason = errors.New("closed")
		}
		s.x.suffer(fmt.Errorf("connection lost: %w", reason))
	case mqtt.ConnectionNotificationFailed:
		for code := packets.ErrRefusedBadProtocolVersion; code <= packets.ErrRefusedNotAuthorised; code++ {
			if errors.Is(n.Reason, packets.ConnErrors[byte(code)]) { //nolint:gosec // 1 to 5
				s.fail(fmt.Errorf("the broker refuses client %s: %w", s.x.ClientID, n.Reason))
				return
			}
		}
		s.x.suffer(n.Reason)
	}
}

// receive takes a message off the library's hands. When too much waits for the
// log, the session ends: the broker is the better buffer.
func (s *externalSession) receive(_ mqtt.Client, m mqtt.Message) {
	s.heard.Add(1)
	if s.x.tells(m) || s.inbox.add(m, maxInboxBytes) {
		return
	}
	s.x.counts.refuse(reasonQueue)
	if m.Qos() > 0 {
		s.fail(errors.New("too much waits for the intake log"))
	}
}

// feed gives messages to the log, in order.
func (s *externalSession) feed(life context.Context) {
	for {
		m := s.inbox.take(life)
		if m == nil {
			return
		}
		s.unacked.Add(1)
		for {
			err := s.offer(m)
			if err == nil {
				break
			}
			if errors.Is(err, intakelog.ErrClosed) || s.inbox.isShut() {
				s.unacked.Add(-1)
				s.fail(err)
				return
			}
			s.x.counts.refuse(reasonLogFull)
			if clock.Rest(life, offerAgain) != nil {
				return
			}
		}
	}
}

// offer appends a message; its acknowledgement follows when it is durable.
func (s *externalSession) offer(m mqtt.Message) error {
	r := intakelog.Record{Kind: intakelog.Message, Source: "external", Received: s.x.Now(),
		Topic: cleanTopic(m.Topic()), Dup: m.Duplicate(), Retained: m.Retained(), Payload: m.Payload()}
	if forDevices(r.Topic) { // also what we have asked a device ourselves: fleet/# brings it back
		r.Kind = intakelog.Relay
	}
	settled := func(_ intakelog.LSN, err error) {
		if err != nil {
			s.unacked.Add(-1)
			s.fail(fmt.Errorf("write to the intake log: %w", err)) // the broker sends it again, and what came after it
			return
		}
		s.outbox.add(m, math.MaxInt) // the broker sends only so much unacknowledged
	}
	err := s.x.Log.Append(r, settled)
	if errors.Is(err, intakelog.ErrTooLarge) {
		s.x.counts.refuse(reasonTooLarge)
		r.Topic, r.Payload = cleanTopic(tooLargeMark+r.Topic), r.Payload[:tooLargeKept]
		err = s.x.Log.Append(r, settled)
	}
	if err == nil {
		s.x.counts.took(m.Qos(), len(m.Payload()))
	}
	return err
}

// acknowledge tells the broker, in the order of the log. An acknowledgement that
// belongs to an earlier connection is dropped by the library, and the broker
// sends that message again.
func (s *externalSession) acknowledge(life context.Context) {
	for {
		m := s.outbox.take(life)
		if m == nil {
			return
		}
		m.Ack()
		s.unacked.Add(-1)
	}
}

// queue holds messages between two goroutines.
type queue struct {
	ready chan struct{} // capacity 1: there is something, or there will be nothing

	mu    sync.Mutex
	items []mqtt.Message
	bytes int
	over  bool
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

// add appends a message unless the queue holds limit bytes, or is shut.
func (q *queue) add(m mqtt.Message, limit int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.over || q.bytes >= limit {
		return false
	}
	q.items = append(q.items, m)
	q.bytes += len(m.Payload()) + len(m.Topic()) + messageOverhead
	q.wake()
	return true
}

// take waits for the oldest message; nil when the queue is shut or life ends.
func (q *queue) take(life context.Context) mqtt.Message {
	for {
		if m, more := q.first(); m != nil || !more {
			return m
		}
		select {
		case <-q.ready:
		case <-life.Done():
			return nil
		}
	}
}

func (q *queue) first() (m mqtt.Message, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.over || len(q.items) == 0 {
		return nil, !q.over
	}
	m = q.items[0]
	q.items[0] = nil
	q.items = q.items[1:]
	q.bytes -= len(m.Payload()) + len(m.Topic()) + messageOverhead
	return m, true
}

// shut forgets what is queued and takes no more.
func (q *queue) shut() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.over, q.items = true, nil
	q.wake()
}

func (q *queue) isShut() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.over
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}
