package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

const (
	helloWithin   = 10 * time.Second // in which TLS, WebSocket and CONNECT must be done
	acceptAgain   = 50 * time.Millisecond
	ackBufferSize = 64 << 10 // what the system holds of acknowledgements that a client does not read
)

// door is one address of the broker.
type door struct {
	net.Listener
	scheme string   // mqtt, mqtts, ws or wss
	keys   *keyring // nil without TLS
	web    bool     // MQTT is inside a WebSocket
	local  bool     // a loopback address: who connects is on this host
}

// openDoors takes the addresses that are given.
func (e *Embedded) openDoors() (doors []*door, err error) {
	defer func() {
		if err != nil {
			for _, d := range doors {
				d.Close()
			}
		}
	}()
	var keys *keyring
	if e.TLSListen != "" || e.WSSListen != "" {
		if keys, err = openKeyring(e.TLS, e.Logger); err != nil {
			return nil, problemTLS(err)
		}
	}
	for _, d := range []struct {
		flag, address string
		door
	}{
		{"--mqtt-listen", e.Listen, door{scheme: "mqtt"}},
		{"--mqtt-tls-listen", e.TLSListen, door{scheme: "mqtts", keys: keys}},
		{"--mqtt-ws-listen", e.WSListen, door{scheme: "ws", web: true}},
		{"--mqtt-wss-listen", e.WSSListen, door{scheme: "wss", web: true, keys: keys}},
	} {
		if d.address == "" {
			continue
		}
		listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", d.address)
		if err != nil {
			return doors, problemListen(d.flag, d.address, err)
		}
		tcp, ok := listener.Addr().(*net.TCPAddr)
		d.Listener, d.local = listener, ok && tcp.IP.IsLoopback()
		doors = append(doors, &d.door)
	}
	if len(doors) == 0 {
		return nil, problemListen("--mqtt-listen", "no address", errNoAddress)
	}
	return doors, nil
}

var errNoAddress = errors.New("none is given")

// doorkeeper lets connections in. Unlike the library's own listeners it goes on
// when there are no more descriptors, and a panic of the library, which one
// malformed packet can cause, ends the connection that sent it and not the
// process.
type doorkeeper struct {
	broker *Embedded
	door   *door
}

var _ listeners.Listener = (*doorkeeper)(nil)

// Init does nothing: the address was taken by OpenEmbedded.
func (d *doorkeeper) Init(*slog.Logger) error { return nil }

// ID names the door.
func (d *doorkeeper) ID() string { return d.door.scheme }

// Address is where it listens.
func (d *doorkeeper) Address() string { return d.door.Addr().String() }

// Protocol is for the library's log.
func (d *doorkeeper) Protocol() string { return d.door.scheme }

// Serve accepts connections until the door is closed.
func (d *doorkeeper) Serve(establish listeners.EstablishFn) {
	e := d.broker
	defer e.running.Done()
	for {
		raw, err := d.door.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			e.warn("a connection could not be accepted", "error", err)
			select {
			case <-time.After(acceptAgain): // no descriptors; those who are here go on
			case <-e.life.Done():
			}
			continue
		}
		c, reason := e.admit(raw, d.door)
		if reason != "" {
			e.turnBack(raw, d.door, reason)
			continue
		}
		go func() {
			defer e.running.Done()
			e.serve(c, establish)
		}()
	}
}

// admit takes a connection in, unless there are too many, they come too fast or
// the end has come.
func (e *Embedded) admit(raw net.Conn, d *door) (*connection, string) {
	from := addressOf(raw.RemoteAddr())
	counted := !e.TokensOnly || !d.local // else everybody comes from the proxy
	if counted && !e.pace.enter(from) {
		return nil, reasonTooFast
	}
	c, reason := newConnection(e, raw, d), ""
	if e.pace.wait(e.life) != nil || !e.keep(c) {
		reason = reasonTooMany
	}
	if reason != "" {
		c.end()
		if counted {
			e.pace.leave(from)
		}
		return nil, reason
	}
	if counted {
		c.from = from
	}
	return c, ""
}

