package intake

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// certifier signs certificates.
type certifier struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newCertifier(t testing.TB, name string) certifier {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err = x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certifier{c, key}
}

func (a certifier) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// issue signs a certificate that is good until a time.
func (a certifier) issue(t testing.TB, name string, until time.Time, dns ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		DNSNames: dns, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, c, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// write puts a certificate and its key, or an authority alone, into files.
func writePEM(t testing.TB, dir string, c tls.Certificate) (certificate, key string) {
	t.Helper()
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

// secureHouse is a broker with all doors that needs tokens or certificates.
type secureHouse struct {
	*Embedded
	ours, clients certifier
	files         TLSFiles
	token         string
}

func newSecureHouse(t *testing.T) *secureHouse {
	t.Helper()
	pool := postgrestest.New(t)
	addMachine(t, pool, "pump-1")
	h := &secureHouse{ours: newCertifier(t, "ours"), clients: newCertifier(t, "clients"), token: enterDevice(t, pool, "pump-1", "pump-1", false)}
	enterDevice(t, pool, "pump-2", "", false)
	dir := t.TempDir()
	h.files.Certificate, h.files.Key = writePEM(t, dir, h.ours.issue(t, "broker", time.Now().Add(time.Hour)))
	h.files.ClientCA = filepath.Join(dir, "clients.pem")
	if err := os.WriteFile(h.files.ClientCA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.clients.certificate.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	h.Embedded = startEmbedded(t, EmbeddedConfig{Listen: anywhere, TLSListen: "127.0.0.1:0", WSListen: "127.0.0.1:0", WSSListen: "127.0.0.1:0", TokensOnly: true, TLS: h.files, Pool: pool})
	return h
}

func (h *secureHouse) at(scheme string) string {
	for _, d := range h.doors {
		if d.scheme == scheme {
			return d.Addr().String()
		}
	}
	return ""
}

// knockTLS returns the CONNACK's code, 255 when the handshake fails.
func (h *secureHouse) knockTLS(t *testing.T, c *tls.Config, k knock) (byte, *wire) {
	t.Helper()
	c.RootCAs, c.ServerName = h.ours.pool(), "127.0.0.1"
	conn, err := (&tls.Dialer{Config: c}).DialContext(t.Context(), "tcp", h.at("mqtts"))
	if err != nil {
		return 255, nil
	}
	t.Cleanup(func() { conn.Close() })
	w := &wire{Conn: conn, in: bufio.NewReader(conn), version: 4}
	if _, err := w.Write(k.packet(4)); err != nil {
		return 255, nil
	}
	kind, body := w.read(t)
	if kind != connack { // in TLS 1.3 a client learns after its first words that its certificate is of no use
		return 255, nil
	}
	return body[1], w
}

func TestEmbedded_SignsDevicesInByCertificate(t *testing.T) {
	t.Parallel()
	h := newSecureHouse(t)
	soon, gone := time.Now().Add(time.Hour), time.Now().Add(-time.Minute)
	show := func(certificates ...tls.Certificate) *tls.Config {
		return &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { // also one that was not asked for
			if len(certificates) == 0 {
				return &tls.Certificate{}, nil
			}
			return &certificates[0], nil
		}}
	}
	for _, c := range []struct {
		name   string
		config *tls.Config
		knock  knock
		code   byte
	}{
		{"the device's certificate", show(h.clients.issue(t, "pump-1", soon)), knock{client: "a"}, 0},
		{"the key as a DNS name", show(h.clients.issue(t, "Some Pump Ltd.", soon, "pump.example", "pump-1")), knock{client: "b"}, 0},
		{"the certificate and the name", show(h.clients.issue(t, "pump-1", soon)), knock{client: "c", user: "pump-1"}, 0},
		{"the certificate and another's name", show(h.clients.issue(t, "pump-1", soon)), knock{client: "d", user: "pump-2"}, 4},
		{"another's certificate and the token", show(h.clients.issue(t, "pump-2", soon)), knock{client: "e", user: "pump-1", password: h.token}, 4},
		{"a certificate of no device", show(h.clients.issue(t, "pump-9", soon)), knock{client: "f"}, 4},
		{"an expired certificate", show(h.clients.issue(t, "pump-1", gone)), knock{client: "g"}, 255},
		{"another authority's certificate", show(h.ours.issue(t, "pump-1", soon)), knock{client: "h"}, 255},
		{"a certificate that it has signed itself", show(newCertifier(t, "pump-1").issue(t, "pump-1", soon)), knock{client: "i"}, 255},
		{"no certificate and no token", show(), knock{client: "j"}, 5},
		{"no certificate and a token", show(), knock{client: "k", user: "pump-1", password: h.token}, 0},
		{"TLS 1.2", &tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12}, knock{client: "l", user: "pump-1", password: h.token}, 0},
		{"TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, knock{client: "m", user: "pump-1", password: h.token}, 255},
		{"ciphers without forward secrecy", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}}, knock{client: "n", user: "pump-1", password: h.token}, 255},
	} {
		code, w := h.knockTLS(t, c.config, c.knock)
		if code != c.code {
			t.Errorf("%s: answered with %d, want %d", c.name, code, c.code)
		}
		if w != nil && code == 0 {
			w.say(t, letter{topic: "fleet/pump-1/telemetry", payload: "{}", qos: 1})
		}
	}
	eventually(t, func() bool { return figure(t, h, "thirdstate_mqtt_refused_total", reasonTLS) == 5 })
}

