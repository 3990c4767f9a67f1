package intake

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/gorilla/websocket"
)

const maxWebMessage = 1 << 20 // bytes of a WebSocket message; it may hold many packets, or a part of one

var (
	errTLS = errors.New("the TLS handshake failed")
	errWeb = errors.New("the WebSocket handshake failed")
)

// unwrap takes off what is around MQTT: TLS, then WebSocket. The deadline for
// CONNECT runs already.
func (c *connection) unwrap() error {
	conn := c.raw
	if c.door.keys != nil {
		secure := tls.Server(conn, &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: c.door.keys.current})
		if err := secure.HandshakeContext(c.life); err != nil {
			return fmt.Errorf("%w: %w", errTLS, err)
		}
		if state := secure.ConnectionState(); len(state.VerifiedChains) > 0 {
			leaf := state.PeerCertificates[0]
			c.keys, c.until, c.shown = keysOf(leaf), leaf.NotAfter, true
		}
		conn = secure
	}
	if c.door.web {
		web, browser, err := upgrade(conn)
		if err != nil {
			return fmt.Errorf("%w: %w", errWeb, err)
		}
		c.browser, conn = browser, web
	}
	c.Conn = conn
	return nil
}

// upgrade answers the HTTP request with which a WebSocket begins. A page of any
// site can open one from a browser on this host; what says so is its Origin.
func upgrade(conn net.Conn) (_ net.Conn, browser bool, err error) {
	in := bufio.NewReaderSize(conn, 4<<10)
	limited := &io.LimitedReader{R: in, N: maxHelloBytes}
	head := bufio.NewReaderSize(limited, 4<<10)
	r, err := http.ReadRequest(head)
	if err != nil {
		return nil, false, err
	}
	limited.N = 1 << 62
	w := &handshake{conn: conn, buffered: bufio.NewReadWriter(head, bufio.NewWriterSize(conn, 4<<10)), header: http.Header{}}
	upgrader := websocket.Upgrader{
		Subprotocols: []string{"mqtt", "mqttv3.1"}, ReadBufferSize: 4 << 10, WriteBufferSize: 4 << 10,
		CheckOrigin: func(*http.Request) bool { return true }, // who has one must sign in; there is nothing that a browser adds by itself
		Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			http.Error(w, reason.Error(), status)
		},
	}
	if !offersMQTT(r) {
		http.Error(w, "the subprotocol mqtt is missing", http.StatusBadRequest)
		return nil, false, errors.New("no subprotocol mqtt")
	}
	socket, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil, false, err
	}
	socket.SetReadLimit(maxWebMessage)
	return &webConn{Conn: conn, socket: socket}, r.Header.Get("Origin") != "", nil
}

func offersMQTT(r *http.Request) bool {
	for _, p := range websocket.Subprotocols(r) {
		if strings.EqualFold(p, "mqtt") || strings.EqualFold(p, "mqttv3.1") {
			return true
		}
	}
	return !websocket.IsWebSocketUpgrade(r) // the library says what is wrong with it
}

// handshake is the answer to one HTTP request on a connection that is ours.
type handshake struct {
	conn     net.Conn
	buffered *bufio.ReadWriter
	header   http.Header
	status   int
}

// Header are the answer's.
func (h *handshake) Header() http.Header { return h.header }

// WriteHeader keeps the status for Write.
func (h *handshake) WriteHeader(status int) { h.status = status }

// Write answers a request that is no WebSocket's.
func (h *handshake) Write(body []byte) (int, error) {
	a := http.Response{StatusCode: h.status, ProtoMajor: 1, ProtoMinor: 1, Header: h.header, Close: true,
		ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(string(body)))}
	return len(body), a.Write(h.conn)
}

// Hijack gives the connection to the WebSocket.
func (h *handshake) Hijack() (net.Conn, *bufio.ReadWriter, error) { return h.conn, h.buffered, nil }

// webConn is the stream of bytes inside a WebSocket's binary messages.
type webConn struct {
	net.Conn
	socket  *websocket.Conn
	message io.Reader // nil between messages
	writing sync.Mutex
}

// Read goes on to the next message when one ends.
func (w *webConn) Read(p []byte) (int, error) {
	for {
		if w.message == nil {
			kind, message, err := w.socket.NextReader()
			if err != nil {
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				return 0, fmt.Errorf("%w: a message is not binary", errWeb)
			}
			w.message = message
		}
		n, err := w.message.Read(p)
		if errors.Is(err, io.EOF) {
			w.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// Write sends one message.
func (w *webConn) Write(p []byte) (int, error) {
	w.writing.Lock()
	defer w.writing.Unlock()
	if err := w.socket.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}