// keep enters a connection among those that are open.
func (e *Embedded) keep(c *connection) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopping.Load() || len(e.connections) >= e.pace.Connections {
		return false
	}
	e.connections[c] = struct{}{}
	e.running.Add(1)
	return true
}

func (e *Embedded) serve(c *connection, establish listeners.EstablishFn) {
	defer e.leave(c)
	_ = c.raw.SetReadDeadline(time.Now().Add(helloWithin))
	err := c.unwrap()
	if err == nil {
		err = guarded(c, establish)
	}
	if err == nil {
		return
	}
	reason, told := c.reasonOf(err)
	if told {
		e.counts.refuse(reason)
		e.warn("a client was disconnected", "remote", c.RemoteAddr().String(), "reason", reason, "error", err)
	}
	e.Logger.Debug("a connection has ended", "remote", c.RemoteAddr().String(), "error", err)
}

// leave undoes what admit and the session have entered.
func (e *Embedded) leave(c *connection) {
	c.finish()
	if c.claimed != "" {
		e.clients.release(c.claimed, c)
	}
	close(c.gone)
	c.drain()
	if c.from.IsValid() {
		e.pace.leave(c.from)
	}
	e.mu.Lock()
	delete(e.connections, c)
	e.mu.Unlock()
}

var errPanicked = errors.New("the broker's library panicked on what the client sent")

func guarded(c *connection, establish listeners.EstablishFn) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", errPanicked, cause)
			c.broker.Logger.Debug("panic of the MQTT library", "cause", cause, "stack", string(debug.Stack()))
			c.broker.forget(c)
		}
	}()
	return establish(c.door.scheme, c)
}

// forget does what the library would have done had it not panicked.
func (e *Embedded) forget(c *connection) {
	s := c.session.Load()
	if s == nil {
		return
	}
	s.client.Stop(errPanicked)
	if known, ok := e.server.Clients.Get(s.client.ID); ok && known == s.client {
		e.server.UnsubscribeClient(s.client)
		s.client.ClearInflights()
		e.server.Clients.Delete(s.client.ID)
	}
	e.relay.drop(s.id)
}

// Close closes all doors, then every connection, and waits for all of them.
func (d *doorkeeper) Close(listeners.CloseFn) {
	e := d.broker
	e.end()
	for _, door := range e.doors {
		_ = door.Listener.Close()
	}
	e.mu.Lock()
	left := make([]*connection, 0, len(e.connections))
	for c := range e.connections {
		left = append(left, c)
	}
	e.mu.Unlock()
	for _, c := range left { // at once: one that does not read must not hold up the others
		e.running.Go(func() { e.turnAway(c, packets.ErrServerShuttingDown) })
	}
	e.running.Wait()
}

// reasonOf says under which name an end of a connection is counted; false for an
// ordinary one.
func (c *connection) reasonOf(err error) (string, bool) {
	var code packets.Code
	switch {
	case errors.Is(err, errPanicked):
		return reasonPanic, true
	case errors.Is(err, errTold):
		return "", false
	case errors.Is(err, errTLS):
		return reasonTLS, true
	case errors.Is(err, errWeb):
		return reasonWeb, true
	case errors.Is(err, packets.ErrPacketTooLarge):
		return reasonTooLarge, true
	case c.session.Load() == nil && errors.Is(err, os.ErrDeadlineExceeded):
		return reasonSilent, true
	case errors.As(err, &code) && code.Code >= packets.ErrUnspecifiedError.Code && code != packets.ErrSessionTakenOver && code != packets.ErrServerShuttingDown:
		return reasonMalformed, true
	}
	return "", false
}

// errTold ends a connection whose reason was counted already.
var errTold = errors.New("refused")
