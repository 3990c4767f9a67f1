package intake

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// BrokerCheck says which broker is looked at, and how closely.
type BrokerCheck struct {
	URL      string
	TLS      BrokerTLS
	Topic    string        // under which the check may publish and subscribe; a name of its own is added
	Messages int           // published for a session that is away; the queue's limit is found up to this
	Quiet    time.Duration // nothing more is expected after; 0 = 2 s
}

// Limits of BrokerCheck.Messages.
const (
	LeastCheckMessages = 100
	MostCheckMessages  = 200_000
)

// BrokerReport is what was seen of a broker. Counts are of messages that it had
// acknowledged.
type BrokerReport struct {
	Software string // as it calls itself, "" when it does not
	Granted  byte   // quality of service of a subscription at QoS 1
	Kept     bool   // the session of a client that was away was still there

	Sent, Arrived int  // for a client that was away
	Newest        bool // what is beyond the limit is the newest, else the oldest
	Window        int  // messages sent without an acknowledgement
	WindowWhole   bool // all that there were: the window may be larger

	Retains bool
	Largest int // bytes of the largest message that was taken, of those tried
	Tried   int // bytes of the largest message that was tried

	Swallowed int    // bytes of a message that was acknowledged and never sent on, 0 for none
	Dropped   uint64 // since the broker was started, by its own word
	Tells     bool   // it says what it drops
}

// Lost is how many messages were acknowledged and did not arrive.
func (r BrokerReport) Lost() int { return r.Sent - r.Arrived }

// sizesTried are payloads in bytes: the last but one is the largest that this
// program reads.
var sizesTried = []int{64 << 10, 256<<10 - 512, 1 << 20} //nolint:gochecknoglobals // a list, never written

// CheckBroker measures what a broker does with the messages of a client that is
// away, with sessions and topics of its own, which it removes again. What a crash
// of the broker would lose cannot be measured from outside.
func CheckBroker(ctx context.Context, c BrokerCheck) (BrokerReport, error) {
	broker, err := parseBrokerURL(c.URL)
	if err != nil {
		return BrokerReport{}, err
	}
	tlsConfig, err := c.TLS.load(broker.Hostname())
	if err != nil {
		return BrokerReport{}, err
	}
	if c.Messages < LeastCheckMessages || c.Messages > MostCheckMessages {
		return BrokerReport{}, problem.New(problem.Invalid, "--messages must be between %d and %d", LeastCheckMessages, MostCheckMessages)
	}
	if fault := topicFault(c.Topic); fault != "" || strings.ContainsAny(c.Topic, "+#") {
		return BrokerReport{}, problem.New(problem.Invalid, "--topic %q is no topic", printable(c.Topic))
	}
	if c.Quiet <= 0 {
		c.Quiet = 2 * time.Second
	}
	name := postgres.NewID().String()
	k := &checking{BrokerCheck: c, prober: prober{broker: broker, tls: tlsConfig, within: brokerWithin},
		topic: strings.TrimSuffix(c.Topic, "/") + "/" + name, reader: "thirdstate-doctor-" + name[24:], writer: "thirdstate-writer-" + name[24:]}
	err = k.run(ctx)
	return k.report, errors.Join(err, k.cleanUp(context.WithoutCancel(ctx)))
}

// checking is one look at a broker.
type checking struct {
	BrokerCheck
	prober
	topic          string
	reader, writer string // client ids
	report         BrokerReport
}

func (k *checking) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{k.askSoftware, k.openSession, k.fillQueue, k.drainQueue, k.tryRetained, k.trySizes} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// askSoftware reads what Mosquitto and EMQX tell of themselves, retained.
func (k *checking) askSoftware(ctx context.Context) error {
	c, _, err := k.connect(ctx, k.writer, true)
	if err != nil {
		return err
	}
	defer c.leave()
	if _, err := c.subscribe(k.within, 0, "$SYS/broker/version", "$SYS/brokers/+/version", droppedTopic); err != nil {
		return nil // it need not tell
	}
	for !k.report.Tells || k.report.Software == "" {
		p, err := c.read(k.Quiet)
		if err != nil {
			return nil // it says no more
		}
		m, ok := p.(*packets.PublishPacket)
		if !ok {
			continue
		}
		text := string(m.Payload[:min(len(m.Payload), 100)])
		if m.TopicName == droppedTopic {
			k.report.Dropped, err = strconv.ParseUint(text, 10, 64)
			k.report.Tells = err == nil
			continue
		}
		if k.report.Software = printable(text); strings.HasPrefix(m.TopicName, "$SYS/brokers/") {
			k.report.Software = "EMQX " + k.report.Software
		}
	}
	return nil
}

// openSession leaves a session that waits for messages.
func (k *checking) openSession(ctx context.Context) error {
	c, _, err := k.connect(ctx, k.reader, false)
	if err != nil {
		return err
	}
	defer c.leave()
	k.report.Granted, err = c.subscribe(k.within, 1, k.topic)
	if err == nil && k.report.Granted > 2 {
		err = problem.New(problem.Invalid, "the broker does not let user %q subscribe to %s; allow it, or name another topic with --topic", k.broker.User.Username(), k.topic)
	}
	return err
}

