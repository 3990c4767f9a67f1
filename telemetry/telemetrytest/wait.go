package telemetrytest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// Patience is how long a server or a condition is waited for: a busy machine may take ten
// times as long as an idle one.
const Patience = time.Minute

// Eventually waits until a condition holds.
func Eventually(t testing.TB, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(Patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited in vain")
		}
	}
}

// Run runs a part of the program until the test ends or stop is called.
func Run(t testing.TB, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// Awhile lets 0.2 to 0.8 seconds go by.
func Awhile(random *rand.Rand) {
	timer := time.NewTimer(200*time.Millisecond + time.Duration(random.IntN(600))*time.Millisecond)
	<-timer.C
}

// spare are the addresses that were given to tests of this binary.
var spare sync.Map //nolint:gochecknoglobals // a test binary has no main of ours to own it

// SpareAddress is one that can be taken more than once: not among the ports that
// the system itself gives away, nor given to another test.
func SpareAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(10_000)))
		if err != nil {
			continue
		}
		l.Close()
		if _, twice := spare.LoadOrStore(l.Addr().String(), true); !twice {
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}
