package intake

import (
	"context"
	"errors"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// holdTries bounds how often a message is offered to a log whose disk is slow,
// two seconds each, before its sender is turned away.
const holdTries = 15

// OnPacketRead takes over what the library does in its own way: answers to what
// the relay has sent, messages to the broker's own topics, which it passes over in
// silence, and a QoS 2 message that comes again, which it calls an error.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c, s := at(cl)
	if c != nil && pk.FixedHeader.Type == packets.Connect {
		c.allowEmpty(&pk)
	}
	if s == nil {
		return pk, nil
	}
	switch pk.FixedHeader.Type {
	case packets.Puback, packets.Pubrec, packets.Pubcomp:
		if box := c.box.Load(); box != nil {
			box.answered(pk.FixedHeader.Type, pk.PacketID, pk.ReasonCode)
		}
		return nothing(pk), nil
	case packets.Subscribe:
		if ids := pk.Properties.SubscriptionIdentifier; len(ids) > 0 && ids[0] == 0 { // the library takes it for none
			h.broker.counts.refuse(reasonMalformed)
			h.broker.turnAway(c, packets.ErrProtocolViolation)
			return nothing(pk), nil
		}
		for i := range pk.Filters { // retained messages for new subscriptions only, which the library keeps to itself
			if sub := &pk.Filters[i]; sub.RetainHandling == 1 {
				if _, known := cl.State.Subscriptions.Get(sub.Filter); known {
					sub.RetainHandling = 2
				}
			}
		}
	case packets.Publish:
		switch {
		case pk.TopicName != "" && brokersOwn(pk.TopicName):
			h.broker.refuse(c, cl, &pk, reasonTopic, packets.ErrNotAuthorized)
			return nothing(pk), nil
		case pk.FixedHeader.Qos == 2:
			if known, ok := cl.State.Inflight.Get(pk.PacketID); ok && known.FixedHeader.Type == packets.Pubrec {
				_ = cl.WritePacket(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubrec}, PacketID: pk.PacketID})
				return nothing(pk), nil
			}
		}
	}
	return pk, nil
}

// allowEmpty lets in what MQTT allows and the library calls an error: a password
// of no bytes, which is none, and a last will that says nothing.
func (c *connection) allowEmpty(pk *packets.Packet) {
	p := &pk.Connect
	if p.PasswordFlag && len(p.Password) == 0 {
		p.PasswordFlag = false
	}
	if p.WillFlag && len(p.WillPayload) == 0 {
		c.silentWill, p.WillPayload = true, []byte{0} // the library never sends it
	}
}

// nothing is a packet on which the library does nothing: an acknowledgement of
// what it has never sent.
func nothing(pk packets.Packet) packets.Packet {
	return packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, ProtocolVersion: pk.ProtocolVersion}
}

// OnPublish gives a message to the log. In all cases but one it tells the
// library to do nothing more: the acknowledgement is ours, after the fsync.
// Any other error would make the library acknowledge a message of MQTT 3.1.1.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c, s := at(cl)
	if s == nil || h.broker.stopping.Load() {
		return pk, packets.ErrRejectPacket
	}
	g, known := c.grant()
	switch {
	case pk.TopicName == "" && pk.Properties.TopicAliasFlag: // nobody has said what it stands for
		h.broker.counts.refuse(reasonMalformed)
		h.broker.turnAway(c, packets.ErrTopicAliasInvalid)
	case topicFault(pk.TopicName) != "":
		h.broker.refuse(c, cl, &pk, reasonTopic, packets.ErrTopicNameInvalid)
	case !known || !mayPublishTo(g, pk.TopicName):
		h.broker.refuse(c, cl, &pk, reasonTopic, packets.ErrNotAuthorized)
	case h.broker.take(c, &pk, h.broker.forOthers(s, g, &pk)) && pk.FixedHeader.Qos == 2:
		return pk, packets.CodeSuccessIgnore // PUBREC; the relay passes it on
	}
	return pk, packets.ErrRejectPacket
}

// forOthers is a message as the relay passes it on, nil when nobody listens.
func (e *Embedded) forOthers(s *session, g *grant, pk *packets.Packet) *message {
	retain := pk.FixedHeader.Retain
	if retain && !mayRetain(g) {
		e.counts.drop(dropRetain)
		retain = false
	}
	if !retain && !e.relay.hasAudience() {
		return nil
	}
	m := &message{topic: pk.TopicName, payload: pk.Payload, qos: pk.FixedHeader.Qos, retain: retain, origin: s.id, device: s.device}
	m.take(&pk.Properties, time.Now())
	return m
}

