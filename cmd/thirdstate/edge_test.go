package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/api"
	"github.com/thirdstate/thirdstate/cmd/thirdstate/stand"
	"github.com/thirdstate/thirdstate/internal/longform"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/publish"
)

// TestEdge_LosesAndDoublesNothing lets the fleet talk to an edge all the time while
// the line to the centre is cut, the edge is killed during the cut, and the centre
// is killed while it catches up. TEST_FULL=1 cuts the line for a day, too.
func TestEdge_LosesAndDoublesNothing(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	p := startPair(t, killSpeed)
	centre, near, line := p.centre, p.near, p.line
	k := startTalkers(t, p.nearTo)
	awhile(random, 500*time.Millisecond, time.Second)
	line.Down(true)
	const untimed = 20
	p.speakUntimed(t, untimed)
	awhile(random, 500*time.Millisecond, time.Second)
	if waiting := near.figure(t, "thirdstate_forward_waiting_records"); waiting == 0 || near.get(t, "/readyz", nil) != http.StatusOK {
		t.Errorf("during the cut %v records wait, and the edge must be ready", waiting)
	}
	near.kill(t)
	near.start(t)
	awhile(random, 500*time.Millisecond, time.Second)
	line.Down(false)
	until(t, "the centre is reached again", func() bool { return near.figure(t, "thirdstate_forward_records_total") > 0 })
	centre.kill(t)
	centre.start(t)
	near.kill(t) // while it forwards
	near.start(t)
	acked, resent := k.finish(t)
	p.settle(t)
	lost := centre.compare(t, p.here, k.acked)
	var there, here api.Intake
	near.get(t, "/api/v1/intake", &there)
	centre.get(t, "/api/v1/intake", &here)
	t.Logf("%d messages acknowledged by the edge, %d sent again to it, %d lost; edge %+v; centre %+v", acked, resent, lost, there.Account, here.Account)
	if acked < killRate || lost > 0 {
		t.Errorf("%d of %d acknowledged messages are not at the centre", lost, acked)
	}
	if !here.Holds || here.Stored != int64(acked)+untimed || here.Dead+here.Unclaimed+here.Refused > 0 {
		t.Errorf("the centre's account of %d messages is %+v", acked, here)
	}
	if a, b := near.untimed(t, p.there[killKey(1)]), centre.untimed(t, p.here[killKey(1)]); len(a) != untimed || !slices.Equal(a, b) {
		t.Errorf("of %d messages without a time the edge has %v\nand the centre %v", untimed, a, b)
	}
	near.findings(t, p.there)
	centre.findings(t, p.here)
	if a, b := near.found(t, p.there), centre.found(t, p.here); !slices.Equal(a, b) {
		t.Errorf("the edge has found %v\nand the centre %v", a, b)
	}
	if longform.Asked() {
		t.Run("a day", bringDay)
	}
}

// pair is a centre with an edge before it, and the line between them.
type pair struct {
	centre, near          *program
	here, there           map[string]machines.Row
	line                  *stand.Line
	centreAddress, nearTo string
}

func startPair(t *testing.T, speed int) *pair {
	t.Helper()
	clock := []string{"--clock-start", killStart.Format(time.RFC3339), "--speed", fmt.Sprint(speed)}
	p := &pair{centreAddress: spareAddress(t), nearTo: spareAddress(t)}
	centreData, nearData := postgrestest.Folder(t), postgrestest.Folder(t)
	line, err := stand.LayLine("tcp", p.centreAddress)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(line.Close)
	p.line = line
	p.centre = startProgram(t, centreData, append(clock, "--mqtt-listen", p.centreAddress)...)
	p.here = enterKillFleet(t, p.centre, centreData)
	token := said(t, "device", "add", "--gateway", "EDGE1", "--data", centreData)
	p.near = startAs(t, "edge", nearData, append(clock, "--mqtt-listen", p.nearTo,
		"--centre", "mqtt://"+p.line.Address(), "--edge-id", "EDGE1", "--centre-token", token)...)
	p.there = enterKillFleet(t, p.near, nearData)
	until(t, "the edge is connected", func() bool { return p.near.figure(t, "thirdstate_forward_connected") == 1 })
	return p
}

