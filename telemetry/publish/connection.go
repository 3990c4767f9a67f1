package publish

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

const (
	keepAlive   = 20 * time.Second
	dialTimeout = 5 * time.Second
	writeBatch  = 64

	settledAfter = 5 * time.Second // a connection that lasts less is no success
)

// errRefused is a broker that answered and said no; trying again is no use.
var errRefused = errors.New("the broker refused the connection")

func parseBroker(raw string) (*url.URL, error) {
	broker, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("broker URL: %w", err)
	}
	var port string
	switch broker.Scheme {
	case "mqtt", "tcp":
		port = "1883"
	case "mqtts", "ssl", "tls":
		port = "8883"
	default:
		return nil, fmt.Errorf("broker URL %q: want mqtt://HOST:PORT or mqtts://HOST:PORT", broker.Redacted())
	}
	if broker.Hostname() == "" {
		return nil, fmt.Errorf("broker URL %q: the host is missing", broker.Redacted())
	}
	if broker.Port() == "" {
		broker.Host = net.JoinHostPort(broker.Hostname(), port)
	}
	return broker, nil
}

func (p *Publisher) connectFirst(ctx context.Context) (net.Conn, error) {
	for attempt := 0; ; attempt++ {
		conn, err := p.connect(ctx)
		if err == nil {
			return conn, nil
		}
		if errors.Is(err, errRefused) || !p.pause(ctx, attempt, err) {
			return nil, err
		}
	}
}

// run owns the connection: one after the other until life ends.
func (p *Publisher) run(life context.Context, conn net.Conn) {
	defer close(p.stopped)
	for attempt := 0; life.Err() == nil; {
		if conn == nil {
			var err error
			if conn, err = p.connect(life); err != nil {
				p.pause(life, attempt, err)
				attempt++
				continue
			}
		}
		p.trouble.Store(nil)
		begun := time.Now()
		err := p.serve(life, conn)
		conn = nil
		if attempt++; time.Since(begun) > settledAfter {
			attempt = 1
		}
		if life.Err() == nil {
			p.away(fmt.Sprint("the connection was lost: ", err))
			p.options.Logger.Warn("connection to the broker lost", "broker", p.broker.Host, "error", err)
			p.rest(life, attempt-1)
		}
	}
}

// pause waits before the next attempt; false means that ctx has ended.
func (p *Publisher) pause(ctx context.Context, attempt int, err error) bool {
	p.away(err.Error())
	if attempt == 0 {
		p.options.Logger.Warn("broker not reached, trying again", "broker", p.broker.Host, "error", err)
	}
	return p.rest(ctx, attempt)
}

func (p *Publisher) rest(ctx context.Context, attempt int) bool {
	timer := time.NewTimer(p.backoff(attempt))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *Publisher) connect(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := p.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to broker %s: %w", p.broker.Host, err)
	}
	if err := p.handshake(conn); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("connect to broker %s: %w", p.broker.Host, err)
	}
	return conn, nil
}

func (p *Publisher) dial(ctx context.Context) (net.Conn, error) {
	if p.broker.Scheme == "mqtt" || p.broker.Scheme == "tcp" {
		return new(net.Dialer).DialContext(ctx, "tcp", p.broker.Host)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if p.options.TLS != nil {
		config = p.options.TLS.Clone()
	}
	config.ServerName = p.broker.Hostname()
	dialer := tls.Dialer{Config: config}
	return dialer.DialContext(ctx, "tcp", p.broker.Host)
}

func (p *Publisher) handshake(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	hello := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	hello.ProtocolName, hello.ProtocolVersion, hello.CleanSession = "MQTT", 4, true
	hello.ClientIdentifier, hello.Keepalive = p.options.ClientID, uint16(keepAlive/time.Second)
	if p.options.Username != "" {
		hello.UsernameFlag, hello.Username = true, p.options.Username
		hello.PasswordFlag, hello.Password = p.options.Password != "", []byte(p.options.Password)
	}
	if w := p.options.will; w != nil {
		hello.WillFlag, hello.WillTopic, hello.WillMessage, hello.WillQos = true, w.Topic, w.Payload, 1
	}
	if err := hello.Write(conn); err != nil {
		return err
	}
	answer, err := packets.ReadPacket(conn)
	if err != nil {
		return err
	}
	ack, ok := answer.(*packets.ConnackPacket)
	if !ok {
		return fmt.Errorf("expected CONNACK, got %s", answer.String())
	}
	if ack.ReturnCode != packets.Accepted {
		return fmt.Errorf("%w: %s", errRefused, packets.ConnackReturnCodes[ack.ReturnCode])
	}
	return conn.SetDeadline(time.Time{})
}

// serve writes and reads on one connection until it breaks or life ends.
func (p *Publisher) serve(life context.Context, conn net.Conn) error {
	p.rewind()
	var readErr error
	broken := make(chan struct{})
	go func() {
		defer close(broken)
		readErr = p.readAcks(conn)
	}()
	writeErr := p.write(life, conn, broken)
	_ = conn.Close()
	<-broken
	return errors.Join(writeErr, readErr)
}

func (p *Publisher) write(life context.Context, conn net.Conn, broken <-chan struct{}) error {
	out := bufio.NewWriterSize(conn, 64<<10)
	ping := time.NewTicker(keepAlive / 2)
	defer ping.Stop()
	for {
		var err error
		select {
		case <-p.work:
			err = p.writePending(conn, out)
		case <-ping.C:
			if err = conn.SetWriteDeadline(time.Now().Add(keepAlive)); err == nil { // the last one may be over
				err = packets.NewControlPacket(packets.Pingreq).Write(conn)
			}
		case <-broken:
			return nil
		case <-life.Done():
			_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
			_ = packets.NewControlPacket(packets.Disconnect).Write(conn)
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (p *Publisher) writePending(conn net.Conn, out *bufio.Writer) error {
	for {
		batch := p.take(writeBatch)
		if len(batch) == 0 {
			return nil
		}
		if err := conn.SetWriteDeadline(time.Now().Add(keepAlive)); err != nil {
			return err
		}
		for _, packet := range batch {
			if err := packet.Write(out); err != nil {
				return err
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
}

func (p *Publisher) readAcks(conn net.Conn) error {
	in := bufio.NewReader(conn)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(2 * keepAlive)); err != nil {
			return err
		}
		packet, err := packets.ReadPacket(in)
		if err != nil {
			return err
		}
		if ack, ok := packet.(*packets.PubackPacket); ok {
			p.acknowledge(ack.MessageID)
		}
	}
}
