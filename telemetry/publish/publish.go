// Package publish sends messages to an MQTT broker at QoS 1 and knows which of
// them the broker has really acknowledged. The client library's own tokens
// complete without an error when a connection is replaced, although delivery is
// unknown; hence the library's packets are used here and its client is not.
package publish

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// Limits of a publisher.
const (
	DefaultInFlight = 256
	MaxInFlight     = 16_384 // packet ids are 16 bits, and a quarter of them is plenty
)

// ErrClosed is returned after Close.
var ErrClosed = errors.New("publisher is closed")

// Options of a publisher; the zero value is good for an anonymous client.
type Options struct {
	ClientID string // "" = the broker chooses one
	Username string // wins over the URL's user
	Password string
	InFlight int // messages sent but not yet acknowledged; 0 = DefaultInFlight

	// OnAck, when set, is called for each message when its PUBACK has come, in
	// the order of the PUBACKs, from one goroutine; it must not block.
	OnAck  func(topic string, payload []byte)
	Logger *slog.Logger // nil = silent

	// OnSettled, when set, is called likewise when n more of the oldest messages are
	// acknowledged, with none before them that is not.
	OnSettled func(n int)

	TLS *tls.Config // of mqtts://; nil = the system's authorities, TLS 1.2 or newer

	will *Will
}

type message struct {
	topic   string
	payload []byte
	id      uint16
	sent    bool // written at least once, so that a re-send is marked DUP
	acked   bool
}

// Publisher publishes at QoS 1, keeps the order, and sends again after a lost
// connection whatever was not acknowledged. It is safe for concurrent use.
type Publisher struct {
	broker  *url.URL
	options Options
	slots   chan struct{}
	work    chan struct{} // capacity 1: there is something to write
	cancel  context.CancelFunc
	stopped chan struct{}
	acked   atomic.Uint64
	resent  atomic.Uint64
	trouble atomic.Pointer[string] // why there is no connection; nil while there is one

	mu      sync.Mutex
	pending []*message // oldest first
	byID    map[uint16]*message
	lastID  uint16
	next    int // the first of pending that this connection has not written
	closed  bool
	idle    chan struct{} // closed when pending becomes empty
}

// Dial connects to a broker given as mqtt://, tcp://, mqtts:// or ssl:// URL and
// keeps trying until ctx ends, except when the broker refuses the credentials.
func Dial(ctx context.Context, brokerURL string, options Options) (*Publisher, error) {
	p, life, err := prepare(brokerURL, options)
	if err != nil {
		return nil, err
	}
	first, err := p.connectFirst(ctx)
	if err != nil {
		p.cancel()
		return nil, err
	}
	go p.run(life, first)
	return p, nil
}

// Start is like Dial for who has time: it returns at once, takes messages from now
// on, and keeps trying until Close, also when the broker refuses the credentials.
func Start(brokerURL string, options Options) (*Publisher, error) {
	p, life, err := prepare(brokerURL, options)
	if err != nil {
		return nil, err
	}
	go p.run(life, nil)
	return p, nil
}

func prepare(brokerURL string, options Options) (*Publisher, context.Context, error) {
	broker, err := parseBroker(brokerURL)
	if err != nil {
		return nil, nil, err
	}
	if options.InFlight <= 0 {
		options.InFlight = DefaultInFlight
	}
	options.InFlight = min(options.InFlight, MaxInFlight)
	if options.Username == "" && broker.User != nil {
		options.Username = broker.User.Username()
		options.Password, _ = broker.User.Password()
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	life, cancel := context.WithCancel(context.Background())
	p := &Publisher{
		broker: broker, options: options, cancel: cancel,
		slots: make(chan struct{}, options.InFlight), work: make(chan struct{}, 1),
		stopped: make(chan struct{}), byID: map[uint16]*message{},
	}
	p.away("not connected yet")
	return p, life, nil
}

// Publish queues one message. It blocks only while InFlight messages wait for
// their PUBACK; the payload must not be changed afterwards.
func (p *Publisher) Publish(ctx context.Context, topic string, payload []byte) error {
	select {
	case p.slots <- struct{}{}:
	case <-p.stopped:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("publish to %s: %w", topic, ctx.Err())
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		<-p.slots
		return ErrClosed
	}
	m := &message{topic: topic, payload: payload, id: p.freeID()}
	p.byID[m.id] = m
	p.pending = append(p.pending, m)
	p.mu.Unlock()
	p.wake()
	return nil
}

// Flush waits until every message published so far is acknowledged.
func (p *Publisher) Flush(ctx context.Context) error {
	p.mu.Lock()
	waiting := len(p.pending)
	if waiting == 0 {
		p.mu.Unlock()
		return nil
	}
	if p.idle == nil {
		p.idle = make(chan struct{})
	}
	idle := p.idle
	p.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-p.stopped:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("%d messages still wait for the broker: %w", waiting, ctx.Err())
	}
}

