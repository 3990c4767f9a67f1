package intake

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

const (
	// unreadFor is how long a client may leave what it is sent unread. Meanwhile it
	// is not read from either; then it is taken for dead.
	unreadFor = 2 * time.Minute
	// maxUnread is how many bytes wait here for a client that reads slowly; what is
	// meant for it beyond that waits in its mailbox.
	maxUnread = 128 << 10
	// drainWithin is how long a client that was disconnected may take to read why.
	drainWithin = 500 * time.Millisecond
)

// connection is one client's, and holds its acknowledgements and what it has
// subscribed to. Those are not written where they come up, on the log's committer
// and by the relay, because a client that does not read would hold up all others;
// nor by the library, which would spend a system call on each.
type connection struct {
	net.Conn // with TLS and WebSocket taken off
	raw      net.Conn
	door     *door
	from     netip.Addr // zero when it is not counted by address
	broker   *Embedded
	session  atomic.Pointer[session] // nil until CONNECT
	box      atomic.Pointer[mailbox] // nil until it has subscribed
	slots    chan struct{}           // one is taken for each message that is not yet acknowledged
	life     context.Context         // ends with the connection
	end      context.CancelFunc
	gone     chan struct{} // closed when the library is done with it
	hello    helloBound
	ended    bool                  // the client has closed it
	claimed  string                // client id that it holds
	granted  packets.Subscriptions // of the SUBSCRIBE that is being answered

	shown   bool      // a certificate that a known authority has signed
	keys    []string  // what the certificate may stand for
	until   time.Time // the certificate's end
	browser bool      // a page of some site has opened it

	silentWill bool        // its last will has no bytes
	said       said        // of its reader alone
	ours       atomic.Bool // it was ended here, which says nothing of the client

	mu      sync.Mutex
	out     []byte
	spare   []byte
	owed    int // acknowledgements in out
	writing bool
	over    bool // nothing is begun any more
	failed  bool // the log could not keep a message: no acknowledgement may follow
}

// session is who is at the other end.
type session struct {
	client    *mqtt.Client
	id        string // the library's client id: nobody else can have it
	device    string // key of the device that has signed in
	name      string // what an anonymous client calls itself
	signedIn  bool
	token     bool              // has signed in by one, else by certificate
	hash      [sha256.Size]byte // of its token
	will      *message
	willDelay time.Duration
}

func newConnection(e *Embedded, raw net.Conn, d *door) *connection {
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(ackBufferSize)
	}
	c := &connection{Conn: raw, raw: raw, door: d, broker: e, slots: make(chan struct{}, maxUnacknowledged), gone: make(chan struct{})}
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

// Close ends the connection and lets go whoever waits for it. What was written
// still goes out; leave gives the socket back.
func (c *connection) Close() error {
	c.end()
	if half, ok := c.raw.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	return c.raw.SetDeadline(time.Unix(1, 0)) // whoever reads or writes is let go
}

// finish closes the connection for good: no acknowledgement is begun after it.
func (c *connection) finish() {
	_ = c.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
}

// drain gives the client a moment to read why it was disconnected: closing with
// something of its own unread would take that away.
func (c *connection) drain() {
	if !c.ended && !c.broker.stopping.Load() && c.raw.SetReadDeadline(time.Now().Add(drainWithin)) == nil {
		_, _ = io.CopyN(io.Discard, c.raw, maxPacketBytes)
	}
	_ = c.raw.Close()
}

// SetDeadline is called by the library with the client's keepalive. It is a
// matter of reading alone: Write has its own.
func (c *connection) SetDeadline(t time.Time) error {
	err := c.raw.SetReadDeadline(t)
	if c.life.Err() != nil { // Close came between
		return c.raw.SetReadDeadline(time.Unix(1, 0))
	}
	return err
}

// Read looks at how long the CONNECT says that it is before the library sets that
// much memory aside.
func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.ended = errors.Is(err, io.EOF)
	if !c.hello.done && !c.hello.allows(p[:n]) {
		return 0, packets.ErrPacketTooLarge
	}
	return n, err
}

