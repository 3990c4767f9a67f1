package telemetry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

const (
	maxPacketBytes    = 256 << 10
	maxUnacknowledged = 1_024 // messages of one connection; the sender is not read from beyond it
	maxConnections    = 20_000
	sessionExpiry     = 3_600 // seconds that the session of an absent client is kept
	lastAcks          = 2 * time.Second
)

// EmbeddedConfig is what an embedded broker needs.
type EmbeddedConfig struct {
	Listen string // such as 127.0.0.1:1883; without a token only where the address is a loopback one
	TLS    *tls.Config
	// TokensOnly lets nobody in without a token, on a loopback address neither: a
	// proxy that others can reach may stand in front of it.
	TokensOnly bool
	Log        *intakelog.Log
	Pool       *postgres.Pool   // where the devices are; nil = there are none
	Now        func() time.Time // program clock
	Logger     *slog.Logger
}

// Embedded is the MQTT broker in the process, for MQTT 3.1, 3.1.1 and 5. A
// PUBACK from it means that the message is durable in the intake log. It is an
// intake and nothing else: what is published is not passed on to subscribers.
type Embedded struct {
	EmbeddedConfig
	door      net.Listener
	server    *mqtt.Server
	devices   *credentials
	anonymous bool
	counts    *intakeCounts
	changed   chan struct{} // capacity 1: devices were added or revoked
	running   sync.WaitGroup
	unacked   atomic.Int64
	stopping  atomic.Bool
	warned    atomic.Int64 // second of the last warning about a client

	mu          sync.Mutex
	connections map[*connection]struct{}
}

// OpenEmbedded takes the address; nobody is let in before Run.
func OpenEmbedded(c EmbeddedConfig) (*Embedded, error) {
	door, err := new(net.ListenConfig).Listen(context.Background(), "tcp", c.Listen)
	if err != nil {
		return nil, problem.New(problem.Invalid, "cannot listen for MQTT on %s (%v); stop what uses it or give another address with --mqtt-listen", c.Listen, err)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Embedded{
		EmbeddedConfig: c, door: door, devices: &credentials{pool: c.Pool}, counts: newIntakeCounts("embedded"),
		changed: make(chan struct{}, 1), connections: map[*connection]struct{}{},
	}
	if addr, ok := door.Addr().(*net.TCPAddr); ok {
		e.anonymous = addr.IP.IsLoopback() && !c.TokensOnly
	}
	if c.TLS != nil {
		e.door = tls.NewListener(door, c.TLS)
	}
	e.server = mqtt.New(&mqtt.Options{
		Capabilities:            capabilities(),
		ClientNetReadBufferSize: 8 << 10,
		SysTopicResendInterval:  24 * 3600, // nobody may read them, and making them stops the world
		Logger:                  slog.New(slog.DiscardHandler),
	})
	err = e.server.AddHook(&hook{broker: e}, nil)
	if err == nil {
		err = e.server.AddListener(&doorkeeper{broker: e})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the embedded broker: %w", err), door.Close())
	}
	return e, nil
}

func capabilities() *mqtt.Capabilities {
	c := mqtt.NewDefaultServerCapabilities()
	c.MaximumClients = maxConnections
	c.MaximumPacketSize = maxPacketBytes
	c.ReceiveMaximum = maxUnacknowledged
	c.MaximumSessionExpiryInterval = sessionExpiry
	c.MaximumClientWritesPending = 64 // the library sets the memory aside for each client
	c.TopicAliasMaximum = 0           // the library checks permissions before it resolves an alias
	c.Compatibilities.NoInheritedPropertiesOnAck = true
	return c
}

// Addr is where the broker listens.
func (e *Embedded) Addr() net.Addr { return e.door.Addr() }

// Connections is how many clients are connected.
func (e *Embedded) Connections() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.connections)
}

// DevicesChanged says that devices or aliases were changed: they are read again
// at once, and who may no longer be connected is disconnected.
func (e *Embedded) DevicesChanged() {
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

// Close gives the address back when Run was never called.
func (e *Embedded) Close() error {
	if err := e.door.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the embedded broker: %w", err)
	}
	return nil
}

// Run serves until ctx ends. What was appended by then is still acknowledged,
// unless the log takes too long.
func (e *Embedded) Run(ctx context.Context) error {
	if err := e.devices.refresh(ctx, 0); err != nil {
		e.Logger.Warn("devices are not known yet, trying again", "error", err)
	}
	e.running.Add(1) // for the doorkeeper
	if err := e.server.Serve(); err != nil {
		return fmt.Errorf("serve MQTT: %w", err)
	}
	e.Logger.Info("listening for MQTT", "address", e.Addr().String(), "anonymous", e.anonymous, "tls", e.TLS != nil)
	e.watchDevices(ctx)
	e.stopping.Store(true)
	e.awaitLastAcks()
	err := e.server.Close()
	e.running.Wait()
	if err != nil {
		return fmt.Errorf("stop the embedded broker: %w", err)
	}
	return nil
}

// watchDevices disconnects whose token was revoked, until ctx ends.
func (e *Embedded) watchDevices(ctx context.Context) {
	tick := time.NewTicker(credentialsEvery)
	defer tick.Stop()
	trouble := false
	for {
		age := credentialsEvery / 2
		select {
		case <-ctx.Done():
			return
		case <-e.changed:
			age = 0
		case <-tick.C:
		}
		err := e.devices.refresh(ctx, age)
		if err != nil && !trouble && ctx.Err() == nil {
			e.Logger.Warn("devices cannot be read; known ones are let in, new ones wait", "error", err)
		}
		trouble = err != nil
		e.disconnectRevoked()
	}
}

func (e *Embedded) disconnectRevoked() {
	e.mu.Lock()
	var revoked []*connection
	for c := range e.connections {
		if s := c.session.Load(); s != nil && s.signedIn && e.devices.byHash(s.hash) == nil {
			revoked = append(revoked, c)
		}
	}
	e.mu.Unlock()
	for _, c := range revoked {
		e.counts.refuse(reasonRevoked)
		e.warn("a device was disconnected because its token was revoked", "device", c.session.Load().device)
		_ = c.Close()
	}
}

// awaitLastAcks gives the log a moment for what it has been given.
func (e *Embedded) awaitLastAcks() {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(lastAcks)
	for e.unacked.Load() > 0 {
		select {
		case <-tick.C:
		case <-deadline:
			return
		}
	}
}

// warn says something about a client, at most once a second: clients may be many
// and may try again and again.
func (e *Embedded) warn(text string, args ...any) {
	now := time.Now().Unix()
	if last := e.warned.Load(); now > last && e.warned.CompareAndSwap(last, now) {
		e.Logger.Warn(text, args...) //nolint:sloglint // every caller gives a constant
	}
}
