package telemetry

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is how long to wait before try n (from 0): 0.2 s doubling to 30 s, a
// quarter of it by chance so that many waiters do not come back at once.
func backoff(n int) time.Duration {
	d := min(200*time.Millisecond<<min(n, 8), 30*time.Second)
	return d - d/8 + rand.N(d/4) //nolint:gosec // spreads load, keeps no secret
}

// pause waits before try n or until ctx ends.
func pause(ctx context.Context, n int) error {
	return rest(ctx, backoff(n))
}

// rest waits for d or until ctx ends.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
