package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/thirdstate/thirdstate/internal/longform"
)

func decode(r io.Reader, out any) error { return json.NewDecoder(io.LimitReader(r, 1<<20)).Decode(out) }

// F34: messages of 10 MB come in every way there is, while the program may have
// 512 MiB. Each is refused before it is read.
func TestF34_MessagesAreFarTooLarge(t *testing.T) {
	t.Parallel()
	const limit = 512 // MiB
	l := l1()
	p := build(t, plan{machines: l.machines, env: []string{"GOMEMLIMIT=448MiB"}})
	f := p.talk(l)
	large := bytes.Repeat([]byte("["), 10<<20)
	times := longform.Choose(8, 200)
	refused := map[string]int{}
	for range times {
		if p.shout(large) {
			refused["MQTT"]++
		}
		for path, token := range map[string]string{"/api/v1/none/telemetry": "", "/api/v1/machines": p.token, "/sign-in": ""} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.web+path, bytes.NewReader(large))
			p.must(err)
			req.Header.Set("Authorization", "Bearer "+token)
			req.Header.Set("Content-Type", map[bool]string{true: "application/x-www-form-urlencoded", false: "application/json"}[path == "/sign-in"])
			answer, err := http.DefaultTransport.RoundTrip(req)
			if err == nil { // else it was cut off, which is an answer too
				_ = answer.Body.Close()
				if answer.StatusCode < 300 || answer.StatusCode >= 500 {
					t.Errorf("POST %s: %d", path, answer.StatusCode)
				}
			}
			refused[path]++
		}
	}
	peak := p.program.Peak()
	p.judge(f)
	t.Logf("%d times 10 MB each %v; at most %d MiB", times, refused, peak)
	if peak > limit {
		t.Errorf("%d MiB were resident, want %d", peak, limit)
	}
}

// shout publishes a payload over a connection of its own; true when it was cut off.
func (p *plant) shout(payload []byte) bool {
	p.Helper()
	c := p.hello(fmt.Sprint("loud-", time.Now().UnixNano()))
	defer c.Close()
	m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	m.TopicName, m.Qos, m.MessageID, m.Payload = "fleet/"+key(1)+"/telemetry", 1, 1, payload
	_ = m.Write(c) // it may be cut off in the middle
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	answer, err := packets.ReadPacket(c)
	if err == nil {
		p.Errorf("10 MB were answered with %s", answer)
	}
	return err != nil
}

// hello opens a connection and signs in.
func (p *plant) hello(id string) net.Conn {
	p.Helper()
	c, err := knock(p.mqtt, id, nil, time.Minute)
	p.must(err)
	return c
}

// knock opens a connection, from an address of its own if need be, and signs in.
func knock(to, id string, from net.IP, within time.Duration) (net.Conn, error) {
	dialer := net.Dialer{Timeout: within}
	if from != nil {
		dialer.LocalAddr = &net.TCPAddr{IP: from}
	}
	c, err := dialer.Dial("tcp", to)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(within))
	h := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	h.ProtocolName, h.ProtocolVersion, h.CleanSession, h.ClientIdentifier, h.Keepalive = "MQTT", 4, true, id, 600
	if err = h.Write(c); err == nil {
		var answer packets.ControlPacket
		if answer, err = packets.ReadPacket(c); err == nil {
			if ack, ok := answer.(*packets.ConnackPacket); !ok || ack.ReturnCode != packets.Accepted {
				err = fmt.Errorf("answered %s", answer)
			}
		}
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// F35: the program may have 256 descriptors, and more than that many clients come.
func TestF35_DescriptorsAreFew(t *testing.T) {
	t.Parallel()
	l := l1()
	p := build(t, plan{machines: l.machines, prefix: []string{"prlimit", "--nofile=256:256"}})
	f := p.talk(l)
	p.hears(f, l.perSecond)
	clients := longform.Choose(260, 400)
	briefly := longform.Choose(100*time.Millisecond, time.Second)
	var held []net.Conn
	refused := 0
	for n := range clients {
		if c, err := knock(p.mqtt, fmt.Sprintf("idle-%d", n), nil, briefly); err == nil {
			held = append(held, c)
		} else {
			refused++
		}
	}
	from := f.now()
	p.hears(f, longform.Choose(l.perSecond, 60*l.perSecond))
	to := f.now()
	if refused == 0 || !p.program.Lives() {
		t.Errorf("%d of %d were refused", refused, clients)
	}
	for _, c := range held {
		c.Close()
	}
	p.until("newcomers are let in again", func() bool {
		c, err := knock(p.mqtt, "late", nil, time.Minute)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
	p.judge(f)
	p.tell(f, from, to)
	t.Logf("%d let in, %d refused", len(held), refused)
}
