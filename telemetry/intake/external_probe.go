package intake

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// probe is a client that does one thing after the other, so that what a broker
// does can be counted. The library's packets are used, its client is not.
type probe struct {
	net.Conn
	lastID uint16
}

// prober says how probes get to a broker.
type prober struct {
	broker *url.URL
	tls    *tls.Config
	within time.Duration // for an answer
}

// connect signs a client in. present says whether the broker has kept its session.
func (p *prober) connect(ctx context.Context, client string, clean bool) (c *probe, present bool, err error) {
	conn, err := dialBroker(ctx, p.broker, p.tls, p.within)
	if err != nil {
		return nil, false, err
	}
	c = &probe{Conn: conn}
	defer func() {
		if err != nil {
			err = errors.Join(err, conn.Close())
		}
	}()
	hello := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	hello.ProtocolName, hello.ProtocolVersion, hello.CleanSession, hello.ClientIdentifier, hello.Keepalive = "MQTT", mqtt311, clean, client, 600
	if p.broker.User != nil {
		password, given := p.broker.User.Password()
		hello.UsernameFlag, hello.Username, hello.PasswordFlag, hello.Password = true, p.broker.User.Username(), given, []byte(password)
	}
	if err := hello.Write(c); err != nil {
		return nil, false, fmt.Errorf("sign in to the broker: %w", err)
	}
	answer, err := c.read(p.within)
	if err != nil {
		return nil, false, fmt.Errorf("sign in to the broker: %w", err)
	}
	ack, ok := answer.(*packets.ConnackPacket)
	if !ok || ack.ReturnCode != packets.Accepted {
		return nil, false, fmt.Errorf("the broker refuses the connection: %s", answer)
	}
	return c, ack.SessionPresent, nil
}

// read returns the next packet; a timeout is an error of the connection's kind.
func (c *probe) read(within time.Duration) (packets.ControlPacket, error) {
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return nil, err
	}
	return packets.ReadPacket(c)
}

// quietFor says whether an error means that nothing came in time.
func quietFor(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// subscribe returns the quality of service that was granted for the first filter,
// 0x80 for none.
func (c *probe) subscribe(within time.Duration, qos byte, filters ...string) (granted byte, err error) {
	c.lastID++
	ask := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	ask.MessageID, ask.Topics = c.lastID, filters
	for range filters {
		ask.Qoss = append(ask.Qoss, qos)
	}
	if err := ask.Write(c); err != nil {
		return 0, fmt.Errorf("subscribe to %s: %w", filters[0], err)
	}
	for {
		answer, err := c.read(within)
		if err != nil {
			return 0, fmt.Errorf("subscribe to %s: %w", filters[0], err)
		}
		if ack, ok := answer.(*packets.SubackPacket); ok && len(ack.ReturnCodes) > 0 {
			return ack.ReturnCodes[0], nil
		}
	}
}

// publish sends at QoS 1 and waits for no answer.
func (c *probe) publish(topic string, payload []byte, retain bool) error {
	if c.lastID++; c.lastID == 0 {
		c.lastID = 1
	}
	m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	m.Qos, m.TopicName, m.Payload, m.MessageID, m.Retain = 1, topic, payload, c.lastID, retain
	return m.Write(c)
}

// acknowledged waits for one PUBACK.
func (c *probe) acknowledged(within time.Duration) error {
	for {
		answer, err := c.read(within)
		if err != nil {
			return err
		}
		if _, ok := answer.(*packets.PubackPacket); ok {
			return nil
		}
	}
}

func (c *probe) ack(id uint16) error {
	a := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
	a.MessageID = id
	return a.Write(c)
}

// leave says goodbye; the session stays where it was not clean.
func (c *probe) leave() {
	_ = packets.NewControlPacket(packets.Disconnect).Write(c)
	_ = c.Close()
}