// refuse answers a message that is not taken. MQTT 3 has no word for that: the
// connection ends.
func (e *Embedded) refuse(c *connection, cl *mqtt.Client, pk *packets.Packet, reason string, code packets.Code) {
	e.counts.refuse(reason)
	e.warn("a message was refused", "reason", reason, "remote", c.RemoteAddr().String(), "topic", printable(pk.TopicName))
	if pk.FixedHeader.Qos == 0 {
		return
	}
	if cl.Properties.ProtocolVersion < 5 {
		c.ours.Store(true)
		_ = c.Close()
		return
	}
	answer := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: pk.PacketID, ReasonCode: code.Code}
	if pk.FixedHeader.Qos == 2 {
		answer.FixedHeader.Type = packets.Pubrec
	}
	_ = cl.WritePacket(answer)
}

// take appends a message to the log. At QoS 1 it returns before the message is
// durable, at QoS 2 after; false means that the message was not taken. Once it is
// durable, m is passed on.
func (e *Embedded) take(c *connection, pk *packets.Packet, m *message) bool {
	e.share.wait(c.life, pk.TopicName)
	r := e.record(c, pk.TopicName, pk.Payload)
	r.Dup = pk.FixedHeader.Dup
	c.said.note(&r)
	var err error
	switch pk.FixedHeader.Qos {
	case 0:
		err = e.Log.Append(r, e.relay.after(m))
	case 1:
		if !c.hold() {
			return false
		}
		packet := pk.PacketID
		if err = e.insist(c, func() error {
			return e.Log.Append(r, func(_ intakelog.LSN, err error) {
				if err == nil {
					e.relay.offer(m)
				}
				c.settled(packet, err)
			})
		}); err != nil {
			c.release(1)
		}
	default:
		err = e.insist(c, func() error {
			_, err := e.Log.AppendWait(c.life, r)
			return err
		})
		if err == nil {
			e.relay.offer(m)
		}
	}
	switch {
	case err == nil:
		e.counts.took(pk.FixedHeader.Qos, len(pk.Payload))
		return true
	case errors.Is(err, context.Canceled): // the client has left: it sends the message again
		return false
	}
	e.counts.refuse(reasonLogFull)
	if pk.FixedHeader.Qos > 0 {
		e.warn("the intake log takes no messages", "error", err)
		e.turnAway(c, packets.ErrQuotaExceeded)
	}
	return false
}

// insist tries again while the disk is merely slow; the client waits.
func (e *Embedded) insist(c *connection, appending func() error) error {
	for try := 1; ; try++ {
		err := appending()
		if !errors.Is(err, intakelog.ErrBusy) || try >= holdTries {
			return err
		}
		if c.life.Err() != nil {
			return c.life.Err()
		}
	}
}

func (e *Embedded) record(c *connection, topic string, payload []byte) intakelog.Record {
	r := intakelog.Record{Kind: intakelog.Message, Source: "embedded", Received: e.Now(), Topic: topic, Payload: payload}
	if forDevices(topic) {
		r.Kind = intakelog.Relay
	}
	if s := c.session.Load(); s != nil {
		if r.Device = s.device; r.Device == "" && formats.NamesNoMachine(topic) {
			r.Device = s.name
		}
	}
	return r
}

// willTopic stands for the topic of a last will while the library has it: it
// would pass it on by itself.
const willTopic = "$will"

// OnWill hides a last will from the library.
func (h *hook) OnWill(_ *mqtt.Client, will mqtt.Will) (mqtt.Will, error) {
	will.Retain, will.TopicName = false, willTopic
	return will, nil
}

// OnWillSent gives a last will to the log: it is a message like another. When it
// is the broker that leaves, the machines are not the ones who are gone.
func (h *hook) OnWillSent(cl *mqtt.Client, _ packets.Packet) {
	c, s := at(cl)
	if s == nil || s.will == nil || h.broker.stopping.Load() {
		return
	}
	r := h.broker.record(c, s.will.topic, s.will.payload)
	r.Will = true
	if s.willDelay > 0 {
		h.broker.relay.delay(s, r, time.Now().Add(s.willDelay))
		return
	}
	h.broker.publishWill(s, r)
}

func (e *Embedded) publishWill(s *session, r intakelog.Record) {
	g, known := e.grantOf(s)
	if !known || !mayPublishTo(g, r.Topic) {
		e.counts.refuse(reasonTopic)
		return
	}
	m := *s.will
	m.retain = m.retain && mayRetain(g)
	r.Received = e.Now()
	if err := e.Log.Append(r, e.relay.after(&m)); err != nil {
		e.counts.refuse(reasonLogFull)
		return
	}
	e.counts.took(0, len(r.Payload))
}
