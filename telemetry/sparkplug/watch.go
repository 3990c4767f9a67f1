package sparkplug

import (
	"sort"
	"time"
)

// Why an edge node is asked for its births, beside the reasons of faults.
const (
	Reordered = "reorder_timeout" // a sequence number did not come in time
	Malformed = "malformed"
	Long      = "long_session" // so many births of devices came since the node's own that it should begin anew
)

const (
	askAgain   = 30 * time.Second // between the first and the second request to one node, at least
	askSeldom  = 10 * time.Minute // between two requests at most
	askBurst   = 20               // requests that go out at once
	askRate    = 10               // a second, after the burst
	maxWatched = 20_000           // edge nodes
	maxDefined = 500_000          // metrics of all of them, 200 to 400 bytes each
	maxPending = 128              // sequence numbers that came before their turn
	longEvents = 10_000           // births and deaths of devices since their node's birth
)

// Ask is a request for an edge node's births, and its reason.
type Ask struct {
	Node
	Reason string
}

// WatchConfig says how patient a Watch is.
type WatchConfig struct {
	// Reorder is how long a missing sequence number is waited for; 0 = sequence
	// numbers are no reason to ask.
	Reorder time.Duration
	// AskMalformed asks a node that has sent what cannot be read.
	AskMalformed bool
}

// Watch follows what edge nodes send, live, and decides which of them have to be
// asked for their births: the first time at once, then after 30 s, 1 min and so
// on up to every 10 min; and not all nodes in the same second. Not safe for
// concurrent use.
type Watch struct {
	config WatchConfig
	nodes  map[Node]*watchedNode
	sizes  int     // metrics that their births have defined
	tokens float64 // requests that may go out now
	filled time.Time
}

type watchedNode struct {
	session  Session
	sequence sequence
	want     string    // the reason of a request that has not gone out
	after    time.Time // when it may
	asked    time.Time // the last one
	interval time.Duration
	events   int // births and deaths of devices since its birth, or since it was asked for being long
}

// NewWatch returns a watch that knows no edge node.
func NewWatch(c WatchConfig) *Watch {
	return &Watch{config: c, nodes: map[Node]*watchedNode{}, tokens: askBurst}
}

// Forget drops what is known of the nodes that held says: births that came
// while nobody listened are unknown.
func (w *Watch) Forget(held func(Node) bool) {
	for id := range w.nodes {
		if held(id) {
			w.drop(id)
		}
	}
}

// Nodes is how many edge nodes are known.
func (w *Watch) Nodes() int { return len(w.nodes) }

// See notes one message that came at now; p is nil where it could not be decoded.
func (w *Watch) See(t Topic, p *Payload, now time.Time) {
	if t.Type == State || t.Type.Command() {
		return
	}
	n := w.node(t.Node)
	defer w.measure(n, n.session.Size())
	if p == nil {
		n.session.Apply(t, nil)
		if w.config.AskMalformed {
			n.wants(Malformed, now)
		}
		return
	}
	switch t.Type {
	case NDeath: // it has no sequence number
		if c := n.session.Apply(t, p); c.Refused == nil {
			n.sequence, n.want = sequence{}, ""
		}
		return
	case NBirth:
		n.session.Apply(t, p)
		n.sequence, n.want, n.events = sequence{}, "", 0
		n.sequence.begin(p.Seq)
		return
	case DBirth, DDeath:
		if !n.session.Born() {
			n.wants(NoBirth, now)
		}
		n.session.Apply(t, p)
		if n.events++; n.events >= longEvents { // all of them are kept for as long as this birth holds
			n.events = 0
			n.wants(Long, now)
		}
	default:
		if ask := n.session.Read(t, p).Ask; ask != "" {
			n.wants(ask, now)
		}
	}
	if p.HasSeq && w.config.Reorder > 0 {
		n.sequence.take(p.Seq, now)
	}
}

