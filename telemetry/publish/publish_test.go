package publish_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"go.uber.org/goleak"

	"github.com/thirdstate/thirdstate/telemetry/publish"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen is a broker's front door: it answers CONNECT and hands each
// connection to serve, in order.
func listen(t *testing.T, returnCode byte, serve func(n int, conn net.Conn)) string {
	t.Helper()
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			conn, err := door.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				if _, err := packets.ReadPacket(conn); err != nil {
					return
				}
				ack := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
				ack.ReturnCode = returnCode
				if ack.Write(conn) == nil && returnCode == 0 {
					serve(n, conn)
				}
			})
		}
	})
	t.Cleanup(func() { door.Close(); wg.Wait() })
	return "mqtt://" + door.Addr().String()
}

func next(conn net.Conn) *packets.PublishPacket {
	for {
		packet, err := packets.ReadPacket(conn)
		if err != nil {
			return nil
		}
		if p, ok := packet.(*packets.PublishPacket); ok {
			return p
		}
	}
}

func puback(conn net.Conn, id uint16) {
	ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
	ack.MessageID = id
	_ = ack.Write(conn)
}

func TestPublisher_SendsAgainInOrderWhatWasNotAcknowledged(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var again []string
	url := listen(t, 0, func(n int, conn net.Conn) {
		for p := next(conn); p != nil; p = next(conn) {
			if n == 0 && p.MessageID > 3 {
				return // the broker dies with seven messages unanswered
			}
			if n == 1 {
				again = append(again, fmt.Sprintf("%s dup=%v", p.Payload, p.Dup))
			}
			puback(conn, p.MessageID)
		}
	})
	var acked []string
	p, err := publish.Dial(ctx, url, publish.Options{OnAck: func(_ string, payload []byte) { acked = append(acked, string(payload)) }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := p.Publish(ctx, "fleet/m1/telemetry", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(acked); got != "[0 1 2 3 4 5 6 7 8 9]" || p.Acked() != 10 {
		t.Fatalf("acknowledged %s (%d), want each once and in order", got, p.Acked())
	}
	if len(again) < 7 || again[0] != "3 dup=true" {
		t.Fatalf("second connection got %v, want it to start with the first unanswered message, marked DUP", again)
	}
}

func TestPublisher_BlocksOnlyWhenInFlightIsFull(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	url := listen(t, 0, func(_ int, conn net.Conn) {
		for p := next(conn); p != nil; p = next(conn) {
			<-answer
			puback(conn, p.MessageID)
		}
	})
	p, err := publish.Dial(t.Context(), url, publish.Options{InFlight: 2})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := p.Publish(t.Context(), "a", nil); err != nil {
			t.Fatal(err)
		}
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.Publish(short, "a", nil); err == nil {
		t.Fatal("a third message was taken while two were in flight")
	}
	close(answer)
	if err := p.Publish(t.Context(), "a", nil); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Close()
	if err := p.Publish(t.Context(), "a", nil); !errors.Is(err, publish.ErrClosed) {
		t.Fatalf("after Close: %v", err)
	}
}

func TestDial_StopsAtARefusalAndAtABadURL(t *testing.T) {
	t.Parallel()
	url := listen(t, packets.ErrRefusedNotAuthorised, nil)
	if _, err := publish.Dial(t.Context(), url, publish.Options{}); err == nil {
		t.Fatal("a refused CONNECT must be an error")
	}
	for _, bad := range []string{"", "127.0.0.1:1883", "http://x", "mqtt://:1", "mqtt://%zz"} {
		if _, err := publish.Dial(t.Context(), bad, publish.Options{}); err == nil {
			t.Errorf("%q was taken as a broker's URL", bad)
		}
	}
}
