package stand

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Trouble is what a line does to what goes through it; its zero value is none.
type Trouble struct {
	LoseUp, LoseDown bool          // what goes to the far side, or comes from it, is swallowed
	Latency          time.Duration // of each piece, in both directions
	Rate             int           // bytes a second in each direction; 0 = as they come
	Slice            int           // bytes that go at once; 0 = as they come
	Limit            int64         // bytes to the far side, over all connections, after which all are cut; 0 = no limit
}

// Line is a connection between two parts that does what networks do: it breaks, is
// slow, swallows. What is on its way when it is cut is gone.
type Line struct {
	door    net.Listener
	network string
	to      string
	running sync.WaitGroup

	trouble atomic.Pointer[Trouble]
	passed  atomic.Int64 // to the far side, since the trouble was made

	mu    sync.Mutex
	down  bool
	reset bool // ends of connections are a reset, not a farewell
	ends  map[net.Conn]chan struct{}
	count int
}

// LayLine lays a line to an address of a network ("tcp", "unix"); it lies until Close.
func LayLine(network, to string) (*Line, error) {
	door, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is there at once
	if err != nil {
		return nil, err
	}
	l := &Line{door: door, network: network, to: to, ends: map[net.Conn]chan struct{}{}}
	l.Make(Trouble{})
	l.running.Go(l.accept)
	return l, nil
}

// Address is where the near side connects to.
func (l *Line) Address() string { return l.door.Addr().String() }

// Connections is how many have come through so far.
func (l *Line) Connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// Make makes a trouble, in place of the one before, for old and new connections.
func (l *Line) Make(t Trouble) {
	l.passed.Store(0)
	l.trouble.Store(&t)
}

// Cut ends every connection; with reset by an RST.
func (l *Line) Cut(reset bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reset = reset
	l.cut()
}

// Down cuts the line and keeps it so until it is called with false.
func (l *Line) Down(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down, l.reset = down, false
	if down {
		l.cut()
	}
}

func (l *Line) cut() {
	for end, gone := range l.ends {
		if tcp, ok := end.(*net.TCPConn); ok && l.reset {
			_ = tcp.SetLinger(0) // it may be closed already
		}
		_ = end.Close()
		close(gone)
	}
	clear(l.ends)
}

// Close takes the line away and waits for its ends.
func (l *Line) Close() {
	_ = l.door.Close()
	l.Down(true)
	l.running.Wait()
}

func (l *Line) accept() {
	for {
		near, err := l.door.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial(l.network, l.to) //nolint:noctx // local
		if err != nil {
			_ = near.Close()
			continue
		}
		gone, ok := l.hold(near, far)
		if !ok {
			_, _ = near.Close(), far.Close()
			continue
		}
		l.running.Go(func() { l.carry(far, near, gone, true) })
		l.running.Go(func() { l.carry(near, far, gone, false) })
	}
}

func (l *Line) hold(near, far net.Conn) (gone chan struct{}, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, false
	}
	l.count++
	gone = make(chan struct{})
	l.ends[near], l.ends[far] = gone, make(chan struct{})
	return gone, true
}

// carry copies one direction until a side is gone.
func (l *Line) carry(to, from net.Conn, gone chan struct{}, up bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !l.pass(to, buf[:n], gone, up) || err != nil {
			return
		}
	}
}

func (l *Line) pass(to io.Writer, piece []byte, gone chan struct{}, up bool) bool {
	t := l.trouble.Load()
	if up && t.LoseUp || !up && t.LoseDown {
		return true
	}
	if t.Latency > 0 && !wait(gone, t.Latency) {
		return false
	}
	if up && t.Limit > 0 {
		if over := l.passed.Add(int64(len(piece))) - t.Limit; over > 0 {
			_, _ = to.Write(piece[:max(0, int64(len(piece))-over)]) // it is cut anyway
			l.Cut(false)
			return false
		}
	}
	for len(piece) > 0 {
		n := len(piece)
		if t.Slice > 0 {
			n = min(n, t.Slice)
		}
		if t.Rate > 0 && !wait(gone, time.Duration(n)*time.Second/time.Duration(t.Rate)) {
			return false
		}
		if _, err := to.Write(piece[:n]); err != nil {
			return false
		}
		piece = piece[n:]
	}
	return true
}

func wait(gone chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-gone:
		return false
	}
}