// speakUntimed has a machine say to the edge what only the edge knows the time of.
func (p *pair) speakUntimed(t *testing.T, times int) {
	t.Helper()
	device, err := publish.Dial(t.Context(), "mqtt://"+p.nearTo, publish.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range times {
		if err := device.Publish(t.Context(), "fleet/"+killKey(1)+"/telemetry", fmt.Appendf(nil, `{"values":{"n":%d}}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(device.Flush(t.Context()), device.Close()); err != nil {
		t.Fatal(err)
	}
}

// settle waits until the centre has evaluated and stored all that the edge has.
func (p *pair) settle(t *testing.T) {
	t.Helper()
	end := p.near.settle(t)
	until(t, "the edge has forwarded everything", func() bool {
		var a api.Intake // before what waits, so that it does not grow between
		p.near.get(t, "/api/v1/intake", &a)
		return float64(a.Last)-p.near.figure(t, "thirdstate_forward_waiting_records") >= float64(end)
	})
	p.centre.settle(t)
}

// bringDay cuts the line for 24 hours of the program clock, with an edge that is
// killed in the middle of them. The devices name no time, so that only the edge
// knows it.
func bringDay(t *testing.T) {
	const speed, rate = 8_640, 400
	const cut = 24 * time.Hour / speed
	p := startPair(t, speed)
	device, err := publish.Dial(t.Context(), "mqtt://"+p.nearTo, publish.Options{})
	if err != nil {
		t.Fatal(err)
	}
	said := 0
	talk := func(d time.Duration) {
		tick := time.NewTicker(time.Second / rate)
		defer tick.Stop()
		for until := time.Now().Add(d); time.Now().Before(until); said++ {
			<-tick.C
			topic := "fleet/" + killKey(said%killFleet) + "/telemetry"
			if err := device.Publish(t.Context(), topic, fmt.Appendf(nil, `{"values":{"n":%d}}`, said)); err != nil {
				t.Fatal(err)
			}
		}
	}
	talk(time.Second / 2)
	p.line.Down(true)
	talk(cut / 2)
	p.near.kill(t)
	p.near.start(t)
	talk(cut / 2)
	waiting, begun := p.near.figure(t, "thirdstate_forward_waiting_records"), time.Now()
	p.line.Down(false)
	talk(time.Second / 2)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := errors.Join(device.Flush(ctx), device.Close()); err != nil {
		t.Fatal(err)
	}
	p.settle(t)
	t.Logf("%d messages; %v records waited when the cut was mended, settled %v later", said, waiting, time.Since(begun))
	rows := 0
	for i := range killFleet {
		a, b := p.near.untimed(t, p.there[killKey(i)]), p.centre.untimed(t, p.here[killKey(i)])
		if !slices.Equal(a, b) {
			t.Errorf("%s: %d rows at the edge, %d at the centre, or other ones", killKey(i), len(a), len(b))
		}
		rows += len(a)
	}
	if rows < said*99/100 { // a message may come again, and two may fall on one microsecond
		t.Errorf("%d rows of %d messages", rows, said)
	}
}

// untimed lists what a machine has said, and when the edge has heard it.
func (p *program) untimed(t *testing.T, m machines.Row) (list []string) {
	t.Helper()
	query := url.Values{"machineId": {m.ID.String()}, "signals": {"n"}, "points": {"5000"},
		"from": {killStart.Format(time.RFC3339Nano)}, "to": {killStart.AddDate(0, 0, 30).Format(time.RFC3339Nano)}}
	var series api.Items[api.Series]
	if status := p.get(t, "/api/v1/observations?"+query.Encode(), &series); status != http.StatusOK {
		t.Fatalf("observations of %s: %d", m.Key, status)
	}
	for _, s := range series.Items {
		for i, at := range s.At {
			list = append(list, fmt.Sprint(at, " ", s.Mean[i]))
		}
	}
	return list
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
