package intake

import (
	"context"
	"sync"
	"time"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/postgres"
)

const (
	scopesEvery = 10 * time.Second // how old what is known of the devices may be
	maxVain     = 10_000           // unknown names remembered
)

// Scopes knows for whom each device may speak, for who carries messages on. Safe
// for concurrent use.
type Scopes struct {
	devices credentials

	mu   sync.Mutex
	vain map[string]time.Time // when a name was looked for in vain, wall clock
}

// NewScopes reads the devices from a database.
func NewScopes(pool *postgres.Pool) *Scopes {
	return &Scopes{devices: credentials{pool: pool}, vain: map[string]time.Time{}}
}

// Of returns the machines that a device may speak for beside that of its own key.
// It waits while the devices cannot be read. A name that no device has is that of a
// client without a token, and speaks for itself only.
func (s *Scopes) Of(ctx context.Context, device string) (names []string, any bool, err error) {
	_ = s.devices.refresh(ctx, scopesEvery) // what was read before stays good
	find := func() *grant { return s.devices.byKey(device) }
	for {
		g, sure := find(), true
		if g == nil && !s.missed(device) {
			if g, sure = s.devices.of(ctx, find); g == nil && sure {
				s.miss(device)
			}
		}
		switch {
		case g != nil:
			return g.names, g.gateway, nil
		case sure:
			return nil, false, nil
		}
		if err := clock.Rest(ctx, credentialsAfter); err != nil {
			return nil, false, err
		}
	}
}

func (s *Scopes) missed(device string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.vain[device]) < scopesEvery
}

func (s *Scopes) miss(device string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.vain) >= maxVain {
		clear(s.vain)
	}
	s.vain[device] = time.Now()
}
