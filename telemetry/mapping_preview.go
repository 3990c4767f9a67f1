package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/internal/ucum"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/history"
)

// Legend is what a machine sends and what it means: the names with their newest
// values, and the signals and mappings that they can be given.
type Legend struct {
	Machine machines.Machine
	Device  string // an unclaimed name whose messages are looked at, "" = the machine's history
	Signals []machines.Signal
	Names   []RawSignal

	mappings []Mapping
	units    map[string]string // by name, as the sender writes them
}

// RawSignal is a name as it is sent, with its newest values as they came.
type RawSignal struct {
	Raw       string   `json:"raw" doc:"the name as it is sent"`
	Samples   []Sample `json:"samples" doc:"as they came, newest first"`
	Mapping   *Mapping `json:"mapping,omitempty" doc:"what it means now"`
	Known     bool     `json:"known" doc:"the model has a signal of this very name"`
	Suggested string   `json:"suggested,omitempty" doc:"the signal of the model that the name is most like"`
	Unit      string   `json:"unit,omitempty" doc:"in which it is sent, as the sender writes it"`
}

// Sample is a value at an instant.
type Sample struct {
	At    time.Time `json:"at"`
	Value float64   `json:"value"`
}

// MappingPreview shows what a mapping would make of the newest values.
type MappingPreview struct {
	Raw       string          `json:"raw"`
	Signal    string          `json:"signal"`
	Unit      string          `json:"unit" doc:"UCUM, in which it is sent"`
	Canonical string          `json:"canonical" doc:"UCUM, in which it would be stored"`
	Samples   []PreviewSample `json:"samples" doc:"newest first"`
}

// PreviewSample is a value before and after.
type PreviewSample struct {
	At        time.Time `json:"at"`
	Raw       float64   `json:"raw"`
	Converted float64   `json:"converted"`
}

const (
	samplesKept  = 5  // of each name
	messagesSeen = 50 // of an unclaimed device
	rowsSeen     = 10_000
	recently     = 10 * time.Minute
	lately       = 24 * time.Hour // for those who send seldom
)

// ReadLegend reads what is known of a machine's names. With a device it looks at
// the messages of that unclaimed name; without one AddHistory adds the values.
func ReadLegend(ctx context.Context, db postgres.DB, machineID uuid.UUID, device string) (*Legend, error) {
	l := &Legend{Device: device}
	var err error
	if l.Machine, err = machines.Get(ctx, db, machineID); err != nil {
		return nil, err
	}
	if l.Signals, err = signalsOf(ctx, db, &machineID, nil); err != nil {
		return nil, err
	}
	if l.mappings, err = Mappings(ctx, db, &machineID, nil); err != nil {
		return nil, err
	}
	if device == "" {
		return l, nil
	}
	samples, units, err := unclaimedSamples(ctx, db, device)
	if err != nil {
		return nil, err
	}
	l.units = units
	l.explain(samples)
	return l, nil
}

// AddHistory adds the names and values that the machine reported last. It is not
// called within the transaction of ReadLegend: a history has its own.
func (l *Legend) AddHistory(ctx context.Context, store history.Store) error {
	if l.Device != "" {
		return nil
	}
	ref := history.Ref{Key: l.Machine.Key, No: l.Machine.No}
	latest, err := store.Latest(ctx, ref)
	if problem.Of(err) == problem.NotFound {
		l.explain(nil)
		return nil
	} else if err != nil {
		return fmt.Errorf("read what %s said last: %w", ref.Key, err)
	}
	samples := map[string][]Sample{}
	for _, back := range []time.Duration{recently, lately} {
		rows, err := store.Rows(ctx, ref, latest.At.Add(-back), latest.At.Add(time.Microsecond), rowsSeen)
		if err != nil {
			return fmt.Errorf("read what %s said last: %w", ref.Key, err)
		}
		clear(samples)
		for i := range rows {
			for _, v := range rows[i].Values {
				raw, value := l.asSent(v.Signal, v.Value, rows[i].At)
				last := samples[raw] // rows come in the order of time
				samples[raw] = append(last[max(0, len(last)-samplesKept+1):], Sample{At: rows[i].At, Value: value})
			}
		}
		if len(rows) >= samplesKept {
			break
		}
	}
	l.explain(samples)
	return nil
}

// asSent undoes the mapping by which a stored value got its name and unit.
func (l *Legend) asSent(signal string, value float64, at time.Time) (raw string, sent float64) {
	for i := range l.mappings {
		m := &l.mappings[i]
		if m.Ignored || m.Signal != signal || at.Before(m.CreatedAt) {
			continue
		}
		if linear, err := conversion(m.Unit, m.Canonical); err == nil {
			return m.Raw, linear.Back(value)
		}
	}
	return signal, value
}

