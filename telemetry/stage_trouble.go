package telemetry

import (
	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// derived locates observations that the program wrote itself, of machines by key.
func (d *decoding) derived(r *intakelog.Record, p *decodedRecord, parts *RecordParts) {
	if p.whole != nil {
		d.stage.log.Error("a derived record makes no sense", "lsn", r.LSN, "error", p.whole)
		return
	}
	for k := range d.stage.out.Readings[p.reading:p.readingEnd] {
		reading := &d.stage.out.Readings[p.reading+k]
		if m := d.stage.fleet.called("", reading.Machine); m != nil {
			d.observe(r, p, m, reading, parts)
		}
	}
}

// locateTroubles gives trouble codes and parts of bus messages their machines.
func (d *decoding) locateTroubles(r *intakelog.Record, p *decodedRecord, parts *RecordParts, unclaimed map[string]int) {
	beyond := 0
	find := func(name string) (id uuid.UUID, key string, ok bool) {
		m := d.stage.fleet.called("", name)
		switch allowed := d.maySpeak(r, p, name, m); {
		case allowed && m == nil:
			unclaimed = d.unclaim(unclaimed, name, nil, r, p, parts)
		case allowed:
			return m.ID, m.Key, true
		case beyond < formats.MaxFaults:
			beyond++
			d.bury(r, p, 5*formats.MaxFaults+beyond, beyondScope(p.who(r), name), parts)
		}
		return id, "", false
	}
	for _, t := range d.stage.out.Troubles[p.trouble:p.troubleEnd] {
		if id, key, ok := find(t.Machine); ok {
			d.Troubles = append(d.Troubles, LocatedTrouble{LSN: r.LSN, MachineID: id, Key: key, Trouble: t})
		}
	}
	for _, f := range d.stage.out.Frames[p.frame:p.frameEnd] {
		if id, key, ok := find(f.Machine); ok {
			d.Frames = append(d.Frames, LocatedFrame{LSN: r.LSN, MachineID: id, Key: key, Frame: f})
		}
	}
}
