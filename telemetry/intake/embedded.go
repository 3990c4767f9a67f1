package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"golang.org/x/sync/semaphore"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/edge"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

const (
	maxPacketBytes    = formats.MaxPayload + edge.MaxHead // what an edge forwards has an envelope around it
	maxHelloBytes     = 32 << 10                          // of a CONNECT: whoever sends it is not known yet
	maxUnacknowledged = 1_024                             // messages of one connection; the sender is not read from beyond it
	sessionExpiry     = 3_600                             // seconds that the session of an absent client is kept
	maxTopicAliases   = 16                                // of one connection
	lastAcks          = 2 * time.Second
)

// EmbeddedConfig is what an embedded broker needs. At least one address is given.
type EmbeddedConfig struct {
	Listen    string // MQTT, such as 127.0.0.1:1883
	TLSListen string // MQTT over TLS
	WSListen  string // MQTT over WebSocket
	WSSListen string // MQTT over WebSocket over TLS
	TLS       TLSFiles
	// TokensOnly lets nobody in who does not say who he is, on a loopback address
	// neither: a proxy that others can reach may stand in front of it. That hides
	// where clients come from, so that no address is held to a bound of its own.
	TokensOnly bool
	Limits     EmbeddedLimits
	Log        *intakelog.Log
	Evaluated  func() intakelog.LSN // how far the rules are, must not block; nil = nobody evaluates
	Pool       *postgres.Pool       // where the devices are; nil = there are none
	Now        func() time.Time     // program clock
	Logger     *slog.Logger
}

// EmbeddedLimits bound who may connect; 0 is the value in brackets.
type EmbeddedLimits struct {
	Connections int // at the same time [20,000]
	PerAddress  int // at the same time from one address [5,000]
	Rate        int // new ones a second; the others wait to be accepted [500]
	AddressRate int // new ones a second from one address; the others are told to come back later [100]
}

// Embedded is the MQTT broker in the process, for MQTT 3.1, 3.1.1 and 5. A
// PUBACK from it means that the message is durable in the intake log; only then
// is the message passed on to who has subscribed to it.
type Embedded struct {
	EmbeddedConfig
	doors    []*door
	server   *mqtt.Server
	devices  *credentials
	counts   *counts
	pace     *pace
	share    share
	clients  *clientIDs
	relay    *relay
	turning  *semaphore.Weighted // who is told to come back later
	changed  chan struct{}       // capacity 1: devices were added or revoked
	running  sync.WaitGroup
	unacked  atomic.Int64
	stopping atomic.Bool
	watched  atomic.Pointer[watchedTopic]
	warned   atomic.Int64 // second of the last warning about a client
	life     context.Context
	end      context.CancelFunc

	mu          sync.Mutex
	connections map[*connection]struct{}
}

// OpenEmbedded takes the addresses; nobody is let in before Run.
func OpenEmbedded(c EmbeddedConfig) (*Embedded, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Embedded{
		EmbeddedConfig: c, devices: &credentials{pool: c.Pool}, counts: newCounts("embedded"),
		pace: newPace(c.Limits), clients: newClientIDs(), turning: semaphore.NewWeighted(maxTurnedBack),
		changed: make(chan struct{}, 1), connections: map[*connection]struct{}{},
	}
	e.share.evaluated, e.share.last = c.Evaluated, func() intakelog.LSN { _, last := c.Log.Bounds(); return last }
	e.relay = newRelay(e)
	e.life, e.end = context.WithCancel(context.Background())
	doors, err := e.openDoors()
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	e.doors = doors
	e.server = mqtt.New(&mqtt.Options{
		Capabilities:            capabilities(e.pace.Connections),
		ClientNetReadBufferSize: 4 << 10,
		SysTopicResendInterval:  24 * 3600, // nobody may read them, and making them stops the world
		Logger:                  slog.New(slog.DiscardHandler),
	})
	err = e.server.AddHook(&hook{broker: e}, nil)
	for _, d := range e.doors {
		if err == nil {
			err = e.server.AddListener(&doorkeeper{broker: e, door: d})
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the embedded broker: %w", err), e.Close())
	}
	return e, nil
}

func capabilities(connections int) *mqtt.Capabilities {
	c := mqtt.NewDefaultServerCapabilities()
	c.MaximumClients = int64(connections)
	c.MaximumPacketSize = maxPacketBytes
	c.ReceiveMaximum = maxUnacknowledged
	c.MaximumSessionExpiryInterval = sessionExpiry
	c.MaximumClientWritesPending = 1 // the library sets the memory aside for each client, and sends nothing that way
	c.TopicAliasMaximum = maxTopicAliases
	c.Compatibilities.NoInheritedPropertiesOnAck = true
	return c
}

// Addr is where the first of the doors is.
func (e *Embedded) Addr() net.Addr { return e.doors[0].Addr() }

// URLs are where the broker listens, such as mqtts://127.0.0.1:8883.
func (e *Embedded) URLs() []string {
	urls := make([]string, len(e.doors))
	for i, d := range e.doors {
		urls[i] = d.scheme + "://" + d.Addr().String()
	}
	return urls
}

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

// Close gives the addresses back when Run was never called.
func (e *Embedded) Close() error {
	e.end()
	var all error
	for _, d := range e.doors {
		if err := d.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			all = errors.Join(all, fmt.Errorf("close the embedded broker: %w", err))
		}
	}
	return all
}

// Run serves until ctx ends. What was appended by then is still acknowledged,
// unless the log takes too long.
func (e *Embedded) Run(ctx context.Context) error {
	if err := e.devices.refresh(ctx, 0); err != nil {
		e.Logger.Warn("devices are not known yet, trying again", "error", err)
	}
	var relaying sync.WaitGroup
	relaying.Go(e.relay.run)
	defer relaying.Wait()
	defer e.relay.end()
	e.running.Add(len(e.doors)) // for the doorkeepers
	if err := e.server.Serve(); err != nil {
		return fmt.Errorf("serve MQTT: %w", err)
	}
	for _, d := range e.doors {
		e.Logger.Info("listening for MQTT", "address", d.scheme+"://"+d.Addr().String(), "anonymous", d.local && !e.TokensOnly)
	}
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
		e.pace.prune()
	}
}

func (e *Embedded) disconnectRevoked() {
	e.mu.Lock()
	var revoked []*connection
	for c := range e.connections {
		if s := c.session.Load(); s != nil && s.signedIn {
			if _, ok := c.grant(); !ok {
				revoked = append(revoked, c)
			}
		}
	}
	e.mu.Unlock()
	for _, c := range revoked {
		e.counts.refuse(reasonRevoked)
		e.warn("a device was disconnected because its token was revoked or its certificate has ended", "device", c.session.Load().device)
		c.ours.Store(true)
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

// problemListen says which flag to change when an address cannot be taken.
func problemListen(flag, address string, err error) error {
	return problem.New(problem.Invalid, "cannot listen for MQTT on %s (%v); stop what uses it or give another address with %s", address, err, flag)
}