// Write gives up on a client that has not read for a long time.
func (c *connection) Write(p []byte) (int, error) {
	if err := c.raw.SetWriteDeadline(time.Now().Add(unreadFor)); err != nil {
		return 0, err
	}
	if c.life.Err() != nil { // what is written after Close goes nowhere, and must not wait
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

// helloBound reads the length of the first packet of a connection.
type helloBound struct {
	seen, size int
	done       bool
}

func (h *helloBound) allows(p []byte) bool {
	for _, b := range p {
		if h.seen++; h.seen == 1 {
			continue
		}
		h.size |= int(b&127) << (7 * (h.seen - 2))
		if b < 128 || h.seen > 5 {
			h.done = true
			break
		}
	}
	return h.size <= maxHelloBytes
}

// grant is what the client may do now; nil for an anonymous one.
func (c *connection) grant() (g *grant, ok bool) {
	s := c.session.Load()
	switch {
	case s == nil:
		return nil, false
	case !s.signedIn:
		return nil, c.anonymous()
	case c.shown && time.Now().After(c.until):
		return nil, false
	}
	return c.broker.grantOf(s)
}

// grantOf is what whoever owns a session may do now, also while he is away.
func (e *Embedded) grantOf(s *session) (g *grant, ok bool) {
	switch {
	case !s.signedIn:
		return nil, true
	case s.token:
		g = e.devices.byHash(s.hash)
	default:
		g = e.devices.byKey(s.device)
	}
	return g, g != nil
}

// anonymous says whether one may stay who does not say who he is.
func (c *connection) anonymous() bool { return c.door.local && !c.broker.TokensOnly && !c.browser }

// hold takes a slot for a message; false when the connection has ended.
func (c *connection) hold() bool {
	select {
	case c.slots <- struct{}{}:
		c.broker.unacked.Add(1)
		return true
	case <-c.life.Done():
		return false
	}
}

func (c *connection) release(n int) {
	for range n {
		<-c.slots
	}
	c.broker.unacked.Add(-int64(n))
}

// settled is called by the log's committer when a message is durable or cannot
// be made so.
func (c *connection) settled(packet uint16, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || c.failed || c.over {
		c.failed = c.failed || err != nil
		c.release(1)
		if !c.failed || c.over {
			return
		}
	} else {
		c.out = append(c.out, packets.Puback<<4, 2)
		c.out = binary.BigEndian.AppendUint16(c.out, packet)
		c.owed++
	}
	c.write()
}

// send queues a packet, unless too much waits already.
func (c *connection) send(p []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.failed || len(c.out) > 0 && len(c.out)+len(p) > maxUnread {
		return false
	}
	c.out = append(c.out, p...)
	c.write()
	return true
}

// write has what was queued written; mu is held.
func (c *connection) write() {
	if !c.writing {
		c.writing = true
		c.broker.running.Go(c.writeQueued)
	}
}

// writeQueued writes what there is, acknowledgements in the order of the log, and
// ends.
func (c *connection) writeQueued() {
	for {
		c.mu.Lock()
		out, owed := c.out, c.owed
		c.out, c.spare, c.owed = c.spare[:0], out, 0
		if cap(c.spare) > maxUnread {
			c.spare = nil // one large message
		}
		failed := c.failed
		c.writing = len(out) > 0
		c.mu.Unlock()
		if len(out) == 0 {
			if failed {
				c.broker.turnAway(c, packets.ErrQuotaExceeded)
			}
			return
		}
		_, err := c.Write(out)
		c.release(owed)
		if err != nil {
			_ = c.Close()
		} else if box := c.box.Load(); box != nil {
			box.pump()
		}
	}
}

// turnAway disconnects a client without acknowledging anything: it keeps its
// messages and sends them again. One that speaks MQTT 5 is told why.
func (e *Embedded) turnAway(c *connection, code packets.Code) {
	c.ours.Store(true)
	if s := c.session.Load(); s != nil && s.client.Properties.ProtocolVersion == 5 {
		_ = c.raw.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.Conn.Write([]byte{packets.Disconnect << 4, 2, code.Code, 0})
	}
	_ = c.Close()
}
