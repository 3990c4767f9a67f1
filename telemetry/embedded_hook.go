package telemetry

import (
	"bytes"
	"crypto/sha256"
	"errors"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// holdTries bounds how often a message is offered to a log whose disk is slow,
// two seconds each, before its sender is turned away.
const holdTries = 15

// hook is what the broker's library asks us.
type hook struct {
	mqtt.HookBase
	broker *Embedded
}

// ID names the hook in the library's log.
func (h *hook) ID() string { return "intake" }

// Provides lists what is asked.
func (h *hook) Provides(b byte) bool {
	return bytes.IndexByte([]byte{
		mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnSessionEstablish, mqtt.OnPacketRead,
		mqtt.OnPacketEncode, mqtt.OnPublish, mqtt.OnWill, mqtt.OnWillSent,
	}, b) >= 0
}

// OnConnect decides who is let in. It answers refusals itself, because the
// library knows one reason only.
func (h *hook) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	c, ok := cl.Net.Conn.(*connection)
	if !ok {
		return errTold
	}
	s := &session{client: cl, name: string(pk.Connect.Username)}
	if len(s.name) > maxClientIDBytes || topicFault(s.name) != "" {
		s.name = pk.Connect.ClientIdentifier
	}
	reason, code := h.broker.identify(c, s, &pk)
	if reason == "" {
		c.session.Store(s)
		return nil
	}
	h.broker.counts.refuse(reason)
	h.broker.warn("a client was not let in", "reason", reason, "remote", c.RemoteAddr().String(),
		"user", withoutToken(pk.Connect.Username), "client", printable(pk.Connect.ClientIdentifier))
	if pk.ProtocolVersion < 5 { // the library translates some of them, and one wrongly
		_, _ = c.Write([]byte{packets.Connack << 4, 2, 0, oldCode(code)})
	} else {
		_ = h.broker.server.SendConnack(cl, code, false, nil)
	}
	return errTold
}

// oldCode is what MQTT 3 calls a refusal.
func oldCode(code packets.Code) byte {
	switch code {
	case packets.ErrClientIdentifierNotValid:
		return packets.Err3ClientIdentifierNotValid.Code
	case packets.ErrBadUsernameOrPassword:
		return packets.ErrMalformedUsernameOrPassword.Code
	case packets.ErrNotAuthorized:
		return packets.Err3NotAuthorized.Code
	}
	return packets.Err3ServerUnavailable.Code
}

// identify finds out who connects; a reason means that he is refused.
func (e *Embedded) identify(c *connection, s *session, pk *packets.Packet) (reason string, code packets.Code) {
	if id := pk.Connect.ClientIdentifier; id != "" && (len(id) > maxClientIDBytes || topicFault(id) != "") {
		return reasonClientID, packets.ErrClientIdentifierNotValid
	}
	if e.stopping.Load() || e.Log.Err() != nil { // it could not deliver anything
		return reasonLogFull, packets.ErrServerUnavailable
	}
	var g *grant
	user, password := pk.Connect.Username, pk.Connect.Password
	if len(password) > 0 || len(user) > 0 && (!e.anonymous || isToken(user)) {
		token := password
		if len(token) == 0 {
			token = user // as ThingsBoard's devices sign in
		}
		s.hash, s.signedIn = sha256.Sum256(token), true
		var sure bool
		g, sure = e.devices.of(c.life, s.hash)
		switch {
		case !sure:
			return reasonUnavailable, packets.ErrServerUnavailable
		case g == nil || len(password) > 0 && g.key != string(user):
			return reasonCredentials, packets.ErrBadUsernameOrPassword
		}
		s.device = g.key
	} else if !e.anonymous {
		return reasonCredentials, packets.ErrNotAuthorized
	}
	if will := pk.Connect.WillTopic; pk.Connect.WillFlag && (topicFault(will) != "" || !mayPublishTo(g, will)) {
		return reasonTopic, packets.ErrNotAuthorized
	}
	return "", packets.CodeSuccess
}

// OnConnectAuthenticate has nothing left to decide.
func (h *hook) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

// OnSessionEstablish keeps the sessions of devices apart: no device takes over
// the connection of another by using its client id.
func (h *hook) OnSessionEstablish(cl *mqtt.Client, _ packets.Packet) {
	if c, ok := cl.Net.Conn.(*connection); ok {
		if s := c.session.Load(); s != nil && s.signedIn {
			cl.ID = s.device + "/" + cl.ID
		}
	}
}

// OnPacketEncode tells MQTT 5 clients how large a packet may be.
func (h *hook) OnPacketEncode(_ *mqtt.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type == packets.Connack {
		pk.Properties.MaximumPacketSize = maxPacketBytes
	}
	return pk
}

