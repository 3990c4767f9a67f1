package telemetry

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/sparkplug"
)

// maxListed bounds the signals that are listed for an unclaimed message.
const maxListed = 200

// decoding is one batch while it is made.
type decoding struct {
	*Batch
	stage   *Stage
	records []intakelog.Record
	parts   []decodedRecord
	view    *sparkplugView
	unkept  lsnSet // births and deaths that are not kept
	remap   bool   // the batch holds a note that mappings have changed
}

// decodedRecord is where a record's readings and faults lie in Stage.out.
type decodedRecord struct {
	decoder              string
	also                 string // a longer name of its machine, which counts first
	node                 string // the Sparkplug edge node that sent it, "" for others
	whole                *formats.Fault
	via                  *forwarded      // the edge that sent it; nil = nobody between
	spoke                *sparkplug.Node // the edge node that speaks here; nil = none does
	reading, readingEnd  int
	presence, presentEnd int
	number, numberEnd    int
	trouble, troubleEnd  int
	frame, frameEnd      int
	fault, faultEnd      int
	mismatches           []formats.Fault // values whose units measure something else, at most MaxFaults
	unnamed              int             // more of them
}

func (s *Stage) decode(ctx context.Context, after intakelog.LSN, records []intakelog.Record) (*Batch, error) {
	d := &decoding{
		Batch:   &Batch{From: after, To: records[len(records)-1].LSN, Records: make([]RecordParts, len(records)), Devices: map[string]time.Time{}},
		stage:   s,
		records: records,
		parts:   make([]decodedRecord, len(records)),
		view:    s.view(after),
	}
	s.out.Reset()
	for i := range records {
		d.contain(i, func() { d.parts[i].via = unwrap(&records[i]) })
	}
	if err := s.readySparkplug(ctx, d); err != nil {
		return nil, err
	}
	for i := range records {
		if err := d.decodeRecord(ctx, i); err != nil {
			return nil, err
		}
	}
	s.keepView(d.view, d.To)
	if err := s.knowFleet(ctx, d); err != nil {
		return nil, err
	}
	d.Observations = make([]Located, 0, len(s.out.Readings))
	for i := range records {
		d.locateRecord(i)
	}
	d.Counts.Attributes, d.Counts.TextNumbers, d.Counts.Unread = s.out.Attributes, s.out.TextNumbers, s.out.Unread
	return d.Batch, nil
}

// decodeRecord reads record i; what makes the program fail leaves its fault alone.
func (d *decoding) decodeRecord(ctx context.Context, i int) (err error) {
	out, mark := &d.stage.out, d.stage.out.Mark()
	p := &d.parts[i]
	p.begin(out)
	if p.whole == nil {
		if err := d.stage.readyNode(ctx, d, i); err != nil {
			return err
		}
		d.contain(i, func() { err = d.read(ctx, &d.records[i], p) })
	}
	if p.crashed() {
		out.Rewind(mark)
	}
	p.end(out)
	return err
}

func (d *decoding) read(ctx context.Context, r *intakelog.Record, p *decodedRecord) error {
	switch {
	case p.via != nil && p.via.fault != nil:
		p.whole = p.via.fault
	case r.Kind == intakelog.Session:
		d.view.begin(r.Source, r.LSN)
	case r.Kind == intakelog.Mapping:
		d.remap = true
	case isSparkplug(r):
		return d.stage.readSparkplug(ctx, d, r, p)
	case r.Kind == intakelog.Message, r.Kind == intakelog.Derived:
		m := formats.Message{Source: r.Source, Topic: r.Topic, Device: r.Device, Received: r.Received.Truncate(time.Microsecond), Payload: r.Payload}
		var fault error
		if p.decoder, fault = d.stage.decoders.Message(m, &d.stage.out); fault != nil {
			p.whole = asFault(fault)
		}
	}
	return nil
}

func (p *decodedRecord) begin(out *formats.Decoded) {
	p.reading, p.presence, p.number, p.fault = len(out.Readings), len(out.Presences), len(out.Numbers), len(out.Faults)
	p.trouble, p.frame = len(out.Troubles), len(out.Frames)
}

