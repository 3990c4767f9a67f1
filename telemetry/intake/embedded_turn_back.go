package intake

import (
	"bufio"
	"io"
	"net"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

const (
	maxTurnedBack  = 256 // at the same time; beyond it they are closed without a word
	turnBackWithin = 2 * time.Second
	comeBackAfter  = "10" // seconds
)

// turnBack tells a client that could not be taken in to come back later, in what
// it speaks. One that speaks TLS is closed without a word: a handshake is what
// there is no time for.
func (e *Embedded) turnBack(raw net.Conn, d *door, reason string) {
	e.counts.refuse(reason)
	if d.keys != nil || e.stopping.Load() || !e.turning.TryAcquire(1) {
		_ = raw.Close()
		return
	}
	e.running.Go(func() {
		defer e.turning.Release(1)
		defer raw.Close()
		_ = raw.SetDeadline(time.Now().Add(turnBackWithin))
		in := bufio.NewReaderSize(io.LimitReader(raw, maxHelloBytes), 512)
		if d.web {
			answerBusyWeb(raw, in)
			return
		}
		answerBusy(raw, in)
	})
}

// answerBusy reads a CONNECT as far as is needed to answer it.
func answerBusy(raw net.Conn, in *bufio.Reader) {
	kind, err := in.ReadByte()
	if err != nil || kind != packets.Connect<<4 {
		return
	}
	size, _, err := packets.DecodeLength(in)
	if err != nil || size > maxHelloBytes || size < 7 {
		return
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(in, body); err != nil { // all of it: closing with unread bytes would take the answer away
		return
	}
	name := int(body[0])<<8 | int(body[1])
	if len(body) <= 2+name {
		return
	}
	if body[2+name] == 5 {
		_, _ = raw.Write([]byte{packets.Connack << 4, 3, 0, packets.ErrServerBusy.Code, 0})
		return
	}
	_, _ = raw.Write([]byte{packets.Connack << 4, 2, 0, packets.Err3ServerUnavailable.Code})
}

func answerBusyWeb(raw net.Conn, in *bufio.Reader) {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		if len(line) <= 2 {
			break
		}
	}
	_, _ = io.WriteString(raw, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: "+comeBackAfter+"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
}
