package formats

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// cloudEvent is a CloudEvents 1.0 event in structured JSON, or a batch of them.
// The subject, else the last level of the source, is the machine and time the
// time, unless the data says otherwise; what the data means its shape decides.
type cloudEvent struct{}

func (cloudEvent) Name() string { return "cloudevents" }

func (cloudEvent) Match(topic string, payload []byte) bool {
	return !ourTopic(topic) && startsJSON(payload) && bytes.Contains(payload, []byte(`"specversion"`))
}

// event is what an event says before its data is read.
type event struct {
	version, subject, source string
	at                       moment
	timed                    bool
	path                     string
	data, end                int    // of the data in the payload
	text                     []byte // data that was written as a text, unescaped
	base64                   bool
	some                     bool
}

func (cloudEvent) Decode(m Message, out *Decoded) error {
	if m.envelope != nil && strings.HasSuffix(m.envelope.path, "data") {
		return &Fault{Reason: FormatUnknown, Path: m.envelope.path, Detail: "an event inside an event"}
	}
	s := out.scanner.open(m)
	var events []event
	if s.peek() == '[' {
		for a := s.array(); a.next(); {
			events = append(events, out.readEvent(s))
		}
	} else {
		events = append(events, out.readEvent(s))
	}
	if err := s.end(); err != nil {
		return err
	}
	for i := range events {
		if err := out.readEventData(m, &events[i]); err != nil {
			return err
		}
	}
	return nil
}

func (d *Decoded) readEvent(s *jsonScanner) (e event) {
	s.peek()
	start := s.pos
	for o := s.object(); o.next(); {
		switch string(o.key) {
		case "specversion":
			e.version = d.entryName(s)
		case "subject":
			e.subject = d.entryName(s)
		case "source":
			e.source = d.entryName(s)
		case "time":
			t, ok, fault := s.timeValue(false)
			if fault != nil {
				s.fail(fault.Reason, fault.Detail)
			}
			e.at, e.timed = t, ok
		case "data", "data_base64":
			e.base64 = len(o.key) > len("data")
			e.readExtent(s)
		default:
			s.skip()
		}
	}
	if s.fault == nil && !strings.HasPrefix(e.version, "1.") {
		s.pos = start
		s.fail(FormatUnknown, "expected an event of specversion 1.0")
	}
	return e
}

// readExtent notes where the data stands; a text is kept unescaped.
func (e *event) readExtent(s *jsonScanner) {
	c := s.peek()
	e.path, e.data = s.path(), s.pos
	if c == '"' {
		text, ok := s.text()
		e.text, e.some = bytes.Clone(text), ok && s.count()
	} else {
		s.skip()
		e.some = c != 'n'
	}
	e.end = s.pos
}

// readEventData decodes the data as if it had come alone.
func (d *Decoded) readEventData(m Message, e *event) error {
	if !e.some {
		d.Attributes++
		return nil
	}
	inner := envelope{path: e.path, machine: e.machine(), at: e.at, timed: e.timed, start: e.data}
	m.Topic, m.envelope = "", &inner
	if e.text == nil {
		m.Payload = m.Payload[:e.end]
		_, err := decode(m, d)
		return err
	}
	m.Payload, inner.start = e.text, 0
	if e.base64 {
		raw, err := base64.StdEncoding.AppendDecode(nil, e.text)
		if err != nil {
			return &Fault{Reason: JSONType, Path: e.path, Detail: "expected base64", Offset: e.data}
		}
		m.Payload = raw
	}
	_, err := decode(m, d)
	if f := asFault(err); f != nil { // its place is that of the text as it was before it was escaped
		return &Fault{Reason: f.Reason, Path: f.Path, Detail: f.Detail + " of the text in data", Offset: e.data}
	}
	return nil
}

func (e *event) machine() string {
	if e.subject != "" {
		return e.subject
	}
	return lastName(e.source, "")
}
