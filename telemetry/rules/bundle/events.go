package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules/sisters"
)

// line is an event as it is written: one a line, values in the order in which they
// came. Numbers are texts of Go's shortest form, which gives the same bits back and
// can say what JSON cannot.
type line struct {
	At      time.Time        `json:"at"`
	Tick    bool             `json:"tick,omitempty"`
	Excused bool             `json:"excused,omitempty"`
	Flags   observation.Flag `json:"flags,omitempty"`
	Values  []value          `json:"values,omitempty"`
	Cohort  json.RawMessage  `json:"cohort,omitempty"`
}

type value struct {
	Signal  string              `json:"signal"`
	Value   string              `json:"value"`
	Quality observation.Quality `json:"quality,omitempty"`
}

// encode writes events in their only form.
func encode(events []Event) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, ev := range events {
		l := line{At: ev.At, Tick: ev.Tick, Excused: ev.Excused, Flags: ev.Flags}
		for _, v := range ev.Values {
			l.Values = append(l.Values, value{v.Signal, strconv.FormatFloat(v.Value, 'g', -1, 64), v.Quality})
		}
		if ev.Cohort != nil {
			l.Cohort, _ = ev.Cohort.Encode() // of one that was read: it can be written
		}
		if err := e.Encode(l); err != nil {
			b.WriteString("null\n") // a year beyond 9999: decode refuses it
		}
	}
	return b.Bytes()
}

func decode(text []byte) ([]Event, error) {
	var events []Event
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	for d.More() {
		if len(events) == maxEvents {
			return nil, fmt.Errorf("%s: more than %d lines", eventsFile, maxEvents)
		}
		var l line
		if err := d.Decode(&l); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", eventsFile, len(events)+1, err)
		}
		ev := Event{At: l.At, Tick: l.Tick, Excused: l.Excused, Flags: l.Flags}
		for _, v := range l.Values {
			number, err := strconv.ParseFloat(v.Value, 64)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %q is not a number", eventsFile, len(events)+1, v.Value)
			}
			ev.Values = append(ev.Values, observation.Value{Signal: v.Signal, Value: number, Quality: v.Quality})
		}
		if l.Cohort != nil {
			cohort, err := sisters.Decode(l.Cohort)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", eventsFile, len(events)+1, err)
			}
			ev.Cohort = cohort
		}
		events = append(events, ev)
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("%s: holds no observation", eventsFile)
	}
	return events, nil
}
