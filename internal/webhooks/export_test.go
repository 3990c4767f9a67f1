package webhooks

import (
	"context"
	"crypto/x509"
	"net"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
)

// Signature is signature, for a comparison with others' implementations.
func Signature(id string, at time.Time, body string, secrets ...[]byte) string {
	return signature(id, at, body, secrets...)
}

// Delays are the waits after failed tries.
func Delays() []time.Duration { return delays }

// RestAfter is restAfter.
func RestAfter(failures int) time.Duration { return restAfter(failures) }

// Lease is how long a try is nobody else's.
const Lease = lease

// FailingFor is how long a receiver may fail.
const FailingFor = failingFor

// At gives the dispatcher another wall clock, resolver and roots.
func (d *Dispatcher) At(wall func() time.Time, resolver *net.Resolver, roots *x509.CertPool) *Dispatcher {
	if wall != nil {
		d.wall = wall
	}
	d.out = newOutside(d.settings, resolver, roots)
	return d
}

// DeliverNext makes one try.
func (d *Dispatcher) DeliverNext(ctx context.Context, webhook uuid.UUID) (bool, error) {
	return d.deliverNext(ctx, webhook)
}

// Post makes a try of its own, of no delivery.
func (d *Dispatcher) Post(ctx context.Context, url string) error {
	return d.send(ctx, try{WebhookID: uuid.Nil, URL: url, Body: "{}", Secret: d.settings.Key.Seal([]byte("x"), uuid.Nil.String())}).err
}

// CheckURL says whether a URL is taken when a webhook is made.
func CheckURL(s Settings, url string) bool { return len(s.checkURL(url)) == 0 }

// OnPool gives a dispatcher another pool.
func OnPool(d *Dispatcher, pool *postgres.Pool) *Dispatcher {
	d.pool = pool
	return d
}