// A device without a record has no business here, whatever certificate it has;
// nobody needs to say so to the broker.
func TestEmbedded_DisconnectsARevokedDeviceWithinSeconds(t *testing.T) {
	t.Parallel()
	h := newSecureHouse(t)
	certificate := h.clients.issue(t, "pump-1", time.Now().Add(time.Hour))
	_, byCertificate := h.knockTLS(t, &tls.Config{Certificates: []tls.Certificate{certificate}}, knock{client: "a"})
	byToken := dialWire(t, h.local(), 5)
	byToken.enter(t, knock{client: "b", user: "pump-1", password: h.token})
	do(t, h.Pool, func(tx pgx.Tx) error { return RevokeDevice(t.Context(), tx, start, "pump-1") })
	begun := time.Now()
	byCertificate.gone(t)
	byToken.gone(t)
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("after %s", took)
	}
	if code, _ := h.knockTLS(t, &tls.Config{Certificates: []tls.Certificate{certificate}}, knock{client: "a"}); code != 4 {
		t.Errorf("let in again: %d", code)
	}
}

// A new certificate is used for the next handshake; one that cannot be read is not.
func TestEmbedded_ReadsItsCertificateAgain(t *testing.T) {
	t.Parallel()
	h := newSecureHouse(t)
	serial := func() string {
		conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: h.ours.pool(), ServerName: "127.0.0.1"}}).DialContext(t.Context(), "tcp", h.at("mqtts"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String() //nolint:forcetypeassert // it is TLS
	}
	first := serial()
	next := h.ours.issue(t, "broker", time.Now().Add(2*time.Hour))
	writePEM(t, filepath.Dir(h.files.Certificate), next)
	eventually(t, func() bool { return serial() != first })
	second := serial()
	if err := os.WriteFile(h.files.Key, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	after(t, 2*certificateAfter)
	if serial() != second {
		t.Error("a certificate that cannot be read is used")
	}
	if until := h.doors[1].keys.ends(); time.Until(until) < 90*time.Minute {
		t.Errorf("the certificate is said to end at %s", until)
	}
}

func TestEmbedded_SaysThatItsCertificateIsOfNoUse(t *testing.T) {
	t.Parallel()
	_, err := OpenEmbedded(EmbeddedConfig{TLSListen: "127.0.0.1:0", TLS: TLSFiles{Certificate: "/nowhere"}})
	if problem.Of(err) != problem.Invalid {
		t.Errorf("got %v", err)
	}
}

// socket is MQTT in a WebSocket.
func (h *secureHouse) socket(t *testing.T, scheme string, header http.Header, protocols ...string) (*wire, *http.Response) {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: protocols, HandshakeTimeout: wirePatience, TLSClientConfig: &tls.Config{RootCAs: h.ours.pool(), ServerName: "127.0.0.1"}}
	socket, answer, err := dialer.DialContext(t.Context(), scheme+"://"+h.at(scheme)+"/mqtt", header)
	if err != nil {
		return nil, answer
	}
	t.Cleanup(func() { socket.Close() })
	conn := &webConn{Conn: socket.NetConn(), socket: socket}
	return &wire{Conn: conn, in: bufio.NewReader(conn), version: 5}, answer
}

