package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/api"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/machines"
)

// cable is a line that can be cut: nothing goes through it then, and what was on
// its way is gone.
type cable struct {
	door net.Listener
	to   string

	mu      sync.Mutex
	cut     bool
	ends    map[net.Conn]struct{}
	running sync.WaitGroup
}

func layCable(t *testing.T, to string) *cable {
	t.Helper()
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{door: door, to: to, ends: map[net.Conn]struct{}{}}
	c.running.Go(c.accept)
	t.Cleanup(func() { door.Close(); c.set(true); c.running.Wait() })
	return c
}

func (c *cable) accept() {
	for {
		near, err := c.door.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", c.to)
		if err != nil || !c.hold(near, far) {
			near.Close()
			if far != nil {
				far.Close()
			}
			continue
		}
		carry := func(to, from net.Conn) {
			_, _ = io.Copy(to, from)
			to.Close()
			from.Close()
		}
		c.running.Go(func() { carry(near, far) })
		c.running.Go(func() { carry(far, near) })
	}
}

func (c *cable) hold(ends ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, end := range ends {
		c.ends[end] = struct{}{}
	}
	return !c.cut
}

func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	for end := range c.ends {
		end.Close()
	}
	clear(c.ends)
}

// TestEdge_LosesAndDoublesNothing lets the fleet talk to an edge all the time while
// the line to the centre is cut, the edge is killed during the cut, and the centre
// is killed while it catches up.
func TestEdge_LosesAndDoublesNothing(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	clock := []string{"--clock-start", killStart.Format(time.RFC3339), "--speed", fmt.Sprint(killSpeed)}
	centreAddress, edgeAddress := spareAddress(t), spareAddress(t)
	centreData, edgeData := postgrestest.Folder(t), postgrestest.Folder(t)
	line := layCable(t, centreAddress)

	centre := startProgram(t, centreData, append(clock, "--mqtt-listen", centreAddress)...)
	fleet := enterKillFleet(t, centre, centreData)
	token := said(t, "device", "add", "--gateway", "EDGE1", "--data", centreData)
	near := startAs(t, "edge", edgeData, append(clock, "--mqtt-listen", edgeAddress,
		"--centre", "mqtt://"+line.door.Addr().String(), "--edge-id", "EDGE1", "--centre-token", token)...)
	fleetThere := enterKillFleet(t, near, edgeData)

	until(t, "the edge is connected", func() bool { return near.figure(t, "thirdstate_forward_connected") == 1 })
	k := startTalkers(t, edgeAddress)
	awhile(random, 500*time.Millisecond, time.Second)
	line.set(true)
	awhile(random, 500*time.Millisecond, time.Second)
	if waiting := near.figure(t, "thirdstate_forward_waiting_records"); waiting == 0 || near.get(t, "/readyz", nil) != http.StatusOK {
		t.Errorf("during the cut %v records wait, and the edge must be ready", waiting)
	}
	near.kill(t)
	near.start(t)
	awhile(random, 500*time.Millisecond, time.Second)
	line.set(false)
	until(t, "the centre is reached again", func() bool { return near.figure(t, "thirdstate_forward_records_total") > 0 })
	centre.kill(t)
	centre.start(t)
	near.kill(t) // while it forwards
	near.start(t)
	acked, resent := k.finish(t)
	until(t, "the edge has stored everything", func() bool { return near.settled(t) })
	until(t, "the edge has forwarded everything", func() bool { return near.figure(t, "thirdstate_forward_waiting_records") < 3 })
	until(t, "the centre has stored everything", func() bool { return centre.settled(t) })

	lost := centre.compare(t, fleet, k.acked)
	var there, here api.Intake
	near.get(t, "/api/v1/intake", &there)
	centre.get(t, "/api/v1/intake", &here)
	t.Logf("%d messages acknowledged by the edge, %d sent again to it, %d lost; edge %+v; centre %+v", acked, resent, lost, there.Account, here.Account)
	if acked < killRate || lost > 0 {
		t.Errorf("%d of %d acknowledged messages are not at the centre", lost, acked)
	}
	if !here.Holds || here.Stored != int64(acked) || here.Dead+here.Unclaimed+here.Refused > 0 {
		t.Errorf("the centre's account of %d messages is %+v", acked, here)
	}
	near.findings(t, fleetThere)
	centre.findings(t, fleet)
	if a, b := near.found(t, fleetThere), centre.found(t, fleet); !slices.Equal(a, b) {
		t.Errorf("the edge has found %v\nand the centre %v", a, b)
	}
}

// found lists what was found, by machine, rule and time.
func (p *program) found(t *testing.T, fleet map[string]machines.Row) (list []string) {
	t.Helper()
	keys := map[string]string{}
	for key, m := range fleet {
		keys[m.ID.String()] = key
	}
	var page machines.Page[machines.Finding]
	p.get(t, "/api/v1/findings?limit=500", &page)
	for _, f := range page.Items {
		list = append(list, fmt.Sprint(keys[f.MachineID.String()], " ", f.Rule, " ", f.OpenedAt.Unix()))
	}
	slices.Sort(list)
	return list
}
