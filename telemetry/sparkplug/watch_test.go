package sparkplug

import (
	"fmt"
	"testing"
	"time"
)

// After a restart of the host all nodes are unknown: each is asked once, and not
// all of them in the same second.
func TestWatch_SpreadsTheRequestsOfALateStart(t *testing.T) {
	t.Parallel()
	const nodes = 1_000
	watch, start := NewWatch(WatchConfig{Reorder: 2 * time.Second}), time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	asked := map[Node]int{}
	for second := range 120 {
		now := start.Add(time.Duration(second) * time.Second)
		for i := range nodes {
			id := Node{"g", fmt.Sprint(i)}
			if asked[id] == 0 {
				watch.See(Topic{Node: id, Type: NData}, &Payload{Metrics: []Metric{double("", 1)}}, now)
			}
		}
		asks := watch.Due(now)
		if limit := askRate; second > 0 && len(asks) > limit || second == 0 && len(asks) != askBurst {
			t.Fatalf("%d requests in second %d", len(asks), second)
		}
		for _, a := range asks {
			asked[a.Node]++
			watch.See(Topic{Node: a.Node, Type: NBirth}, &Payload{HasSeq: true, Metrics: []Metric{session(1)}}, now)
		}
	}
	for id, n := range asked {
		if n != 1 {
			t.Errorf("%s was asked %d times", id, n)
		}
	}
	if len(asked) != nodes {
		t.Errorf("%d of %d nodes were asked", len(asked), nodes)
	}
}

func TestWatch_KnowsABoundedNumberOfNodes(t *testing.T) {
	t.Parallel()
	watch, now := NewWatch(WatchConfig{}), time.Unix(1_800_000_000, 0)
	for i := range maxWatched + 100 {
		watch.See(Topic{Node: Node{"g", fmt.Sprint(i)}, Type: NData}, &Payload{}, now)
	}
	if n := watch.Nodes(); n != maxWatched {
		t.Errorf("%d nodes are known, limit %d", n, maxWatched)
	}
	watch.Forget(func(Node) bool { return true })
	if n := watch.Nodes(); n != 0 {
		t.Errorf("%d nodes are known of a source that begins anew", n)
	}
}

// A sender makes up groups, each with a birth that is as large as one may be.
func TestWatch_KnowsABoundedNumberOfMetrics(t *testing.T) {
	t.Parallel()
	watch, now := NewWatch(WatchConfig{}), time.Unix(1_800_000_000, 0)
	birth := &Payload{HasSeq: true, Metrics: []Metric{session(1)}}
	for i := range 5_000 {
		birth.Metrics = append(birth.Metrics, double(fmt.Sprint("m", i), uint64(i+1)))
	}
	last := Node{}
	for i := range maxDefined/5_000 + 20 {
		last = Node{fmt.Sprint(i), "n"}
		watch.See(Topic{Node: last, Type: NBirth}, birth, now)
	}
	sum := 0
	for _, n := range watch.nodes {
		sum += n.session.Size()
	}
	if sum > maxDefined || sum < maxDefined/2 || sum != watch.sizes || watch.nodes[last] == nil {
		t.Errorf("%d metrics are known, counted as %d, limit %d", sum, watch.sizes, maxDefined)
	}
	watch.Forget(func(Node) bool { return true })
	if watch.sizes != 0 {
		t.Errorf("%d metrics of no node", watch.sizes)
	}
}

func BenchmarkDecodeAndRead(b *testing.B) {
	s := &Session{}
	birth, data := &Payload{HasSeq: true, Metrics: []Metric{session(1)}}, &Payload{HasSeq: true}
	for i := range 20 {
		birth.Metrics = append(birth.Metrics, double(fmt.Sprintf("Engine/Signal%d", i), uint64(i+1)))
		data.Metrics = append(data.Metrics, double("", uint64(i+1)))
	}
	s.Apply(Topic{Type: NBirth}, birth)
	raw := Encode(data)
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		p, fault := Decode(raw)
		if fault != nil {
			b.Fatal(fault)
		}
		if r := s.Read(Topic{Type: NData}, p); len(r.Points) != 20 {
			b.Fatal(r)
		}
	}
}

// All births of devices since their node's are kept for as long as that holds: a node
// whose devices come and go without end is asked to begin anew.
func TestWatch_AsksANodeWhoseSessionIsLong(t *testing.T) {
	t.Parallel()
	watch, now := NewWatch(WatchConfig{}), time.Unix(1_800_000_000, 0)
	node := Node{"g", "n"}
	watch.See(Topic{Node: node, Type: NBirth}, &Payload{HasSeq: true, Metrics: []Metric{session(1)}}, now)
	var asked []Ask
	for i := range 2*longEvents + 10 {
		kind := DBirth
		if i%2 == 1 {
			kind = DDeath
		}
		watch.See(Topic{Node: node, Type: kind, Device: "d"}, &Payload{}, now)
		now = now.Add(time.Second)
		asked = append(asked, watch.Due(now)...)
	}
	if len(asked) != 2 || asked[0] != (Ask{node, Long}) {
		t.Fatalf("%v", asked)
	}
	watch.See(Topic{Node: node, Type: NBirth}, &Payload{HasSeq: true, Metrics: []Metric{session(2)}}, now)
	watch.See(Topic{Node: node, Type: DBirth, Device: "d"}, &Payload{}, now)
	if asks := watch.Due(now.Add(time.Hour)); len(asks) != 0 {
		t.Errorf("%v", asks)
	}
}
