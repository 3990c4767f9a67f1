package intake

import (
	"context"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/time/rate"
)

// maxVisitors bounds how many addresses are remembered. Beyond it the bound of
// all together is what holds new ones.
const maxVisitors = 100_000

// pace says how fast clients come in. All together are paced by accepting
// slower: who waits to be accepted waits in the system's queue and is not
// dropped. One address alone that is too fast is told to come back later, so
// that it does not make the others wait.
type pace struct {
	EmbeddedLimits
	all *rate.Limiter

	mu       sync.Mutex
	visitors map[netip.Addr]*visitor
}

type visitor struct {
	open    int // connections
	limiter *rate.Limiter
}

func newPace(l EmbeddedLimits) *pace {
	for _, d := range []struct {
		limit *int
		value int
	}{{&l.Connections, 20_000}, {&l.PerAddress, 5_000}, {&l.Rate, 500}, {&l.AddressRate, 100}} {
		if *d.limit <= 0 {
			*d.limit = d.value
		}
	}
	return &pace{EmbeddedLimits: l, all: rate.NewLimiter(rate.Limit(l.Rate), l.Rate), visitors: map[netip.Addr]*visitor{}}
}

// enter counts a connection in, unless its address has too many or makes them too
// fast; leave must follow.
func (p *pace) enter(from netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.visitors[from]
	if v == nil {
		if len(p.visitors) >= maxVisitors {
			return true
		}
		v = &visitor{limiter: rate.NewLimiter(rate.Limit(p.AddressRate), 5*p.AddressRate)}
		p.visitors[from] = v
	}
	if v.open >= p.PerAddress || !v.limiter.Allow() {
		return false
	}
	v.open++
	return true
}

func (p *pace) leave(from netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if v := p.visitors[from]; v != nil && v.open > 0 {
		v.open--
	}
}

// wait returns when the next connection may be taken in.
func (p *pace) wait(ctx context.Context) error { return p.all.Wait(ctx) }

// prune forgets addresses that have been quiet.
func (p *pace) prune() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for from, v := range p.visitors {
		if v.open == 0 && v.limiter.Tokens() >= float64(v.limiter.Burst()) {
			delete(p.visitors, from)
		}
	}
}

// addressOf is where a connection comes from; of IPv6 the network that one
// customer of a provider is given.
func addressOf(remote net.Addr) netip.Addr {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	from := tcp.AddrPort().Addr().Unmap()
	if from.Is6() {
		if network, err := from.WithZone("").Prefix(64); err == nil {
			return network.Addr()
		}
	}
	return from
}
