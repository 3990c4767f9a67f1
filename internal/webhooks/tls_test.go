package webhooks_test

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/webhooks"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
)

func dialing(to string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", to)
	}
}

func TestOutside_TrustsCertificatesOnly(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(s.Close)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	with := func(roots *x509.CertPool) *webhooks.Dispatcher {
		return webhooks.NewDispatcher(nil, clock.New(now, 0, nil), slog.New(slog.DiscardHandler), maintenancetest.Webhooks()).At(nil, nil, roots)
	}
	if err := with(roots).Post(t.Context(), s.URL); err != nil {
		t.Error(err)
	}
	if err := with(nil).Post(t.Context(), s.URL); err == nil || !strings.Contains(err.Error(), "certificate is not trusted") {
		t.Errorf("an unknown authority: %v", err)
	}
	if err := with(roots).Post(t.Context(), strings.Replace(s.URL, "127.0.0.1", "127.0.0.3", 1)); err == nil {
		t.Error("another's certificate is taken")
	}
}
