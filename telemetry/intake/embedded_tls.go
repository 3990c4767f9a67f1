package intake

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// certificateAfter is how soon the files are looked at again.
const certificateAfter = time.Second

// TLSFiles are where the certificate of the broker is, in PEM. They are read
// again when they change; while they cannot be read, what was read last is used.
type TLSFiles struct {
	Certificate string
	Key         string
	ClientCA    string // authorities whose certificates sign a device in; "" = none do
}

// keyring holds what the files have said.
type keyring struct {
	files TLSFiles
	log   *slog.Logger

	mu     sync.Mutex
	looked time.Time
	stamps [3]stamp
	config *tls.Config
	until  time.Time // the certificate's end
}

type stamp struct {
	at   time.Time
	size int64
}

func openKeyring(files TLSFiles, log *slog.Logger) (*keyring, error) {
	k := &keyring{files: files, log: log, looked: time.Now(), stamps: files.stamps()}
	return k, k.load()
}

func (f TLSFiles) stamps() (all [3]stamp) {
	for i, name := range []string{f.Certificate, f.Key, f.ClientCA} {
		if info, err := os.Stat(name); err == nil {
			all[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return all
}

func (k *keyring) load() error {
	pair, err := tls.LoadX509KeyPair(k.files.Certificate, k.files.Key)
	if err != nil {
		return fmt.Errorf("read the certificate: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if k.files.ClientCA != "" {
		text, err := os.ReadFile(k.files.ClientCA)
		if err != nil {
			return fmt.Errorf("read the authorities of clients: %w", err)
		}
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(text) {
			return errors.New("read the authorities of clients: the file has no certificate")
		}
		c.ClientAuth = tls.VerifyClientCertIfGiven // else a token is asked for
		c.SessionTicketsDisabled = true            // each connection shows its certificate, as it is now
	}
	k.config, k.until = c, pair.Leaf.NotAfter
	return nil
}

// current is for tls.Config.GetConfigForClient.
func (k *keyring) current(*tls.ClientHelloInfo) (*tls.Config, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.looked) < certificateAfter {
		return k.config, nil
	}
	k.looked = time.Now()
	now := k.files.stamps()
	if now == k.stamps {
		return k.config, nil
	}
	k.stamps = now
	if err := k.load(); err != nil {
		k.log.Error("the broker's certificate has changed and cannot be read; the one before is used", "error", err)
	} else {
		k.log.Info("the broker's certificate was read again", "until", k.until)
	}
	return k.config, nil
}

// ends is when the certificate does.
func (k *keyring) ends() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.until
}

// maxCertificateNames bounds how many names of a certificate are looked up.
const maxCertificateNames = 8

// keysOf are the keys that a client's certificate may stand for: its common name,
// then its alternative DNS names.
func keysOf(certificate *x509.Certificate) []string {
	var keys []string
	for _, name := range append([]string{certificate.Subject.CommonName}, certificate.DNSNames...) {
		if len(keys) < maxCertificateNames && deviceKey.MatchString(name) {
			keys = append(keys, name)
		}
	}
	return keys
}

// problemTLS says which flags to change when the certificate is of no use.
func problemTLS(err error) error {
	return problem.New(problem.Invalid, "cannot speak TLS to MQTT clients (%v); look at --mqtt-tls-cert, --mqtt-tls-key and --mqtt-client-ca", err)
}
