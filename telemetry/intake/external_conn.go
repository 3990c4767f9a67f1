package intake

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// maxBrokerPacket bounds one packet of a broker in memory, in bytes: a message of
// 256 MiB is legal MQTT. What is cut is still too large for the log, so that it is
// kept as a part of a message and never taken for the whole.
const maxBrokerPacket = intakelog.MaxRecordBytes + 128<<10

// BrokerTLS names the files for ssl:// brokers; all are PEM. The zero value trusts
// the system's authorities and shows no certificate.
type BrokerTLS struct {
	CA   string // certificates that may sign the broker's
	Cert string // our own, where the broker wants one
	Key  string
}

// load reads the files. The name of the broker is checked against host.
func (f BrokerTLS) load(host string) (*tls.Config, error) {
	c := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, problem.New(problem.Invalid, "--mqtt-ca: %v", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, problem.New(problem.Invalid, "--mqtt-ca: %s has no PEM certificate", f.CA)
		}
	}
	if (f.Cert == "") != (f.Key == "") {
		return nil, problem.New(problem.Invalid, "--mqtt-cert and --mqtt-key belong together: give both or none")
	}
	if f.Cert != "" {
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, problem.New(problem.Invalid, "--mqtt-cert %s with --mqtt-key %s: %v", f.Cert, f.Key, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// dialBroker opens the connection to a broker; tlsConfig is used by the schemes
// that ask for it.
func dialBroker(ctx context.Context, broker *url.URL, tlsConfig *tls.Config, within time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var conn net.Conn
	var err error
	if encrypted(broker) {
		conn, err = (&tls.Dialer{Config: tlsConfig}).DialContext(ctx, "tcp", broker.Host)
	} else {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", broker.Host)
	}
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", broker.Host, err)
	}
	return &brokerConn{Conn: conn, in: packetCutter{from: bufio.NewReaderSize(conn, 16<<10)}}, nil
}

func encrypted(broker *url.URL) bool {
	return broker.Scheme == "ssl" || broker.Scheme == "tls" || broker.Scheme == "mqtts"
}

// brokerConn is a connection as the library should have it. The library sets no
// deadline when it writes acknowledgements and pings, so that a broker which reads
// nothing would hold it for ever; and it reads packets of any size.
type brokerConn struct {
	net.Conn
	in packetCutter
}

// Write writes within ten seconds or fails.
func (c *brokerConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(brokerWithin)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// Read gives the broker's packets, long ones cut.
func (c *brokerConn) Read(b []byte) (int, error) { return c.in.Read(b) }

// packetCutter passes MQTT packets through. Of one that is longer than
// maxBrokerPacket it passes the start, with the length written anew: the payload
// comes last in a PUBLISH, so that it is a whole packet with a shorter payload.
type packetCutter struct {
	from  *bufio.Reader
	start [5]byte
	head  []byte // what of start is not passed on yet
	left  int    // bytes of the packet to pass on
	drop  int    // bytes of it to drop then
}

var errPacketLength = errors.New("the broker sent a packet whose length is malformed")

// Read implements io.Reader.
func (p *packetCutter) Read(b []byte) (int, error) {
	if len(p.head) == 0 && p.left == 0 {
		if err := p.begin(); err != nil {
			return 0, err
		}
	}
	if len(p.head) > 0 {
		n := copy(b, p.head)
		p.head = p.head[n:]
		return n, nil
	}
	n, err := p.from.Read(b[:min(len(b), p.left)])
	p.left -= n
	return n, err
}

// begin drops what is left of the packet before and reads the head of the next one.
func (p *packetCutter) begin() error {
	if _, err := io.CopyN(io.Discard, p.from, int64(p.drop)); err != nil {
		return err
	}
	p.drop = 0
	kind, err := p.from.ReadByte()
	if err != nil {
		return err
	}
	length := 0
	for shift := 0; ; shift += 7 {
		digit, err := p.from.ReadByte()
		if err != nil {
			return err
		}
		length |= int(digit&127) << shift
		if digit < 128 {
			break
		}
		if shift == 21 {
			return errPacketLength
		}
	}
	p.left = min(length, maxBrokerPacket)
	p.drop = length - p.left
	p.head = append(p.start[:0], kind)
	for n := p.left; ; {
		digit := byte(n & 127)
		if n >>= 7; n > 0 {
			p.head = append(p.head, digit|128)
			continue
		}
		p.head = append(p.head, digit)
		return nil
	}
}
