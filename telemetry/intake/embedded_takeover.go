package intake

import (
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

const (
	takeoverWait  = 5 * time.Second // for the one before to be gone
	takeoverFree  = 3               // so many may follow each other at once: a device on a bad line
	takeoverAfter = time.Second     // how long the second to take over must wait, twice as long each time
	takeoverMost  = 32 * time.Second
	takeoverCalm  = 5 * time.Minute // after which it was no quarrel
)

// clientIDs says who has a client id. MQTT lets a newcomer with the same id push
// out the one before, which is right for a device that comes back over another
// line and wrong for two devices with one name: they would push each other out
// for ever. The first few times are allowed at once, each further one later.
type clientIDs struct {
	mu  sync.Mutex
	ids map[string]*claim
}

type claim struct {
	holder *connection
	since  time.Time
	fights int
	calm   time.Time // nobody takes over before it
}

func newClientIDs() *clientIDs { return &clientIDs{ids: map[string]*claim{}} }

// take gives c the id; before is who must be pushed out first. It is false when
// the id is fought about and the newcomer must wait.
func (k *clientIDs) take(id string, c *connection, now time.Time) (before *connection, fights int, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	held := k.ids[id]
	if held == nil {
		k.ids[id] = &claim{holder: c, since: now}
		return nil, 0, true
	}
	if now.Sub(held.since) > takeoverCalm {
		held.fights = 0
	}
	if held.fights >= takeoverFree && now.Before(held.calm) {
		return nil, held.fights, false
	}
	before = held.holder
	held.calm = now.Add(min(takeoverAfter<<min(max(held.fights-takeoverFree+1, 0), 10), takeoverMost))
	held.fights++
	held.holder, held.since = c, now
	return before, held.fights, true
}

// release gives the id back, unless somebody has taken it over.
func (k *clientIDs) release(id string, c *connection) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if held := k.ids[id]; held != nil && held.holder == c {
		delete(k.ids, id)
	}
}

// claim makes c the only connection of its session and waits until the one
// before is gone: the library would let them run side by side for a moment, in
// which the newcomer's session can be lost.
func (e *Embedded) claim(c *connection, s *session) (reason string, code packets.Code) {
	before, fights, ok := e.clients.take(s.id, c, time.Now())
	if !ok {
		e.warn("two clients use the same client id", "client", printable(s.id), "remote", c.RemoteAddr().String(), "takeovers", fights)
		return reasonSameID, packets.ErrServerBusy
	}
	c.claimed = s.id
	if before == nil {
		return "", packets.CodeSuccess
	}
	e.counts.takeovers.Inc()
	if fights >= takeoverFree {
		e.warn("two clients use the same client id", "client", printable(s.id), "remote", c.RemoteAddr().String(),
			"other", before.RemoteAddr().String(), "takeovers", fights)
	}
	e.turnAway(before, packets.ErrSessionTakenOver)
	select {
	case <-before.gone:
		return "", packets.CodeSuccess
	case <-c.life.Done():
	case <-time.After(takeoverWait):
	}
	return reasonSameID, packets.ErrServerBusy
}
