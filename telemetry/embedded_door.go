package telemetry

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

const (
	helloWithin   = 10 * time.Second // in which CONNECT must have come
	acceptAgain   = 50 * time.Millisecond
	ackBufferSize = 64 << 10 // what the system holds of acknowledgements that a client does not read
)

// doorkeeper lets connections in. Unlike the library's own listeners it goes on
// when there are no more descriptors, and a panic of the library, which one
// malformed packet can cause, ends the connection that sent it and not the
// process.
type doorkeeper struct{ broker *Embedded }

var _ listeners.Listener = (*doorkeeper)(nil)

// Init does nothing: the address was taken by OpenEmbedded.
func (d *doorkeeper) Init(*slog.Logger) error { return nil }

// ID names the only listener.
func (d *doorkeeper) ID() string { return "embedded" }

// Address is where it listens.
func (d *doorkeeper) Address() string { return d.broker.Addr().String() }

// Protocol is for the library's log.
func (d *doorkeeper) Protocol() string { return "tcp" }

// Serve accepts connections until the door is closed.
func (d *doorkeeper) Serve(establish listeners.EstablishFn) {
	e := d.broker
	defer e.running.Done()
	for {
		raw, err := e.door.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			e.warn("a connection could not be accepted", "error", err)
			<-time.After(acceptAgain) // no descriptors; those who are here go on
			continue
		}
		if c := e.admit(raw); c != nil {
			go func() {
				defer e.running.Done()
				e.serve(c, establish)
			}()
		}
	}
}

// admit takes a connection in, unless there are too many or the end has come.
func (e *Embedded) admit(raw net.Conn) *connection {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopping.Load() || len(e.connections) >= maxConnections {
		e.counts.refuse(reasonTooMany)
		_ = raw.Close()
		return nil
	}
	c := newConnection(e, raw)
	e.connections[c] = struct{}{}
	e.running.Add(1)
	return c
}

func (e *Embedded) serve(c *connection, establish listeners.EstablishFn) {
	defer func() {
		c.finish()
		e.mu.Lock()
		delete(e.connections, c)
		e.mu.Unlock()
	}()
	if err := guarded(c, establish); err != nil {
		reason, told := reasonOf(err)
		if told {
			e.counts.refuse(reason)
			e.warn("a client was disconnected", "remote", c.RemoteAddr().String(), "reason", reason, "error", err)
		}
		e.Logger.Debug("a connection has ended", "remote", c.RemoteAddr().String(), "error", err)
	}
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
	return establish("embedded", c)
}

// forget does what the library would have done had it not panicked.
func (e *Embedded) forget(c *connection) {
	s := c.session.Load()
	if s == nil {
		return
	}
	if known, ok := e.server.Clients.Get(s.client.ID); ok && known == s.client {
		e.server.UnsubscribeClient(s.client)
		s.client.ClearInflights()
		e.server.Clients.Delete(s.client.ID)
	}
}

// Close closes the door, then every connection, and waits for all of them.
func (d *doorkeeper) Close(closeClients listeners.CloseFn) {
	e := d.broker
	_ = e.door.Close()
	closeClients(d.ID()) // those who speak MQTT 5 are told why
	e.mu.Lock()
	left := make([]*connection, 0, len(e.connections))
	for c := range e.connections {
		left = append(left, c)
	}
	e.mu.Unlock()
	for _, c := range left {
		_ = c.Close()
	}
	e.running.Wait()
}

// reasonOf says under which name an end of a connection is counted; false for an
// ordinary one.
func reasonOf(err error) (string, bool) {
	var code packets.Code
	switch {
	case errors.Is(err, errPanicked):
		return reasonPanic, true
	case errors.Is(err, errTold):
		return "", false
	case errors.Is(err, packets.ErrPacketTooLarge):
		return reasonTooLarge, true
	case errors.As(err, &code) && code.Code >= packets.ErrUnspecifiedError.Code && code != packets.ErrSessionTakenOver && code != packets.ErrServerShuttingDown:
		return reasonMalformed, true
	}
	return "", false
}

// errTold ends a connection whose reason was counted already.
var errTold = errors.New("refused")

var _ mqtt.Hook = (*hook)(nil)
