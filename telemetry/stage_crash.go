package telemetry

import (
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// Crashes counts the messages that made the program fail since the start. Each is
// a dead letter with the reason formats.Crashed.
func (s *Stage) Crashes() uint64 { return s.crashes.Load() }

func (s *Stage) crashed(r *intakelog.Record, crash *formats.Fault) {
	s.crashes.Add(1)
	s.log.Error("a message made the program fail; it is kept and can be replayed after a fix", "lsn", r.LSN, "topic", r.Topic, "source", r.Source, "error", crash)
}

// contain does a step of record i. Where it panics the record is refused whole,
// and what the step has left is for the caller to undo.
func (d *decoding) contain(i int, step func()) {
	if crash := formats.Contain(step); crash != nil {
		d.parts[i].whole = crash
	}
	if p := &d.parts[i]; p.crashed() {
		d.stage.crashed(&d.records[i], p.whole)
	}
}

// crashed says whether the program has failed over the record.
func (p *decodedRecord) crashed() bool { return p.whole != nil && p.whole.Reason == formats.Crashed }

// locateRecord gives what record i became its machines. One over which that fails
// is a dead letter and nothing else.
func (d *decoding) locateRecord(i int) {
	before := *d.Batch
	crash := formats.Contain(func() { d.locate(i) })
	if crash == nil {
		return
	}
	*d.Batch = before
	d.Batch.Records[i] = RecordParts{}
	p := &d.parts[i]
	d.parts[i] = decodedRecord{decoder: p.decoder, via: p.via, whole: crash}
	d.stage.crashed(&d.records[i], crash)
	d.locate(i)
}