// node returns what is known of a node; beyond the bound another one is forgotten
// for it, and asked again when it speaks.
func (w *Watch) node(id Node) *watchedNode {
	n := w.nodes[id]
	if n == nil {
		if len(w.nodes) >= maxWatched {
			for other := range w.nodes {
				w.drop(other)
				break
			}
		}
		n = &watchedNode{}
		w.nodes[id] = n
	}
	return n
}

func (w *Watch) drop(id Node) {
	w.sizes -= w.nodes[id].session.Size()
	delete(w.nodes, id)
}

// measure notes what has become of a node. Where all of them define too much,
// others are forgotten for it: a sender may make up nodes, each with a birth as
// large as a message may be.
func (w *Watch) measure(n *watchedNode, before int) {
	w.sizes += n.session.Size() - before
	for id, other := range w.nodes {
		if w.sizes <= maxDefined {
			return
		}
		if other != n {
			w.drop(id)
		}
	}
}

// wants notes that a node has to be asked, when it may be asked again.
func (n *watchedNode) wants(reason string, now time.Time) {
	if n.want != "" {
		return
	}
	if n.interval > 0 && now.Sub(n.asked) > 2*n.interval {
		n.interval = 0 // it has been quiet for long
	}
	n.want, n.after = reason, now
	if n.interval > 0 && n.asked.Add(n.interval).After(now) {
		n.after = n.asked.Add(n.interval)
	}
}

// Due returns the requests that are to go out now, in the order of their nodes.
func (w *Watch) Due(now time.Time) []Ask {
	if !w.filled.IsZero() && now.After(w.filled) {
		w.tokens = min(w.tokens+now.Sub(w.filled).Seconds()*askRate, askBurst)
	}
	w.filled = now
	var due []Node
	for id, n := range w.nodes {
		if n.sequence.expired(now, w.config.Reorder) {
			n.sequence.giveUp()
			n.wants(Reordered, now)
		}
		if n.want != "" && !n.after.After(now) {
			due = append(due, id)
		}
	}
	sort.Slice(due, func(i, k int) bool {
		a, b := w.nodes[due[i]], w.nodes[due[k]]
		if !a.after.Equal(b.after) {
			return a.after.Before(b.after)
		}
		return due[i].String() < due[k].String()
	})
	var asks []Ask
	for _, id := range due {
		if w.tokens < 1 {
			break
		}
		w.tokens--
		n := w.nodes[id]
		asks = append(asks, Ask{id, n.want})
		n.want, n.asked = "", now
		n.interval = min(max(2*n.interval, askAgain), askSeldom)
	}
	return asks
}

// sequence follows the counter that all messages of an edge node but its death
// share: 0 to 255, then 0 again.
type sequence struct {
	begun   bool
	next    uint8
	pending map[uint8]struct{} // came before their turn
	since   time.Time          // when the first of them came
}

// begin takes a birth's number: those before it mean nothing any more.
func (s *sequence) begin(seq uint64) { *s = sequence{begun: true, next: uint8(seq) + 1} } //nolint:gosec // it wraps

func (s *sequence) take(seq uint64, now time.Time) {
	got := uint8(seq) //nolint:gosec // 0 to 255, and what is not is a gap
	switch ahead := got - s.next; {
	case !s.begun:
		s.begin(seq)
	case ahead == 0:
		s.next++
		s.catchUp()
	case ahead < maxPending:
		if len(s.pending) == 0 {
			s.pending, s.since = map[uint8]struct{}{}, now
		}
		s.pending[got] = struct{}{}
	}
}

func (s *sequence) catchUp() {
	for len(s.pending) > 0 {
		if _, came := s.pending[s.next]; !came {
			return
		}
		delete(s.pending, s.next)
		s.next++
	}
	s.since = time.Time{}
}

func (s *sequence) expired(now time.Time, limit time.Duration) bool {
	return len(s.pending) > 0 && limit > 0 && now.Sub(s.since) >= limit
}

// giveUp goes on behind the newest of what came.
func (s *sequence) giveUp() {
	newest := s.next
	for seq := range s.pending {
		if seq-s.next > newest-s.next {
			newest = seq
		}
	}
	*s = sequence{begun: true, next: newest + 1}
}
