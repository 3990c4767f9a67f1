// Package telemetry is the way from the intake log to what is known of a machine:
// it has what devices sent decoded, removes duplicates, keeps what cannot be read
// with the reason, and stores the rest in a history. It knows machines by key and
// number only. How messages come in, and findings, cases and people, are not its
// business.
package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/sparkplug"
)

const (
	batchRecords = 4_096   // a batch ends at the latest at a multiple of this; InfluxDB takes lines by the thousand at half the cost
	batchBytes   = 4 << 20 // payload bytes after which a batch ends
	keptBatches  = 8       // decoded batches kept for the readers behind
)

// Records is the intake log as the stage reads it. Read waits until there is a
// record after the given one and returns at most limit of them, in order. Bounds
// are the oldest and the newest record that is there.
type Records interface {
	ID() uuid.UUID
	Bounds() (first, last intakelog.LSN)
	Read(ctx context.Context, after intakelog.LSN, limit int, buf []intakelog.Record) ([]intakelog.Record, error)
}

// Stage turns records of the intake log into batches of observations, once for
// all of its readers: the history and the rules each keep their own place.
// Safe for concurrent use.
type Stage struct {
	records Records
	pool    *postgres.Pool
	log     *slog.Logger
	fleet   fleet
	buffers sync.Pool
	crashes atomic.Uint64

	decoders Decoders

	mu   sync.Mutex // guards what follows
	out  formats.Decoded
	kept []*Batch // newest last

	units conversions

	views      []*sparkplugView // used last stands last
	eventsCame int              // births and deaths, since old ones were forgotten

	births birthLimits
}

// Decoders read what stands in records. What they make panic is a dead letter.
type Decoders struct {
	Message   func(m formats.Message, out *formats.Decoded) (decoder string, err error)
	Sparkplug func(payload []byte) (*sparkplug.Payload, *sparkplug.Fault)
}

// OwnDecoders are those of the program.
func OwnDecoders() Decoders { return Decoders{Message: formats.Decode, Sparkplug: sparkplug.Decode} }

// NewStage returns a stage over a log; machines are looked up in the database.
func NewStage(records Records, pool *postgres.Pool, log *slog.Logger) *Stage {
	return NewStageOf(records, pool, log, OwnDecoders())
}

// NewStageOf returns a stage that reads by decoders of the caller's.
func NewStageOf(records Records, pool *postgres.Pool, log *slog.Logger, decoders Decoders) *Stage {
	return &Stage{records: records, pool: pool, log: log, decoders: decoders, units: conversions{}, births: ownBirthLimits()}
}

// MachinesChanged says that machines, aliases or devices were added or changed:
// the next batch is decoded with what holds then.
func (s *Stage) MachinesChanged() { s.fleet.changed() }

// Next returns the batch after a record; it waits until there is one or ctx
// ends. It does not give up while the database is away.
func (s *Stage) Next(ctx context.Context, after intakelog.LSN) (*Batch, error) {
	if b := s.recall(after); b != nil {
		return b, nil
	}
	buf, _ := s.buffers.Get().(*[]intakelog.Record)
	if buf == nil {
		buf = new([]intakelog.Record)
	}
	defer s.buffers.Put(buf)
	limit := batchRecords - int(uint64(after)%batchRecords) //nolint:gosec // below 4,097
	records, err := s.records.Read(ctx, after, limit, (*buf)[:0])
	if err != nil {
		return nil, fmt.Errorf("read the intake log after %d: %w", after, err)
	}
	*buf = records
	if len(records) == 0 {
		return nil, fmt.Errorf("read the intake log after %d: %w", after, context.Cause(ctx))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.find(after); b != nil {
		return b, nil
	}
	b, err := s.decode(ctx, after, cut(records))
	if err != nil {
		return nil, err
	}
	if len(s.kept) == keptBatches {
		s.kept = append(s.kept[:0], s.kept[1:]...)
	}
	s.kept = append(s.kept, b)
	return b, nil
}

func (s *Stage) recall(after intakelog.LSN) *Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(after)
}

func (s *Stage) find(after intakelog.LSN) *Batch {
	for i := len(s.kept) - 1; i >= 0; i-- {
		if s.kept[i].From == after {
			return s.kept[i]
		}
	}
	return nil
}

// cut bounds the payload bytes of a batch.
func cut(records []intakelog.Record) []intakelog.Record {
	size := 0
	for i := range records {
		if size += len(records[i].Payload); size > batchBytes && i > 0 {
			return records[:i]
		}
	}
	return records
}
