package telemetry

import (
	"fmt"
	"testing"
	"time"
)

// A clock is at fault when five readings in a row are ahead of ours, and well again
// with the first that is not. What has no time says nothing of a clock.
func TestQuality_AClockThatIsAheadIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	machine, _ := addMachine(t, w.pool, "PM1")
	other, _ := addMachine(t, w.pool, "PM2")
	status := &HistoryStatus{}
	n := 0
	send := func(key string, ahead time.Duration) {
		n++
		w.send(t, "", "fleet/"+key+"/telemetry", telemetry(w.clock.Now().Add(ahead), "b"+key, n, fmt.Sprintf(`"oil":%d`, n)))
	}
	for range 4 {
		send("PM1", time.Hour)
	}
	w.run(t, historyRun{status: status})
	want(t, status.ClockAhead(machine).IsZero(), true)
	w.send(t, "", "fleet/PM1/telemetry", `{"values":{"oil":1}}`)
	send("PM2", -time.Minute)
	send("PM1", time.Hour)
	w.run(t, historyRun{status: status}) // a new run knows what came before it
	want(t, status.ClockAhead(machine).IsZero(), false)
	want(t, status.ClockAhead(other).IsZero(), true)
	want(t, status.ClocksAhead(), 1)
	want(t, status.ReadAhead(), uint64(5))
	send("PM1", -time.Second)
	w.run(t, historyRun{status: status})
	want(t, status.ClocksAhead(), 0)
}

func TestQuality_TwoValuesForOneInstantAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	addMachine(t, w.pool, "PM1")
	status := &HistoryStatus{}
	for i, values := range []string{`"oil":1,"water":5`, `"oil":2`, `"oil":2,"water":5`, `"air":7`} {
		w.send(t, "", "fleet/PM1/telemetry", telemetry(start, "b", i, values))
	}
	w.send(t, "", "fleet/PM1/telemetry", telemetry(start.Add(time.Second), "b", 9, `"oil":3`))
	w.send(t, "", "fleet/PM1/telemetry", telemetry(start, "b", 10, `"oil":4`)) // late: not compared
	w.run(t, historyRun{status: status})
	want(t, status.Conflicts(), uint64(1))
}
