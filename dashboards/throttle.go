package dashboards

import (
	"net/netip"
	"strings"
	"sync"
	"time"
)

// throttle slows down who guesses passwords: after some free tries each further
// one must wait twice as long as the one before. It counts by login and by
// address, before the password is looked at, so that tries side by side count too.
type throttle struct {
	mu    sync.Mutex
	now   func() time.Time // wall time: a guesser does not live by the program clock
	tries map[string]tries
}

type tries struct {
	count int
	last  time.Time
}

const (
	freeByLogin   = 5
	freeByAddress = 20
	longestWait   = time.Minute
	forgetAfter   = 15 * time.Minute
	maxTries      = 10_000 // of logins and addresses remembered
)

func newThrottle() *throttle { return &throttle{now: time.Now, tries: map[string]tries{}} }

// try counts one try and says how long to wait before it may be made; 0 is now.
func (t *throttle) try(login, address string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	byLogin, byAddress := loginKey(login), addressKey(address)
	wait := max(t.wait(byLogin, freeByLogin, now), t.wait(byAddress, freeByAddress, now))
	if wait > 0 {
		return wait
	}
	t.count(byLogin, now)
	t.count(byAddress, now)
	return 0
}

// succeeded forgets the tries of a login that has signed in, and gives its address
// back the one that was no guess: many people may share an address.
func (t *throttle) succeeded(login, address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.tries, loginKey(login))
	key := addressKey(address)
	if seen := t.tries[key]; seen.count > 1 {
		t.tries[key] = tries{seen.count - 1, seen.last}
	} else {
		delete(t.tries, key)
	}
}

// addressKey counts the addresses of one IPv6 net, which one host may have, as one.
func addressKey(address string) string {
	if ip, err := netip.ParseAddr(address); err == nil && ip.Is6() && !ip.Is4In6() {
		if net, err := ip.WithZone("").Prefix(64); err == nil {
			address = net.String()
		}
	}
	return "address " + address
}

func loginKey(login string) string {
	login = strings.ToLower(strings.TrimSpace(login))
	return "login " + login[:min(len(login), 100)]
}

func (t *throttle) wait(key string, free int, now time.Time) time.Duration {
	seen, known := t.tries[key]
	if !known || seen.count < free || now.Sub(seen.last) > forgetAfter {
		return 0
	}
	pause := min(time.Second<<min(seen.count-free, 10), longestWait)
	return max(0, seen.last.Add(pause).Sub(now))
}

func (t *throttle) count(key string, now time.Time) {
	seen := t.tries[key]
	if now.Sub(seen.last) > forgetAfter {
		seen.count = 0
	}
	if len(t.tries) >= maxTries {
		t.forget(now)
	}
	t.tries[key] = tries{seen.count + 1, now}
}

// forget makes room for as many again: what is old goes, then those who have made
// a few tries only and lose nothing by it, and if that is not enough, anybody.
func (t *throttle) forget(now time.Time) {
	for _, goes := range []func(tries) bool{
		func(seen tries) bool { return now.Sub(seen.last) > forgetAfter },
		func(seen tries) bool { return seen.count < freeByLogin },
		func(tries) bool { return true },
	} {
		for key, seen := range t.tries {
			if len(t.tries) <= maxTries/2 {
				return
			}
			if goes(seen) {
				delete(t.tries, key)
			}
		}
	}
}
