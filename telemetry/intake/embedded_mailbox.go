package intake

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

const (
	boxMessages = 5_000   // what waits for one subscriber
	boxBytes    = 4 << 20 // of it, and of what he has not acknowledged
	maxFlight   = 256     // sent to him and not yet acknowledged
)

// mailbox is what is meant for one subscriber, in order: what was sent and is not
// yet acknowledged, then what waits. It outlives the connection as the session does.
type mailbox struct {
	id      string
	relay   *relay
	session atomic.Pointer[session]

	mu       sync.Mutex
	to       *connection // nil while he is away
	version  byte
	largest  int               // packet that he takes; 0 = any
	window   int               // how many he takes unacknowledged
	aliases  map[string]uint16 // of topics, over this connection
	maxAlias int
	waiting  []*delivery
	bytes    int64
	flying   []*delivery
	next     uint16
	closed   bool
}

// delivery is one message on its way to one subscriber.
type delivery struct {
	*message
	qos           byte
	retain        bool
	subscriptions []int
	packet        uint16 // once it was sent
	again         bool   // sent over another connection, and not over this one yet
	received      bool   // QoS 2: he has it
	released      bool   // PUBREL was sent over this connection
}

func newMailbox(r *relay, s *session) *mailbox {
	b := &mailbox{id: s.id, relay: r}
	b.session.Store(s)
	return b
}

// attach sends again what was not acknowledged over the connection before.
func (b *mailbox) attach(c *connection, s *session) {
	b.session.Store(s)
	p := &s.client.Properties
	b.mu.Lock()
	defer b.mu.Unlock()
	b.to, b.version, b.largest = c, p.ProtocolVersion, int(p.Props.MaximumPacketSize)
	b.aliases, b.maxAlias = nil, min(maxTopicAliases, int(p.Props.TopicAliasMaximum))
	b.window = maxFlight
	if p.Props.ReceiveMaximum > 0 {
		b.window = min(maxFlight, int(p.Props.ReceiveMaximum))
	}
	for _, d := range b.flying {
		d.again, d.released = !d.received, false
	}
	b.fill()
}

func (b *mailbox) detach(c *connection) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.to == c {
		b.to = nil
	}
}

// empty gives its memory back.
func (b *mailbox) empty() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.relay.boxed.Add(-b.bytes)
	b.waiting, b.flying, b.bytes, b.closed = nil, nil, 0, true
}

// keepsUp says whether he is here and nothing waits for him.
func (b *mailbox) keepsUp() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.to != nil && len(b.waiting) == 0
}

// deliver puts a message in; a reason means that it was dropped.
func (b *mailbox) deliver(d *delivery) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	size := d.size()
	switch {
	case b.closed, b.to == nil && d.qos == 0: // for who is away only what must arrive is kept
		return ""
	case len(b.waiting) >= boxMessages || b.bytes+size > boxBytes || b.relay.boxed.Load()+size > boxesBytes:
		if b.to == nil {
			return dropAway
		}
		return dropSlow
	}
	b.waiting = append(b.waiting, d)
	b.bytes += size
	b.relay.boxed.Add(size)
	b.fill()
	return ""
}

// pump sends what waits, as far as there is room.
func (b *mailbox) pump() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill()
}

func (b *mailbox) fill() {
	if b.to == nil || !b.resend() {
		return
	}
	for len(b.waiting) > 0 {
		d := b.waiting[0]
		if !d.expires.IsZero() && time.Now().After(d.expires) {
			b.shift()
			b.forget(d)
			continue
		}
		if d.qos > 0 {
			if len(b.flying) >= b.window {
				return
			}
			if d.packet == 0 {
				d.packet = b.freePacket()
			}
		}
		out := b.encode(d)
		if out == nil || b.largest > 0 && len(out) > b.largest { // he has said that he takes none of that size
			b.relay.broker.counts.drop(dropSize)
			b.shift()
			b.forget(d)
			continue
		}
		if !b.to.send(out) {
			return // goes on when he has read
		}
		b.learn(d.topic)
		b.relay.broker.counts.passed(d.qos)
		b.shift()
		if d.qos > 0 {
			b.flying = append(b.flying, d)
		} else {
			b.forget(d)
		}
	}
	b.waiting = nil
}

