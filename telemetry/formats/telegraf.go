package formats

import (
	"bytes"
	"strings"
)

// telegrafJSON is Telegraf's JSON output, a metric or a batch of them:
// {"name":"modbus","tags":{"machine":"PM62-5"},"fields":{"oil_temp":62.5},"timestamp":1700000000}.
// The machine is the topic's on fleet/…, else the tag machine, device or host,
// else the host of telegraf/{host}/…, else the device that signed in.
type telegrafJSON struct{}

func (telegrafJSON) Name() string { return "telegraf-json" }

func (telegrafJSON) Match(topic string, payload []byte) bool {
	if _, rest, ok := FleetTopic(topic); ok && rest == "telemetry" {
		return false
	}
	payload = bytes.TrimLeft(bytes.TrimPrefix(payload, []byte(byteOrderMark)), " \t\r\n")
	if len(payload) == 0 || payload[0] != '{' && payload[0] != '[' {
		return false
	}
	return strings.HasPrefix(topic, "telegraf/") ||
		bytes.Contains(payload, []byte(`"fields"`)) && (bytes.Contains(payload, []byte(`"name"`)) || bytes.Contains(payload, []byte(`"metrics"`)))
}

func (telegrafJSON) Decode(m Message, out *Decoded) error {
	s := out.scanner.open(m)
	first := len(out.Faults)
	if s.peek() == '[' {
		for a := s.array(); a.next(); {
			out.readMetric(s, m, first)
		}
		return s.end()
	}
	out.readMetric(s, m, first)
	return s.end()
}

// metric is one Telegraf metric; its tags may come after its fields.
type metric struct {
	item
	tagged taggedMachine
	fields bool
	batch  bool
}

// readMetric reads a metric, or the batch that holds them.
func (d *Decoded) readMetric(s *jsonScanner, m Message, first int) {
	mark, path, start := len(d.values), s.path(), s.pos
	x := metric{item: m.item(d, "")}
	x.first = first
	for o := s.object(); o.next(); {
		d.readMetricMember(s, m, &x, o.key)
	}
	if s.fault != nil || x.batch {
		return
	}
	fault := Fault{Path: path, Offset: start}
	x.machine = x.tagged.name(m)
	switch {
	case !x.fields:
		fault.Reason, fault.Detail = JSONType, "expected fields or metrics"
	case x.machine == "":
		fault.Reason, fault.Detail = MachineUnknown, "neither the topic nor a tag machine, device or host names the machine"
	case x.late != nil:
		fault = *x.late
	case len(d.values) == mark:
		return
	default:
		d.place(&x.item, d.take(mark), fault)
		return
	}
	d.values = d.values[:mark]
	d.refuse(first, fault)
}

func (d *Decoded) readMetricMember(s *jsonScanner, m Message, x *metric, key []byte) {
	switch string(key) {
	case "metrics":
		x.batch = true
		for a := s.array(); a.next(); {
			d.readMetric(s, m, x.first)
		}
	case "tags":
		for o := s.object(); o.next(); {
			if s.peek() != '"' {
				s.skip()
			} else if text, ok := s.text(); ok && s.count() {
				x.tagged.note(d, o.key, text)
			}
		}
	case "fields":
		x.fields = true
		for o := s.object(); o.next(); {
			d.signal = append(d.signal[:0], o.key...)
			d.readValue(s, x.first)
		}
	case "timestamp":
		x.readTime(s)
	default: // name and what a template adds
		s.skip()
	}
}

// taggedMachine remembers the best tag that names the machine.
type taggedMachine struct {
	tag  string
	rank int // 3 machine, 2 device, 1 host
}

func (t *taggedMachine) note(d *Decoded, key, value []byte) {
	rank := 0
	switch string(key) {
	case "machine":
		rank = 3
	case "device":
		rank = 2
	case "host":
		rank = 1
	}
	if rank > t.rank && len(value) > 0 {
		t.tag, t.rank = d.name(value), rank
	}
}

// name decides which machine a metric is about.
func (t *taggedMachine) name(m Message) string {
	if machine, _, ok := FleetTopic(m.Topic); ok {
		return machine
	}
	if t.tag != "" {
		return t.tag
	}
	if m.envelope != nil {
		return m.machine()
	}
	if after, ok := strings.CutPrefix(m.Topic, "telegraf/"); ok {
		if host, _, _ := strings.Cut(after, "/"); host != "" {
			return host
		}
	}
	return m.Device
}

// timeOf reads a time in text by its size; ok is false where there is none.
func timeOf(text []byte) (t moment, ok bool, fault *Fault) {
	if len(text) == 0 {
		return t, false, nil
	}
	n := scanNumeral(text)
	if n.size != len(text) {
		return t, false, &Fault{Reason: TimeFormat, Detail: "expected the time as a number"}
	}
	t.Time, fault = numberTime(n, text)
	return t, fault == nil, fault
}