// explain lists the names with what they mean or are most like; names that are
// mapped and were not heard of are listed too.
func (l *Legend) explain(samples map[string][]Sample) {
	byRaw := map[string]*Mapping{}
	for i := range l.mappings { // the machine's own come first
		if m := &l.mappings[i]; byRaw[m.Raw] == nil {
			byRaw[m.Raw] = m
			samples = withName(samples, m.Raw)
		}
	}
	for _, raw := range sortedKeys(samples) {
		name := RawSignal{Raw: raw, Samples: newest(samples[raw]), Mapping: byRaw[raw], Unit: l.units[raw]}
		name.Known = slices.ContainsFunc(l.Signals, func(s machines.Signal) bool { return s.Name == raw })
		if !name.Known {
			name.Suggested = Nearest(raw, l.Signals)
		}
		l.Names = append(l.Names, name)
		if len(l.Names) == maxMappings {
			return
		}
	}
}

func withName(samples map[string][]Sample, raw string) map[string][]Sample {
	if samples == nil {
		samples = map[string][]Sample{}
	}
	samples[raw] = append(samples[raw], []Sample{}...)
	return samples
}

func newest(samples []Sample) []Sample {
	slices.SortStableFunc(samples, func(a, b Sample) int { return b.At.Compare(a.At) })
	return append([]Sample{}, samples[:min(len(samples), samplesKept)]...)
}

// Signal is a signal of the machine's model, nil where it has none of that name.
func (l *Legend) Signal(name string) *machines.Signal {
	for i := range l.Signals {
		if l.Signals[i].Name == name {
			return &l.Signals[i]
		}
	}
	return nil
}

// UnitFor is the unit that the sender names for a name, in UCUM, where it can become
// that of a signal; else the signal's own.
func (l *Legend) UnitFor(n RawSignal, s *machines.Signal) string {
	if _, unit, err := ucum.ConvertSpoken(n.Unit, s.Unit); err == nil {
		return unit
	}
	return s.Unit
}

// Preview says what the newest values of a name would be as a signal, sent in a
// unit; "" is the unit in which the signal is stored.
func (l *Legend) Preview(raw, signal, unit string) (MappingPreview, error) {
	if s := l.Signal(signal); s != nil {
		unit = cmp.Or(unit, s.Unit)
	}
	m := Mapping{Raw: raw, Signal: signal, Unit: unit}
	linear, err := m.conversion(l.Signals)
	if err != nil {
		return MappingPreview{}, err
	}
	p := MappingPreview{Raw: raw, Signal: signal, Unit: unit, Canonical: m.Canonical, Samples: []PreviewSample{}}
	for i := range l.Names {
		if l.Names[i].Raw != raw {
			continue
		}
		for _, s := range l.Names[i].Samples {
			p.Samples = append(p.Samples, PreviewSample{At: s.At, Raw: s.Value, Converted: linear.Of(s.Value)})
		}
	}
	return p, nil
}

const unclaimedSampleSQL = `SELECT lsn, received_at, device, topic, payload FROM unclaimed_message WHERE key = @key ORDER BY received_at DESC, lsn DESC LIMIT @limit`

const unclaimedNamesSQL = `SELECT unnest(signals) AS name FROM unclaimed WHERE key = @key AND claimed_by IS NULL`

// unclaimedSamples are the values in the messages that are kept of an unclaimed
// name. Of messages that need others to be read, as Sparkplug's need births, only
// the names are known. With them come the units that the messages name.
func unclaimedSamples(ctx context.Context, db postgres.DB, key string) (samples map[string][]Sample, units map[string]string, err error) {
	type named struct {
		Name string `db:"name"`
	}
	names, err := postgres.All[named](ctx, db, unclaimedNamesSQL, pgx.NamedArgs{"key": key})
	if err != nil {
		return nil, nil, fmt.Errorf("read what %s sends: %w", key, err)
	}
	kept, err := postgres.All[keptMessage](ctx, db, unclaimedSampleSQL, pgx.NamedArgs{"key": key, "limit": messagesSeen})
	if err != nil {
		return nil, nil, fmt.Errorf("read messages of %s: %w", key, err)
	}
	samples, units = map[string][]Sample{}, map[string]string{}
	for _, n := range names {
		samples = withName(samples, n.Name)
	}
	var out formats.Decoded
	for i := range kept {
		m := &kept[i]
		out.Reset()
		if _, err := formats.Decode(formats.Message{Topic: m.Topic, Device: m.Device, Received: m.ReceivedAt, Payload: m.Payload}, &out); err != nil {
			continue // it became a dead letter when it came
		}
		for k := range out.Readings {
			if r := &out.Readings[k]; r.Machine == key {
				for i, v := range r.Values {
					samples[v.Signal] = append(samples[v.Signal], Sample{At: r.At, Value: v.Value})
					if i < len(r.Units) && r.Units[i] != "" && units[v.Signal] == "" {
						units[v.Signal] = r.Units[i] // messages come newest first
					}
				}
			}
		}
	}
	return samples, units, nil
}