func (p *decodedRecord) end(out *formats.Decoded) {
	p.readingEnd, p.presentEnd, p.numberEnd, p.faultEnd = len(out.Readings), len(out.Presences), len(out.Numbers), len(out.Faults)
	p.troubleEnd, p.frameEnd = len(out.Troubles), len(out.Frames)
}

// knowFleet makes sure that what is known of the machines is fresh enough for
// the names that have just been decoded.
func (s *Stage) knowFleet(ctx context.Context, d *decoding) error {
	var a asked
	s.names(d, func(name string, replay bool) { s.fleet.ask(&a, name, replay) })
	due := s.fleet.due(time.Now(), a) || a.replay || d.remap
	if !due && len(a.unknown) > 0 {
		err := s.insist(ctx, "unknown names cannot be looked up, trying again", func() (err error) {
			due, err = a.entered(ctx, s.pool)
			return err
		})
		if err != nil {
			return err
		}
	}
	if !due {
		return nil
	}
	return s.insist(ctx, "machines cannot be read, trying again", func() error { return s.fleet.load(ctx, s.pool, s.records.ID()) })
}

// insist does what needs the database until it is done or ctx ends.
func (s *Stage) insist(ctx context.Context, trouble string, do func() error) error {
	for attempt := 0; ; attempt++ {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.log.Warn(trouble, "attempt", attempt, "error", err) //nolint:sloglint // every caller gives a constant
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// names goes through the names of a batch and says of each whether it stands in a
// replayed record.
func (s *Stage) names(d *decoding, each func(name string, replay bool)) {
	for i := range d.parts {
		p, replay := &d.parts[i], d.records[i].Replayed()
		last := ""
		for k := p.reading; k < p.readingEnd; k++ {
			if name := s.out.Readings[k].Machine; name != last || k == p.reading {
				each(name, replay)
				last = name
			}
		}
		for k := p.trouble; k < p.troubleEnd; k++ {
			each(s.out.Troubles[k].Machine, replay)
		}
		if p.frame < p.frameEnd { // all of one machine
			each(s.out.Frames[p.frame].Machine, replay)
		}
	}
}

// locate gives what record i became its machines.
func (d *decoding) locate(i int) {
	r, p, parts := &d.records[i], &d.parts[i], &d.Batch.Records[i]
	parts.LSN = r.LSN
	if r.Kind != intakelog.Message {
		parts.Tick = true
		d.Counts.Ticks++
		switch r.Kind {
		case intakelog.Tick:
			d.tick(r)
		case intakelog.Derived:
			d.derived(r, p, parts)
		case intakelog.Link:
			d.link(r)
		case intakelog.Cohort:
			d.Cohorts = append(d.Cohorts, LocatedCohort{r.LSN, bytes.Clone(r.Payload)})
		case intakelog.Message, intakelog.Relay, intakelog.Session, intakelog.Mapping:
		}
		return
	}
	d.Counts.Messages++
	parts.Replay = r.Replayed()
	if p.via != nil && !parts.Replay && p.via.origin.Edge != "" { // an envelope that cannot be read names no record
		parts.Origin = &p.via.origin
	}
	d.hear(r, p.via)
	if p.whole != nil {
		d.bury(r, p, 0, *p.whole, parts)
		return
	}
	for k, f := range d.stage.out.Faults[p.fault:p.faultEnd] {
		d.bury(r, p, k+1, f, parts)
	}
	unclaimed := d.locateReadings(r, p, parts)
	for _, n := range d.stage.out.Numbers[p.number:p.numberEnd] {
		if m := d.stage.fleet.called("", n.Machine); m != nil && d.maySpeak(r, p, n.Machine, m) {
			d.number(r, m, n.Boot, n.Seq)
		}
	}
	for _, presence := range d.stage.out.Presences[p.presence:p.presentEnd] {
		m := d.stage.fleet.called(presence.Also, presence.Machine)
		if !d.maySpeak(r, p, presence.Machine, m) {
			d.bury(r, p, 3*formats.MaxFaults, beyondScope(p.who(r), presence.Machine), parts)
			continue
		}
		if m != nil {
			d.Presences = append(d.Presences, LocatedPresence{LSN: r.LSN, MachineID: m.ID, Machine: m.Key, Pack: m.Pack, Near: p.near(r, m),
				Online: presence.Online, Leave: leaveOf(r, p.via, &presence), At: presence.At})
			continue
		}
		if !presence.IfKnown {
			unclaimed = d.unclaim(unclaimed, presence.Machine, nil, r, p, parts)
		}
	}
	d.locateTroubles(r, p, parts, unclaimed)
}

func (d *decoding) locateReadings(r *intakelog.Record, p *decodedRecord, parts *RecordParts) (unclaimed map[string]int) {
	scope := 0
	for k := range d.stage.out.Readings[p.reading:p.readingEnd] {
		reading := &d.stage.out.Readings[p.reading+k]
		m := d.stage.fleet.called(p.also, reading.Machine)
		switch allowed := d.maySpeak(r, p, reading.Machine, m); {
		case allowed && m == nil:
			unclaimed = d.unclaim(unclaimed, reading.Machine, reading.Values, r, p, parts)
		case allowed:
			d.observe(r, p, m, reading, parts)
		case scope < formats.MaxFaults:
			scope++
			d.bury(r, p, formats.MaxFaults+scope, beyondScope(p.who(r), reading.Machine), parts)
		}
	}
	d.buryMismatches(r, p, parts)
	return unclaimed
}

func beyondScope(device, machine string) formats.Fault {
	return formats.Fault{Reason: formats.DeviceScope, Detail: "device " + device + " may not speak for machine " + machine}
}

// tick reads a tick record: the time in nanoseconds, then whether it is excused.
func (d *decoding) tick(r *intakelog.Record) {
	if len(r.Payload) != 9 {
		d.stage.log.Error("a tick record makes no sense", "lsn", r.LSN, "bytes", len(r.Payload))
		return
	}
	at := time.Unix(0, int64(binary.BigEndian.Uint64(r.Payload))).UTC() //nolint:gosec // written from an int64
	d.Ticks = append(d.Ticks, Tick{LSN: r.LSN, At: at, Excused: r.Payload[8] == 1})
}

func (d *decoding) observe(r *intakelog.Record, p *decodedRecord, m *knownMachine, reading *formats.Reading, parts *RecordParts) {
	reading.InZone(m.zone, r.Received)
	values, sent := reading.Values, len(reading.Values)
	if m.own != nil || m.models != nil || reading.Units != nil {
		values = d.mean(r, p, m, reading)
	}
	unwanted := len(values) < sent && len(values) == 0
	values = lastOfEach(values)
	for i := range values {
		if _, mapped := m.signals[values[i].Signal]; !mapped && values[i].Quality == observation.Good {
			values[i].Quality = observation.Unmapped
		}
		if r.Retained && reading.Flags&observation.NoTime != 0 { // measured at some time before
			values[i].Quality = observation.Stale
		}
	}
	o := observation.Observation{
		Machine: m.Key, At: reading.At, Received: r.Received.UTC(), Boot: reading.Boot, Seq: reading.Seq,
		Flags: reading.Flags, Values: values,
	}
	if o.Boot != "" {
		d.number(r, m, o.Boot, o.Seq)
	}
	if r.Replayed() { // its number was used up by what was good in it
		o.Boot, o.Seq = "", 0
	}
	if unwanted {
		return // nothing is left to store: counted as a message that holds nothing
	}
	if o.Flags&observation.ClockAhead != 0 {
		d.Counts.Ahead++
	}
	d.Counts.Readings += len(values)
	parts.Observations++
	d.Observations = append(d.Observations, Located{LSN: r.LSN, MachineID: m.ID, MachineNo: m.No, Model: m.Model, Pack: m.Pack, Near: p.near(r, m), Origin: parts.Origin, Observation: o})
}

// number notes that a message has come, whatever became of what it says.
func (d *decoding) number(r *intakelog.Record, m *knownMachine, boot string, seq uint64) {
	d.Numbers = append(d.Numbers, LocatedNumber{LSN: r.LSN, MachineID: m.ID, Boot: storable(boot), Seq: seq, At: r.Received.UTC().Truncate(time.Microsecond)})
}

func (d *decoding) unclaim(at map[string]int, key string, values []observation.Value, r *intakelog.Record, p *decodedRecord, parts *RecordParts) map[string]int {
	if r.Claimed() {
		parts.Known++
		return at
	}
	if at == nil {
		at = map[string]int{}
	}
	k, ok := at[key]
	if !ok {
		k = len(d.Unclaimed)
		at[key] = k
		d.Unclaimed = append(d.Unclaimed, UnclaimedMessage{LSN: r.LSN, Key: key, Received: r.Received.UTC(), Device: p.vouched(r, key), Topic: r.Topic,
			Payload: copied(r.Payload), Cut: len(r.Payload) > maxCopy})
		parts.Unclaimed++
	}
	u := &d.Unclaimed[k]
	for _, v := range values {
		if len(u.Signals) < maxListed {
			u.Signals = append(u.Signals, v.Signal)
		}
	}
	return at
}

// bury adds a dead letter. The payload is copied once, however many parts of it
// are refused.
func (d *decoding) bury(r *intakelog.Record, p *decodedRecord, part int, f formats.Fault, parts *RecordParts) {
	dead := DeadLetter{
		LSN: r.LSN, Part: part, ReceivedAt: r.Received.UTC(), Source: r.Source, Topic: r.Topic, Device: speaker(p.accused(r), r.Topic),
		PayloadBytes: int64(len(r.Payload)), Decoder: p.decoder,
	}.blame(f)
	if last := len(d.Dead) - 1; last >= 0 && d.Dead[last].LSN == r.LSN {
		dead.Payload = d.Dead[last].Payload
	} else {
		dead.Payload = copied(r.Payload)
	}
	if p.via != nil && p.via.size > len(r.Payload) {
		dead.PayloadBytes = int64(p.via.size)
	}
	d.Dead = append(d.Dead, dead)
	parts.Dead++
}

// hear notes when the device that had signed in here was heard last.
func (d *decoding) hear(r *intakelog.Record, via *forwarded) {
	device, at := r.Device, r.Received
	if via != nil {
		device, at = via.gateway, via.arrived
	}
	if device = storable(device); device != "" && !r.Replayed() && at.After(d.Devices[device]) {
		d.Devices[device] = at.UTC()
	}
}

// speaker is who a message came from, as far as that is known: the device that
// signed in, else the machine that the topic names.
func speaker(device, topic string) string {
	if device != "" {
		return device
	}
	machine, _, fleet := formats.FleetTopic(topic)
	if t, ok, fault := sparkplug.ParseTopic(topic); !fleet && ok && fault == nil {
		machine = machineOf(t)
	}
	return strings.ToValidUTF8(machine[:min(len(machine), formats.MaxName)], "")
}

// copied keeps the start of a payload whose buffer is used again.
func copied(payload []byte) []byte {
	return append([]byte{}, payload[:min(len(payload), maxCopy)]...)
}

// lastOfEach drops values whose signal comes again later in the same reading.
func lastOfEach(values []observation.Value) []observation.Value {
	if len(values) > 32 {
		return lastOfMany(values)
	}
	kept := values[:0]
next:
	for i := range values {
		for k := range kept {
			if kept[k].Signal == values[i].Signal {
				kept[k] = values[i]
				continue next
			}
		}
		kept = append(kept, values[i])
	}
	return kept
}

func lastOfMany(values []observation.Value) []observation.Value {
	at := make(map[string]int, len(values))
	kept := values[:0]
	for _, v := range values {
		if k, ok := at[v.Signal]; ok {
			kept[k] = v
			continue
		}
		at[v.Signal] = len(kept)
		kept = append(kept, v)
	}
	return kept
}

func asFault(err error) *formats.Fault {
	if f, ok := errors.AsType[*formats.Fault](err); ok {
		return f
	}
	return &formats.Fault{Reason: formats.FormatUnknown, Detail: err.Error()}
}
