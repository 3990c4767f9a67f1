package telemetry

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// unreadFor is how long a client may leave what it is sent unread. Meanwhile it
// is not read from either; then it is taken for dead.
const unreadFor = 2 * time.Minute

// connection is one client's, and holds its acknowledgements. Those are not
// written where they come up, on the log's committer, because a client that does
// not read would hold up all others; nor by the library, which would spend a
// system call on each.
type connection struct {
	net.Conn
	broker  *Embedded
	session atomic.Pointer[session] // nil until CONNECT
	slots   chan struct{}           // one is taken for each message that is not yet acknowledged
	life    context.Context         // ends with the connection
	end     context.CancelFunc

	mu      sync.Mutex
	acks    []byte
	spare   []byte
	writing bool
	over    bool // nothing is begun any more
	failed  bool // the log could not keep a message: no acknowledgement may follow
}

// session is who is at the other end.
type session struct {
	client   *mqtt.Client
	device   string // key of the device that has signed in
	name     string // what an anonymous client calls itself
	signedIn bool
	hash     [sha256.Size]byte // of its token
}

func newConnection(e *Embedded, raw net.Conn) *connection {
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(ackBufferSize)
	}
	_ = raw.SetReadDeadline(time.Now().Add(helloWithin))
	c := &connection{Conn: raw, broker: e, slots: make(chan struct{}, maxUnacknowledged)}
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

// Close ends the connection and lets go whoever waits for it.
func (c *connection) Close() error {
	c.end()
	return c.Conn.Close()
}

// finish closes the connection for good: no acknowledgement is begun after it.
func (c *connection) finish() {
	_ = c.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
}

// SetDeadline is called by the library with the client's keepalive. It is a
// matter of reading alone: Write has its own.
func (c *connection) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// Write gives up on a client that has not read for a long time.
func (c *connection) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(unreadFor)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// grant is what the client may do now; nil for an anonymous one.
func (c *connection) grant() (g *grant, ok bool) {
	s := c.session.Load()
	if s == nil {
		return nil, false
	}
	if !s.signedIn {
		return nil, c.broker.anonymous
	}
	g = c.broker.devices.byHash(s.hash)
	return g, g != nil
}

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
		c.acks = append(c.acks, packets.Puback<<4, 2)
		c.acks = binary.BigEndian.AppendUint16(c.acks, packet)
	}
	if !c.writing {
		c.writing = true
		c.broker.running.Go(c.writeAcks)
	}
}

// writeAcks writes what there is, in the order of the log, and ends.
func (c *connection) writeAcks() {
	for {
		c.mu.Lock()
		out := c.acks
		c.acks, c.spare = c.spare[:0], out
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
		c.release(len(out) / 4)
		if err != nil {
			_ = c.Close()
		}
	}
}

// turnAway disconnects a client without acknowledging anything: it keeps its
// messages and sends them again. One that speaks MQTT 5 is told why.
func (e *Embedded) turnAway(c *connection, code packets.Code) {
	if s := c.session.Load(); s != nil && s.client.Properties.ProtocolVersion == 5 {
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.Conn.Write([]byte{packets.Disconnect << 4, 2, code.Code, 0})
	}
	_ = c.Close()
}
