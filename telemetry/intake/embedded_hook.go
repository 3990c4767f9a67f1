package intake

import (
	"bytes"
	"crypto/sha256"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// hook is what the broker's library asks us.
type hook struct {
	mqtt.HookBase
	broker *Embedded
}

var _ mqtt.Hook = (*hook)(nil)

// ID names the hook in the library's log.
func (h *hook) ID() string { return "intake" }

// Provides lists what is asked.
func (h *hook) Provides(b byte) bool {
	return bytes.IndexByte([]byte{
		mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnSessionEstablish, mqtt.OnSessionEstablished,
		mqtt.OnDisconnect, mqtt.OnClientExpired, mqtt.OnPacketRead, mqtt.OnPacketEncode, mqtt.OnPacketProcessed,
		mqtt.OnSubscribed, mqtt.OnPublish, mqtt.OnWill, mqtt.OnWillSent,
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
		// No device takes over the session of another by using its client id, and
		// nobody without a token that of a device: a key is never empty.
		s.id = s.device + "/" + cl.ID
		reason, code = h.broker.claim(c, s)
	}
	if reason == "" {
		s.takeWill(cl, &pk)
		if c.silentWill {
			s.will.payload = nil
		}
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
	switch code.Code {
	case packets.ErrUnspecifiedError.Code, packets.ErrClientIdentifierNotValid.Code:
		return packets.Err3ClientIdentifierNotValid.Code
	case packets.ErrBadUsernameOrPassword.Code:
		return packets.ErrMalformedUsernameOrPassword.Code
	case packets.ErrNotAuthorized.Code:
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
	if e.server.Clients.Len() >= 2*e.pace.Connections { // those who are away are kept, too
		return reasonSessions, packets.ErrServerBusy
	}
	g, reason, code := e.signIn(c, s, pk.Connect.Username, pk.Connect.Password)
	if reason != "" {
		return reason, code
	}
	if will := pk.Connect.WillTopic; pk.Connect.WillFlag && (topicFault(will) != "" || !mayPublishTo(g, will)) {
		return reasonTopic, packets.ErrNotAuthorized
	}
	return "", packets.CodeSuccess
}

// signIn looks at a token, else at the certificate, else at whether none is
// needed. Who shows both must be the same device by both.
func (e *Embedded) signIn(c *connection, s *session, user, password []byte) (g *grant, reason string, code packets.Code) {
	var sure bool
	switch {
	case len(password) > 0 || isToken(user) || len(user) > 0 && !c.shown && !c.anonymous():
		token := password
		if len(token) == 0 {
			token = user // as ThingsBoard's devices sign in
		}
		s.hash, s.token = sha256.Sum256(token), true
		g, sure = e.devices.of(c.life, func() *grant { return e.devices.byHash(s.hash) })
		if g != nil && len(password) > 0 && g.key != string(user) {
			return nil, reasonCredentials, packets.ErrBadUsernameOrPassword
		}
	case c.shown:
		g, sure = e.devices.of(c.life, func() *grant { return e.devices.byKey(c.keys...) })
		if g != nil && len(user) > 0 && g.key != string(user) {
			return nil, reasonCredentials, packets.ErrBadUsernameOrPassword
		}
	case c.anonymous():
		return nil, "", packets.CodeSuccess
	default:
		return nil, reasonCredentials, packets.ErrNotAuthorized
	}
	switch {
	case !sure:
		return nil, reasonUnavailable, packets.ErrServerUnavailable
	case g == nil || c.shown && !c.stands(g.key):
		return nil, reasonCredentials, packets.ErrBadUsernameOrPassword
	}
	s.device, s.signedIn = g.key, true
	return g, "", packets.CodeSuccess
}

// stands says whether the certificate may stand for a device.
func (c *connection) stands(key string) bool {
	for _, k := range c.keys {
		if k == key {
			return true
		}
	}
	return false
}

// takeWill keeps the last will. The library would lose its properties, and those
// that wait for a session that ends first.
func (s *session) takeWill(cl *mqtt.Client, pk *packets.Packet) {
	if !pk.Connect.WillFlag {
		return
	}
	w := pk.Connect
	s.will = &message{topic: w.WillTopic, payload: w.WillPayload, qos: w.WillQos, retain: w.WillRetain, origin: s.id, device: s.device}
	s.will.take(&w.WillProperties, time.Now())
	s.willDelay = time.Duration(cl.Properties.Will.WillDelayInterval) * time.Second
	if left := cl.Properties.Props.SessionExpiryInterval; pk.ProtocolVersion == 5 && time.Duration(left)*time.Second < s.willDelay {
		s.willDelay = time.Duration(left) * time.Second
	}
	cl.Properties.Will.WillDelayInterval = 0
}

// OnConnectAuthenticate has nothing left to decide.
func (h *hook) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

// OnSessionEstablish gives the client the id that is its own.
func (h *hook) OnSessionEstablish(cl *mqtt.Client, _ packets.Packet) {
	if c, s := at(cl); s != nil && c != nil {
		cl.ID = s.id
	}
}

// OnPacketEncode tells MQTT 5 clients what they may do.
func (h *hook) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type != packets.Connack {
		return pk
	}
	if pk.ReasonCode >= packets.ErrUnspecifiedError.Code && cl.Properties.ProtocolVersion < 5 {
		pk.ReasonCode = oldCode(packets.Code{Code: pk.ReasonCode}) // the library says 0x80 to who has no client id
	}
	pk.Properties.MaximumPacketSize = maxPacketBytes
	pk.Properties.TopicAliasMaximum = maxTopicAliases
	if c, s := at(cl); s != nil {
		if g, known := c.grant(); known && !mayRetain(g) {
			pk.Properties.RetainAvailable, pk.Properties.RetainAvailableFlag = 0, true
		}
		if !pk.SessionPresent {
			h.broker.relay.drop(s.id)
		}
	}
	return pk
}

// OnSessionEstablished gives a client what has waited for it.
func (h *hook) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	if c, s := at(cl); s != nil {
		h.broker.relay.comeBack(c, s)
	}
}

// OnDisconnect keeps what is meant for a client that may come back, and notes how it
// went: the library has no error for who took leave.
func (h *hook) OnDisconnect(cl *mqtt.Client, err error, expire bool) {
	if c, s := at(cl); s != nil {
		h.broker.relay.goAway(c, s, expire)
		h.broker.noteEnd(c, s, err == nil)
	}
}

// OnClientExpired forgets a client that has not come back.
func (h *hook) OnClientExpired(cl *mqtt.Client) { h.broker.relay.drop(cl.ID) }

// at returns the connection of a client and who is at its other end, nil before
// CONNECT was accepted.
func at(cl *mqtt.Client) (*connection, *session) {
	c, ok := cl.Net.Conn.(*connection)
	if !ok {
		return nil, nil
	}
	return c, c.session.Load()
}

// OnACLCheck is asked for each filter of a SUBSCRIBE. Whether a client may
// publish is decided by OnPublish, which can answer.
func (h *hook) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	if write {
		return true
	}
	if brokersOwn(topic) && !isShared(topic) {
		return false // also what the library itself would send, such as a last will: the relay does that
	}
	c, s := at(cl)
	if s == nil {
		return false
	}
	g, known := c.grant()
	if !known || !maySubscribeTo(g, topic) || cl.State.Subscriptions.Len() >= maxSubscriptions {
		h.broker.counts.refuse(reasonFilter)
		h.broker.warn("a subscription was refused", "remote", c.RemoteAddr().String(), "device", s.device, "filter", printable(topic))
		return false
	}
	return true
}

// OnSubscribed notes what was granted; the client is answered first.
func (h *hook) OnSubscribed(cl *mqtt.Client, pk packets.Packet, codes []byte) {
	c, s := at(cl)
	if s == nil {
		return
	}
	for i, sub := range pk.Filters {
		if codes[i] < packets.ErrUnspecifiedError.Code {
			sub.Qos = codes[i]
			c.granted = append(c.granted, sub)
		}
	}
	if len(c.granted) > 0 {
		h.broker.relay.open(c, s)
	}
}

// OnPacketProcessed gives a new subscriber the retained messages.
func (h *hook) OnPacketProcessed(cl *mqtt.Client, pk packets.Packet, _ error) {
	if pk.FixedHeader.Type != packets.Subscribe {
		return
	}
	if c, s := at(cl); s != nil && len(c.granted) > 0 {
		h.broker.relay.welcome(c, c.granted)
		c.granted = nil
	}
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