func TestEmbedded_SpeaksMQTTInAWebSocket(t *testing.T) {
	t.Parallel()
	h := newSecureHouse(t)
	for _, scheme := range []string{"ws", "wss"} {
		w, answer := h.socket(t, scheme, nil, "mqtt")
		if w == nil || answer.Header.Get("Sec-Websocket-Protocol") != "mqtt" {
			t.Fatalf("%s: no WebSocket: %+v", scheme, answer)
		}
		w.enter(t, knock{client: scheme, user: "pump-1", password: h.token})
		w.follow(t, nil, ask{"fleet/pump-1/#", 1})
		out := letter{topic: "fleet/pump-1/telemetry", payload: "{}", qos: 1, id: 1}.packet(5)
		w.write(t, out[:5]) // a packet in two messages
		w.write(t, append(out[5:], letter{topic: "fleet/pump-1/telemetry", payload: "two", qos: 0}.packet(5)...))
		acked, got := false, 0
		for !acked || got < 2 {
			switch kind, body := w.read(t); {
			case kind == puback:
				acked = true
			case kind>>4 == 3:
				got++
			default:
				t.Fatalf("%s: %#x %x", scheme, kind, body)
			}
		}
		for name, protocols := range map[string][]string{"none": nil, "another": {"chat"}} {
			if w, answer := h.socket(t, scheme, nil, protocols...); w != nil || answer == nil || answer.StatusCode != http.StatusBadRequest {
				t.Errorf("%s with subprotocol %s: %+v", scheme, name, answer)
			}
		}
		w, _ = h.socket(t, scheme, nil, "mqtt")
		if _, body := (func() (byte, []byte) { w.write(t, knock{client: "x"}.packet(5)); return w.read(t) })(); body[1] != 0x87 {
			t.Errorf("%s without a token: %x", scheme, body)
		}
	}
	conn, err := net.Dial("tcp", h.at("ws"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != http.StatusBadRequest {
		t.Errorf("an ordinary request is answered with %+v, %v", answer, err)
	}
	if answer != nil {
		answer.Body.Close()
	}
	eventually(t, func() bool { return figure(t, h, "thirdstate_mqtt_refused_total", reasonWeb) == 5 })
}

// A page of any site can open a WebSocket to this host: it needs a token, though
// others on this host do not.
func TestEmbedded_TrustsNoPageOnThisHost(t *testing.T) {
	t.Parallel()
	h := &secureHouse{Embedded: startEmbedded(t, EmbeddedConfig{WSListen: "127.0.0.1:0"}), ours: newCertifier(t, "ours")}
	for origin, code := range map[string]byte{"": 0, "http://evil.example": 0x87, "http://" + h.at("ws"): 0x87} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		w, _ := h.socket(t, "ws", header, "mqtt")
		w.write(t, knock{client: "x"}.packet(5))
		if _, body := w.read(t); body[1] != code {
			t.Errorf("origin %q is answered with %x", origin, body)
		}
	}
}