// OnACLCheck is asked for each filter of a SUBSCRIBE. Whether a client may
// publish is decided by OnPublish, which can answer.
func (h *hook) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	if write {
		return true
	}
	c, ok := cl.Net.Conn.(*connection)
	if !ok {
		return false
	}
	g, known := c.grant()
	if !known || !maySubscribeTo(g, topic) || cl.State.Subscriptions.Len() >= maxSubscriptions {
		h.broker.counts.refuse(reasonTopic)
		return false
	}
	return true
}

// OnPacketRead answers what the library would pass over in silence: a message
// to one of the broker's own topics.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if pk.FixedHeader.Type == packets.Publish && brokersOwn(pk.TopicName) {
		if c, ok := cl.Net.Conn.(*connection); ok {
			h.broker.refuse(c, cl, &pk, reasonTopic, packets.ErrNotAuthorized)
		}
	}
	return pk, nil
}

// OnPublish gives a message to the log. In all cases but one it tells the
// library to do nothing more: the acknowledgement is ours, after the fsync.
// Any other error would make the library acknowledge a message of MQTT 3.1.1.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c, ok := cl.Net.Conn.(*connection)
	if !ok || brokersOwn(pk.TopicName) || h.broker.stopping.Load() {
		return pk, packets.ErrRejectPacket
	}
	g, known := c.grant()
	switch {
	case topicFault(pk.TopicName) != "":
		h.broker.refuse(c, cl, &pk, reasonTopic, packets.ErrTopicNameInvalid)
	case !known || !mayPublishTo(g, pk.TopicName):
		h.broker.refuse(c, cl, &pk, reasonTopic, packets.ErrNotAuthorized)
	case h.broker.take(c, &pk) && pk.FixedHeader.Qos == 2:
		return pk, packets.CodeSuccessIgnore // PUBREC, and no fan-out
	}
	return pk, packets.ErrRejectPacket
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
// durable, at QoS 2 after; false means that the message was not taken.
func (e *Embedded) take(c *connection, pk *packets.Packet) bool {
	r := e.record(c, pk.TopicName, pk.Payload)
	r.Dup = pk.FixedHeader.Dup
	var err error
	switch pk.FixedHeader.Qos {
	case 0:
		err = e.Log.Append(r, nil)
	case 1:
		if !c.hold() {
			return false
		}
		packet := pk.PacketID
		if err = e.insist(c, func() error {
			return e.Log.Append(r, func(_ intakelog.LSN, err error) { c.settled(packet, err) })
		}); err != nil {
			c.release(1)
		}
	default:
		err = e.insist(c, func() error {
			_, err := e.Log.AppendWait(c.life, r)
			return err
		})
	}
	if err == nil {
		e.counts.took(pk.FixedHeader.Qos, len(pk.Payload))
		return true
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
		if !errors.Is(err, intakelog.ErrBusy) || try >= holdTries || c.life.Err() != nil {
			return err
		}
	}
}

func (e *Embedded) record(c *connection, topic string, payload []byte) intakelog.Record {
	r := intakelog.Record{Kind: intakelog.Message, Source: "embedded", Received: e.Now(), Topic: topic, Payload: payload}
	if s := c.session.Load(); s != nil {
		if r.Device = s.device; r.Device == "" && namesNoMachine(topic) {
			r.Device = s.name
		}
	}
	return r
}

// OnWill keeps a last will from being retained.
func (h *hook) OnWill(_ *mqtt.Client, will mqtt.Will) (mqtt.Will, error) {
	will.Retain = false
	return will, nil
}

// OnWillSent gives a last will to the log: it is a message like another. When it
// is the broker that leaves, the machines are not the ones who are gone.
func (h *hook) OnWillSent(cl *mqtt.Client, pk packets.Packet) {
	c, ok := cl.Net.Conn.(*connection)
	if !ok || h.broker.stopping.Load() {
		return
	}
	if err := h.broker.Log.Append(h.broker.record(c, pk.TopicName, pk.Payload), nil); err != nil {
		h.broker.counts.refuse(reasonLogFull)
		return
	}
	h.broker.counts.took(0, len(pk.Payload))
}

// isToken says whether a user name is a secret: ThingsBoard's devices give it there.
func isToken(user []byte) bool { return bytes.HasPrefix(user, []byte(tokenPrefix)) }

// withoutToken is a user name as a log may have it.
func withoutToken(user []byte) string {
	if isToken(user) {
		return tokenPrefix + "..."
	}
	return printable(string(user))
}

// printable cuts a text from outside to what a line of the log can bear.
func printable(text string) string { return text[:min(len(text), 100)] }
