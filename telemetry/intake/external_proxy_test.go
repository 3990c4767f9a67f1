package intake

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between a client and a broker and does to their connection what
// networks do.
type proxy struct {
	listener net.Listener
	broker   string
	mute     atomic.Bool // what the client sends is swallowed
	deaf     atomic.Bool // what the broker sends is swallowed

	mu    sync.Mutex
	links []net.Conn
	count int
}

func startProxy(t *testing.T, broker string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, broker: broker}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", broker)
			if err != nil {
				client.Close()
				continue
			}
			p.mu.Lock()
			p.links = append(p.links, client, server)
			p.count++
			p.mu.Unlock()
			running.Go(func() { p.pass(server, client, &p.mute) })
			running.Go(func() { p.pass(client, server, &p.deaf) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.cut()
		running.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// pass copies until one side is gone; while lost is set the bytes are.
func (p *proxy) pass(to, from net.Conn, lost *atomic.Bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if n > 0 && !lost.Load() {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut ends every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.links {
		c.Close()
	}
	p.links = nil
}

// connections is how many there have been.
func (p *proxy) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}