// Acked returns how many messages the broker has acknowledged.
func (p *Publisher) Acked() uint64 { return p.acked.Load() }

// Resent returns how many messages were sent again after a lost connection.
func (p *Publisher) Resent() uint64 { return p.resent.Load() }

// Connected says whether there is a connection, and why there is none.
func (p *Publisher) Connected() (yes bool, trouble string) {
	if why := p.trouble.Load(); why != nil {
		return false, *why
	}
	return true, ""
}

func (p *Publisher) away(why string) { p.trouble.Store(&why) }

// Close disconnects and waits; messages that are not acknowledged are given up.
func (p *Publisher) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	<-p.stopped
	return nil
}

func (p *Publisher) wake() {
	select {
	case p.work <- struct{}{}:
	default:
	}
}

// freeID is called with mu held; InFlight is far below the number of ids.
func (p *Publisher) freeID() uint16 {
	for {
		p.lastID++
		if _, used := p.byID[p.lastID]; p.lastID != 0 && !used {
			return p.lastID
		}
	}
}

// acknowledge notes a PUBACK. Slots are freed from the oldest on, so that the
// queue stays as short as InFlight even when a broker answers out of order.
func (p *Publisher) acknowledge(id uint16) {
	p.mu.Lock()
	m := p.byID[id]
	if m == nil || !m.sent || m.acked {
		p.mu.Unlock()
		return
	}
	m.acked = true
	delete(p.byID, id)
	done := 0
	for done < len(p.pending) && p.pending[done].acked {
		done++
	}
	clear(p.pending[:done])
	p.pending = p.pending[done:]
	p.next = max(0, p.next-done)
	p.acked.Add(1)
	if p.options.OnAck != nil {
		p.options.OnAck(m.topic, m.payload)
	}
	if done > 0 && p.options.OnSettled != nil {
		p.options.OnSettled(done)
	}
	if len(p.pending) == 0 && p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
	p.mu.Unlock()
	for range done {
		<-p.slots
	}
}

// rewind makes the next connection start with what is not acknowledged.
func (p *Publisher) rewind() {
	p.mu.Lock()
	p.next = 0
	p.mu.Unlock()
	p.wake()
}

// take returns the next messages to write on this connection, at most n.
func (p *Publisher) take(n int) []*packets.PublishPacket {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*packets.PublishPacket
	for p.next < len(p.pending) && len(out) < n {
		m := p.pending[p.next]
		p.next++
		if m.acked {
			continue
		}
		packet := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		packet.Qos, packet.TopicName, packet.Payload, packet.MessageID, packet.Dup = 1, m.topic, m.payload, m.id, m.sent
		if m.sent {
			p.resent.Add(1)
		}
		m.sent = true
		out = append(out, packet)
	}
	return out
}

// backoff is at most 2 s, and not the same for all who have lost the same broker.
func (p *Publisher) backoff(attempt int) time.Duration {
	most := min(50*time.Millisecond<<min(attempt, 6), 2*time.Second)
	return most/2 + rand.N(most/2) //nolint:gosec // no secret
}