// fillQueue publishes for the session that is away, and counts what the broker
// acknowledges.
func (k *checking) fillQueue(ctx context.Context) error {
	const ahead = 20 // unacknowledged
	c, _, err := k.connect(ctx, k.writer, true)
	if err != nil {
		return err
	}
	defer c.leave()
	payload := make([]byte, 64)
	for n := 0; k.report.Sent < k.Messages && ctx.Err() == nil; {
		for n < k.Messages && n-k.report.Sent < ahead {
			binary.BigEndian.PutUint64(payload, uint64(n)) //nolint:gosec // not negative
			if err := c.publish(k.topic, append([]byte(nil), payload...), false); err != nil {
				return fmt.Errorf("publish to %s: %w", k.topic, err)
			}
			n++
		}
		if err := c.acknowledged(k.within); err != nil {
			return fmt.Errorf("the broker has acknowledged %d of %d messages to %s and no more: %w", k.report.Sent, n, k.topic, err)
		}
		k.report.Sent++
	}
	return ctx.Err()
}

// drainQueue comes back as the session and counts what was kept: first without
// acknowledging, which shows the window, then all of it.
func (k *checking) drainQueue(ctx context.Context) error {
	c, present, err := k.connect(ctx, k.reader, false)
	if err != nil {
		return err
	}
	defer c.leave()
	k.report.Kept = present
	var held []uint16
	seen := make([]bool, k.Messages)
	for acking := false; ctx.Err() == nil && k.report.Arrived < k.report.Sent; {
		p, err := c.read(k.Quiet)
		if quietFor(err) {
			if acking || len(held) == 0 {
				break
			}
			acking = true
			if err := ackAll(c, held); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("read what was kept: %w", err)
		}
		m, ok := p.(*packets.PublishPacket)
		if !ok {
			continue
		}
		k.take(m, seen)
		switch {
		case m.Qos == 0:
		case acking:
			err = c.ack(m.MessageID)
		default:
			held = append(held, m.MessageID)
			k.report.Window = len(held)
		}
		if err != nil {
			return fmt.Errorf("acknowledge: %w", err)
		}
	}
	k.report.WindowWhole = k.report.Window == k.report.Arrived
	k.report.Newest = k.report.Lost() > 0 && seen[0]
	return ctx.Err()
}

func ackAll(c *probe, ids []uint16) error {
	for _, id := range ids {
		if err := c.ack(id); err != nil {
			return fmt.Errorf("acknowledge: %w", err)
		}
	}
	return nil
}

// take counts a message once, though it may come twice.
func (k *checking) take(m *packets.PublishPacket, seen []bool) {
	if m.TopicName != k.topic || len(m.Payload) < 8 {
		return
	}
	if n := binary.BigEndian.Uint64(m.Payload); n < uint64(len(seen)) && !seen[n] {
		seen[n] = true
		k.report.Arrived++
	}
}

// tryRetained looks whether a message that is to be kept for newcomers is.
func (k *checking) tryRetained(ctx context.Context) error {
	c, _, err := k.connect(ctx, k.writer, true)
	if err != nil {
		return err
	}
	defer c.leave()
	topic := k.topic + "/retained"
	if err := c.publish(topic, []byte("kept"), true); err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	if err := c.acknowledged(k.within); err != nil {
		return nil // it closes the connection rather than keep it
	}
	if granted, err := c.subscribe(k.within, 1, topic); err != nil || granted > 2 {
		return err
	}
	p, err := c.read(k.Quiet)
	if m, ok := p.(*packets.PublishPacket); err == nil && ok {
		k.report.Retains = m.Retain
	}
	return nil
}

// trySizes looks which of some sizes of messages are taken, and which are
// acknowledged and thrown away.
func (k *checking) trySizes(ctx context.Context) error {
	for _, size := range sizesTried {
		k.report.Tried = size
		acked, came, err := k.trySize(ctx, size)
		switch {
		case err != nil:
			return err
		case came:
			k.report.Largest = size
			continue
		case acked:
			k.report.Swallowed = size
		}
		return nil
	}
	return nil
}

// trySize sends a message to itself.
func (k *checking) trySize(ctx context.Context, size int) (acked, came bool, err error) {
	c, _, err := k.connect(ctx, k.writer, true)
	if err != nil {
		return false, false, err
	}
	defer c.leave()
	topic := k.topic + "/size"
	if granted, err := c.subscribe(k.within, 1, topic); err != nil || granted > 2 {
		return false, false, err
	}
	if c.publish(topic, make([]byte, size), false) != nil {
		return false, false, nil // it has closed the connection
	}
	for !acked || !came {
		p, err := c.read(k.Quiet)
		if err != nil {
			return acked, came, nil
		}
		switch m := p.(type) {
		case *packets.PubackPacket:
			acked = true
		case *packets.PublishPacket:
			came = came || m.TopicName == topic && len(m.Payload) == size
		}
	}
	return acked, came, nil
}

// cleanUp removes what the check has left: both sessions and the retained message.
func (k *checking) cleanUp(ctx context.Context) error {
	if c, _, err := k.connect(ctx, k.writer, true); err == nil {
		if c.publish(k.topic+"/retained", nil, true) == nil {
			_ = c.acknowledged(k.within)
		}
		c.leave()
	}
	c, _, err := k.connect(ctx, k.reader, true)
	if err != nil {
		return fmt.Errorf("the session of client %s could not be removed from the broker: %w", k.reader, err)
	}
	c.leave()
	return nil
}