// resend sends what was not answered over the connection before; false when there
// is no room for all of it.
func (b *mailbox) resend() bool {
	for _, d := range b.flying {
		switch {
		case d.again:
			if !b.to.send(b.encode(d)) {
				return false
			}
			b.learn(d.topic)
			d.again = false
		case d.received && !d.released:
			if !b.to.send(b.ack(packets.Pubrel, d.packet, 0)) {
				return false
			}
			d.released = true
		}
	}
	return true
}

// shift takes the first of what waits out.
func (b *mailbox) shift() {
	b.waiting[0] = nil
	b.waiting = b.waiting[1:]
}

// forget gives up the memory of a message.
func (b *mailbox) forget(d *delivery) {
	b.bytes -= d.size()
	b.relay.boxed.Add(-d.size())
}

// freePacket is a packet id that is not in flight.
func (b *mailbox) freePacket() uint16 {
	for {
		if b.next++; b.next == 0 {
			b.next = 1
		}
		if b.find(b.next) < 0 {
			return b.next
		}
	}
}

func (b *mailbox) find(packet uint16) int {
	return slices.IndexFunc(b.flying, func(d *delivery) bool { return d.packet == packet })
}

// answered takes the subscriber's answer to what was sent.
func (b *mailbox) answered(kind byte, packet uint16, code byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.find(packet)
	switch {
	case b.to == nil:
	case i < 0 && kind == packets.Pubrec:
		b.to.send(b.ack(packets.Pubrel, packet, packets.ErrPacketIdentifierNotFound.Code))
	case i < 0:
	case kind == packets.Pubrec && code < packets.ErrUnspecifiedError.Code:
		b.flying[i].received, b.flying[i].released = true, false
		b.fill()
	default:
		b.forget(b.flying[i])
		b.flying = slices.Delete(b.flying, i, i+1)
		b.fill()
	}
}

// ack is an answer of four bytes, with a code where there is one to tell.
func (b *mailbox) ack(kind byte, packet uint16, code byte) []byte {
	first := kind << 4
	if kind == packets.Pubrel {
		first |= 2
	}
	out := []byte{first, 2, byte(packet >> 8), byte(packet)}
	if b.version == 5 && code != 0 {
		out[1] = 3
		out = append(out, code)
	}
	return out
}

// learn notes that the subscriber knows the next alias for a topic.
func (b *mailbox) learn(topic string) {
	if b.version != 5 || len(b.aliases) >= b.maxAlias || b.aliases[topic] > 0 {
		return
	}
	if b.aliases == nil {
		b.aliases = make(map[string]uint16, b.maxAlias)
	}
	b.aliases[topic] = uint16(len(b.aliases) + 1) //nolint:gosec // at most maxTopicAliases
}

// encode is the message as he is sent it, nil when it cannot be said.
func (b *mailbox) encode(d *delivery) []byte {
	pk := packets.Packet{
		ProtocolVersion: b.version, TopicName: d.topic, Payload: d.payload, PacketID: d.packet, Properties: d.props,
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: d.qos, Retain: d.retain, Dup: d.again},
		Mods:        packets.Mods{AllowResponseInfo: true},
	}
	if b.version == 5 {
		pk.Properties.SubscriptionIdentifier = d.subscriptions
		if alias := b.aliases[d.topic]; alias > 0 {
			pk.TopicName, pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = "", alias, true
		} else if len(b.aliases) < b.maxAlias {
			pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = uint16(len(b.aliases)+1), true //nolint:gosec // at most maxTopicAliases
		}
		if !d.expires.IsZero() {
			pk.Properties.MessageExpiryInterval = uint32(max(1, time.Until(d.expires)/time.Second)) //nolint:gosec // seconds of four bytes, as they came
		}
	}
	var out bytes.Buffer
	if pk.PublishEncode(&out) != nil {
		return nil
	}
	return out.Bytes()
}
