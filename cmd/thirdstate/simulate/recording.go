package simulate

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// Recording is recorded files, ready to be played.
type Recording struct {
	rows  []recordedRow
	files map[string]string // by machine
}

// recordedRow is one row; After is its distance from the begin of its file.
type recordedRow struct {
	after   time.Duration
	machine string
	values  []observation.Value
}

// maxRecorded bounds the values of a recording that are held at once.
const maxRecorded = 20_000_000

// ReadRecording reads files, packed by gzip or not, of one mapping. An error is one
// line with the file and the line number.
func ReadRecording(mapping *Mapping, names []string) (*Recording, error) {
	r := &Recording{files: map[string]string{}}
	total := 0
	for _, name := range names {
		rows, err := readFile(mapping, name)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			if total += len(rows[i].values); total > maxRecorded {
				return nil, fmt.Errorf("%s: more than %d values in all: replay fewer files or map fewer signals", name, maxRecorded)
			}
			if other, ok := r.files[rows[i].machine]; ok && other != name {
				return nil, fmt.Errorf("%s: machine %s is in %s too: replay one after the other, or put {file} into the machine's name", name, rows[i].machine, other)
			}
			r.files[rows[i].machine] = name
		}
		r.rows = append(r.rows, rows...)
	}
	sort.SliceStable(r.rows, func(i, j int) bool { return r.rows[i].after < r.rows[j].after })
	return r, nil
}

// Machines lists the machines of the recording by name.
func (r *Recording) Machines() []string {
	list := make([]string, 0, len(r.files))
	for machine := range r.files {
		list = append(list, machine)
	}
	slices.Sort(list)
	return list
}

// Rows is how many rows there are.
func (r *Recording) Rows() int { return len(r.rows) }

// Length is the time between the first row and the last.
func (r *Recording) Length() time.Duration {
	if len(r.rows) == 0 {
		return 0
	}
	return r.rows[len(r.rows)-1].after
}

// Observations gives the rows in the order of their times, rebased to start.
func (r *Recording) Observations(start time.Time) func(yield func(observation.Observation) bool) {
	return func(yield func(observation.Observation) bool) {
		for i := range r.rows {
			row := &r.rows[i]
			at := start.Add(row.after).UTC()
			if !yield(observation.Observation{Machine: row.machine, At: at, Received: at, Values: row.values}) {
				return
			}
		}
	}
}

// Play sends the rows rebased to start, their distances kept, and returns how many
// were sent. Speed is seconds of data a second, 0 = as fast as they are taken.
func (r *Recording) Play(ctx context.Context, send Send, start time.Time, speed float64) (sent int, err error) {
	metronome := newMetronome(start, speed)
	for o := range r.Observations(start) {
		if err := metronome.wait(ctx, o.At); err != nil {
			return sent, err
		}
		if len(o.Values) == 0 {
			continue
		}
		topic, payload := encode(OwnJSON, &o)
		if err := send(ctx, topic, payload); err != nil {
			return sent, fmt.Errorf("publish what %s says at %s: %w", o.Machine, o.At.Format(time.RFC3339), err)
		}
		sent++
	}
	return sent, nil
}
