package webhooks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

const (
	tryWithin     = 10 * time.Second
	connectWithin = 5 * time.Second
	mostHeader    = 16 << 10
	mostIdle      = 32 // connections kept for the next delivery
	idleFor       = 30 * time.Second
)

// outside are the ways out: one with TLS, to public and allowed addresses, and one
// without, to allowed ones only.
type outside struct{ secure, plain *http.Client }

// newOutside opens the ways out. The address is looked at when the connection is
// made, after the name was resolved and for each address anew, so that a name that
// changes its mind between a check and its use gains nothing. No proxy is used: it
// would connect in our place, unseen. resolver and roots are nil but in tests.
func newOutside(s Settings, resolver *net.Resolver, roots *x509.CertPool) outside {
	return outside{
		secure: client(resolver, roots, func(ip netip.Addr) bool { return public(ip) || s.allowed(ip) }),
		plain:  client(resolver, roots, s.allowed),
	}
}

func client(resolver *net.Resolver, roots *x509.CertPool, may func(netip.Addr) bool) *http.Client {
	dialer := &net.Dialer{Timeout: connectWithin, Resolver: resolver, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !may(at.Addr()) {
			return errNotPublic
		}
		return nil
	}}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
				return dialer.DialContext(ctx, "tcp", address)
			},
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: connectWithin,
			MaxResponseHeaderBytes: mostHeader, MaxIdleConns: mostIdle, MaxIdleConnsPerHost: 1, IdleConnTimeout: idleFor, DisableCompression: true, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// through picks the way for a URL.
func (o outside) through(scheme string) *http.Client {
	if scheme == "https" {
		return o.secure
	}
	return o.plain
}

func (o outside) close() {
	o.secure.CloseIdleConnections()
	o.plain.CloseIdleConnections()
}
