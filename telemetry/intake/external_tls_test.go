package intake

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/telemetrytest"
)

// authority signs certificates into a folder.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newAuthority writes its own certificate as ca.pem.
func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign writes NAME.pem and NAME.key.
func (a *authority) sign(name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "EC PRIVATE KEY", private)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func TestExternal_ReadsABrokerOverTLSWithACertificateOfItsOwn(t *testing.T) {
	t.Parallel()
	a, plain, secure := newAuthority(t), spareAddress(t), spareAddress(t)
	a.sign("broker", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	a.sign("reader", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	_, port, _ := net.SplitHostPort(secure)
	telemetrytest.LaunchMosquitto(t, t.TempDir(), plain, telemetrytest.MosquittoConfig+"listener "+port+" 127.0.0.1\ncafile "+a.file("ca.pem")+"\ncertfile "+a.file("broker.pem")+
		"\nkeyfile "+a.file("broker.key")+"\nrequire_certificate true\ntls_version tlsv1.2\n")
	log := openIntake(t, intakelog.Options{})
	config := ExternalConfig{URL: "ssl://" + secure, Topics: []string{"fleet/#"}, Log: log,
		TLS: BrokerTLS{CA: a.file("ca.pem"), Cert: a.file("reader.pem"), Key: a.file("reader.key")}}
	runExternal(t, config)
	send(t, plain, "over TLS")
	records(t, log, 1)

	for name, files := range map[string]BrokerTLS{
		"signed by unknown authority": {Cert: a.file("reader.pem"), Key: a.file("reader.key")},
		"error":                       {CA: a.file("ca.pem")}, // the broker wants a certificate
	} {
		config.TLS, config.Log = files, openIntake(t, intakelog.Options{})
		x := startExternal(t, config)
		eventually(t, func() bool { return strings.Contains(x.Trouble(), name) })
		if x.Connected() {
			t.Errorf("%+v: connected", files)
		}
	}
}

func TestExternal_SaysWhatIsWrongWithItsCertificates(t *testing.T) {
	t.Parallel()
	a, log := newAuthority(t), openIntake(t, intakelog.Options{})
	for want, files := range map[string]BrokerTLS{
		"--mqtt-ca":        {CA: a.file("none.pem")},
		"no PEM":           {CA: a.file("ca.key")},
		"belong together":  {Cert: a.file("ca.pem")},
		"--mqtt-cert":      {Cert: a.file("ca.key"), Key: a.file("ca.pem")},
		"give both or non": {Key: a.file("ca.key")},
	} {
		_, err := NewExternal(ExternalConfig{URL: "ssl://127.0.0.1", Topics: []string{"fleet/#"}, Log: log, TLS: files})
		if problem.Of(err) != problem.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", files, err, want)
		}
	}
}
