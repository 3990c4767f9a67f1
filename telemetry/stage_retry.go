package telemetry

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/thirdstate/thirdstate/internal/clock"
)

// backoff is how long to wait before try n (from 0): 0.2 s doubling to 30 s, a
// quarter of it by chance so that many waiters do not come back at once.
func backoff(n int) time.Duration {
	d := min(200*time.Millisecond<<min(n, 8), 30*time.Second)
	return d - d/8 + rand.N(d/4) //nolint:gosec // spreads load, keeps no secret
}

// pause waits before try n or until ctx ends.
func pause(ctx context.Context, n int) error {
	return clock.Rest(ctx, backoff(n))
}
