package demo

import (
	"fmt"
	"math"
	"time"
)

// saying is one message that no machine of the fleet sends.
type saying struct {
	topic   string
	payload string
}

// strangersSince is when they were first heard, before the end.
const strangersSince = 20 * time.Hour

// strangers are what an administrator finds in the morning: a new terminal that was
// put on an old excavator, a machine that was delivered and is in no file yet, and
// messages that cannot be read.
func (d *Demo) strangers(at time.Time) []saying {
	since := at.Sub(d.end().Add(-strangersSince))
	if since < 0 || !at.Equal(at.Truncate(historyEvery)) {
		return nil
	}
	step := int(since / historyEvery)
	swing := math.Sin(float64(step) / 6)
	list := []saying{{"fleet/TBOX-88217/telemetry", fmt.Sprintf(`{"ts":%d,"values":{"hydraulic_oil_temp":%.1f,"engine_speed":%.0f,"operating_hours":%.1f}}`,
		at.UnixMilli(), 62+6*swing, 1680+90*swing, 11_842.5+float64(step)/6)}}
	if step%3 == 0 {
		list = append(list, saying{"fleet/BC56T2606003/telemetry", fmt.Sprintf(`{"ts":%d,"values":{"hydraulic_oil_temp":%.1f,"pumped_volume":%d}}`, at.UnixMilli(), 48+4*swing, 120+step)})
	}
	switch step {
	case 45: // cut off by a bad connection
		list = append(list, saying{"fleet/BC56T2406029/telemetry", fmt.Sprintf(`{"ts":%d,"values":{"hydraulic_oil_temp":57.`, at.UnixMilli())})
	case 81: // a clock that was never set
		list = append(list, saying{"fleet/BC37T2402118/telemetry", `{"ts":86400000,"values":{"hydraulic_oil_temp":55.4}}`})
	}
	return list
}
