package history

import (
	"context"
	"fmt"
	"net/http"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// Limits of one write request.
const (
	influxLines = 5_000
	influxBytes = 1 << 20
)

// Write sends points as line protocol. What the server refuses is narrowed down to
// the value, so that all others are stored.
func (h *Influx) Write(ctx context.Context, points []Point) error {
	who, err := caller(ctx)
	if err != nil {
		return err
	}
	if who.Role != identity.System && (!who.Role.Valid() || who.Role.CustomerScoped()) {
		return problem.New(problem.Forbidden, "only the service organisation writes telemetry")
	}
	w := influxWrite{Influx: h, points: points}
	w.encoder.SetPrecision(lineprotocol.Microsecond)
	for i := range points {
		values := w.finite(i)
		if len(values) == 0 {
			continue
		}
		w.lines = append(w.lines, influxLine{point: i, values: values})
		if w.size += 32 * (len(values) + 2); len(w.lines) == influxLines || w.size >= influxBytes {
			if err := w.flush(ctx); err != nil {
				return err
			}
		}
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	if len(w.refused) == 0 {
		return nil
	}
	if w.taken == 0 && w.asked {
		if err := h.probe(ctx); err != nil {
			return err
		}
	}
	return &RefusedError{w.refused}
}

// probe writes a point that nothing can be wrong with, before the server is
// believed that everything of a write is bad. It has no time: the server's own
// cannot be beyond its retention.
func (h *Influx) probe(ctx context.Context) error {
	if err := h.writes.WriteRecord(ctx, "thirdstate_probe value=1"); err != nil {
		return h.fault("InfluxDB refuses everything: write a probe", err)
	}
	return nil
}

// influxLine is some values of one point.
type influxLine struct {
	point  int
	values []observation.Value
}

// influxWrite is one call of Write.
type influxWrite struct {
	*Influx
	points  []Point
	lines   []influxLine
	size    int // rough, in bytes
	encoder lineprotocol.Encoder
	refused []Refusal
	taken   int  // values that the server has taken
	asked   bool // the server has refused something
}

// finite gives the values of a point that a history can hold.
func (w *influxWrite) finite(i int) []observation.Value {
	values, refused := w.points[i].Finite(i)
	w.refused = append(w.refused, refused...)
	return values
}

func (w *influxWrite) flush(ctx context.Context) error {
	if len(w.lines) == 0 {
		return nil
	}
	err := w.send(ctx, w.lines)
	w.lines, w.size = w.lines[:0], 0
	return err
}

// send writes lines; where the server refuses them it halves them until it is
// clear which value it will not take.
func (w *influxWrite) send(ctx context.Context, lines []influxLine) error {
	lines, body := w.encode(lines)
	if len(lines) == 0 {
		return nil
	}
	err := w.writes.WriteRecord(ctx, body)
	if err == nil {
		for _, l := range lines {
			w.taken += len(l.values)
		}
		return nil
	}
	switch influxStatus(err) {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
	default:
		return w.fault(fmt.Sprintf("write %d lines", len(lines)), err)
	}
	w.asked = true
	if first, second := halves(lines); len(second) > 0 {
		if err := w.send(ctx, first); err != nil {
			return err
		}
		return w.send(ctx, second)
	}
	w.refuse(lines[0].point, lines[0].values[0].Signal, formats.HistoryRefused, w.fault("InfluxDB does not take it", err).Error())
	return nil
}

// halves splits lines, and the last one by its values; second is empty where
// nothing is left to split.
func halves(lines []influxLine) (first, second []influxLine) {
	if n := len(lines) / 2; n > 0 {
		return lines[:n], lines[n:]
	}
	l := lines[0]
	n := len(l.values) / 2
	if n == 0 {
		return lines, nil
	}
	return []influxLine{{l.point, l.values[:n]}}, []influxLine{{l.point, l.values[n:]}}
}

// encode writes lines down; those that line protocol cannot say are refused here.
func (w *influxWrite) encode(lines []influxLine) ([]influxLine, string) {
	w.encoder.Reset()
	good := make([]influxLine, 0, len(lines))
	for _, l := range lines {
		if w.encodeLine(l) {
			good = append(good, l)
			continue
		}
		for _, v := range l.values { // one value of it at fault must not cost the others
			if one := (influxLine{l.point, []observation.Value{v}}); w.encodeLine(one) {
				good = append(good, one)
			} else {
				w.refuse(l.point, v.Signal, formats.SignalName, "line protocol has no way to write it")
			}
		}
	}
	return good, string(w.encoder.Bytes())
}

func (w *influxWrite) encodeLine(l influxLine) bool {
	e, p := &w.encoder, &w.points[l.point]
	w.startLine(influxMeasurement, p)
	bad := 0
	for _, v := range l.values {
		value, _ := lineprotocol.FloatValue(v.Value) // finite: looked at before
		e.AddField(v.Signal, value)
		if v.Quality != observation.Good {
			bad++
		}
	}
	e.EndLine(p.At)
	if bad > 0 {
		w.startLine(influxQuality, p)
		for _, v := range l.values {
			if v.Quality != observation.Good {
				value, _ := lineprotocol.FloatValue(float64(v.Quality)) // a small number
				e.AddField(v.Signal, value)
			}
		}
		e.EndLine(p.At)
	}
	ok := e.Err() == nil
	e.ClearErr()
	return ok
}

func (w *influxWrite) startLine(measurement string, p *Point) {
	w.encoder.StartLine(measurement)
	w.encoder.AddTag("machine", p.Machine)
	if p.Model != "" {
		w.encoder.AddTag("model", p.Model)
	}
}

func (w *influxWrite) refuse(point int, signal, reason, detail string) {
	w.refused = append(w.refused, Refusal{Point: point, Signal: signal, Fault: formats.Fault{Reason: reason, Path: signal, Detail: detail}})
}
