package formats

import (
	"bytes"
	"strings"
)

// anyObject is a JSON object, or an array of them, that nobody has agreed upon:
// {"machine":"PM62-5","ts":1767225600000,"oil_temp":62.5}. The machine is named by
// a member, else by the topic, else it is the device that signed in. An object
// that names its one value, as {"assetId":"A1000","dataItemId":"oil_temp",
// "value":62.5}, is that signal.
type anyObject struct{}

func (anyObject) Name() string { return "json-object" }

func (anyObject) Match(topic string, payload []byte) bool {
	return !ourTopic(topic) && startsJSON(payload)
}

func (anyObject) Decode(m Message, out *Decoded) error {
	s := out.scanner.open(m)
	if s.peek() != '[' {
		out.readObject(s, m)
		return s.end()
	}
	for a := s.array(); a.next(); {
		out.readObject(s, m)
	}
	return s.end()
}

// object is one of them while it is read.
type object struct {
	item
	timeRank  int
	name      string
	nameRank  int
	label     string // what the one value is called
	labelRank int
	value     int // index of that value, -1 without one
}

// The members that are no signals, the best first.
//
//nolint:gochecknoglobals // lists, never written
var (
	timeMembers    = []string{"ts", "timestamp", "time", "Time", "datetime", "dateTime", "t", "_ts", "date"}
	machineMembers = []string{"machine", "machineId", "machine_id", "device", "deviceId", "device_id", "deviceName", "device_name",
		"assetId", "asset_id", "asset", "thing", "thingId", "serial", "serialNumber", "serial_number", "vin", "imei"}
	labelMembers = []string{"signal", "dataItemId", "tag", "metric", "measurement", "parameter", "variable", "sensor", "name"}
)

// rankOf is how good a member is among some; 0 when it is none of them.
func rankOf(key []byte, among []string) int {
	for i, name := range among {
		if string(key) == name {
			return len(among) - i
		}
	}
	return 0
}

func (d *Decoded) readObject(s *jsonScanner, m Message) {
	mark, path, start := len(d.values), s.path(), s.pos
	x := object{item: m.item(d, ""), value: -1}
	x.local = true
	for o := s.object(); o.next(); {
		if !d.readObjectMember(s, &x, o.key) {
			d.signal = append(d.signal[:0], o.key...)
			before := len(d.values)
			d.readValue(s, x.first)
			if string(o.key) == "value" && len(d.values) == before+1 {
				x.value = before
			}
		}
	}
	if s.fault != nil {
		return
	}
	if x.label != "" && x.value >= 0 {
		d.values[mark] = d.values[x.value]
		d.values[mark].Signal = x.label
		d.values = d.values[:mark+1]
	}
	d.settle(m, x.item, x.name, mark, Fault{Path: path, Offset: start})
}

// settle places what was read since mark, if the machine and the time are known.
func (d *Decoded) settle(m Message, it item, name string, mark int, where Fault) {
	if it.late != nil {
		d.values = d.values[:mark]
		d.refuse(it.first, *it.late)
		return
	}
	if len(d.values) == mark {
		return
	}
	if it.machine = name; name == "" {
		it.machine = m.machine()
	}
	if it.machine == "" {
		d.values = d.values[:mark]
		d.refuse(it.first, Fault{Reason: MachineUnknown, Detail: "neither the message nor its topic names the machine", Path: where.Path, Offset: where.Offset})
		return
	}
	d.place(&it, d.take(mark), where)
}

// readObjectMember reads the members that are no signals; false where the key is
// none of them.
func (d *Decoded) readObjectMember(s *jsonScanner, x *object, key []byte) bool {
	if rank := rankOf(key, timeMembers); rank > 0 && s.looksLikeTime(rank <= 3) {
		d.readObjectTime(s, x, rank)
		return true
	}
	if rank := rankOf(key, machineMembers); rank > 0 {
		if name, ok := d.readName(s); ok {
			if rank > x.nameRank {
				x.name, x.nameRank = name, rank
			}
			return true
		}
		return false
	}
	if rank := rankOf(key, labelMembers); rank > 0 && s.peek() == '"' {
		start := s.pos
		text, ok := s.text()
		if ok && s.count() && len(text) > 0 && rank > x.labelRank {
			if why := badSignal(text); why != "" {
				d.refuse(x.first, s.at(start, SignalName, why))
				return true
			}
			x.label, x.labelRank = d.name(text), rank
		}
		return true
	}
	if string(key) == "values" && s.peek() == '{' {
		for o := s.object(); o.next(); {
			d.signal = append(d.signal[:0], o.key...)
			d.readValue(s, x.first)
		}
		return true
	}
	return false
}

func (d *Decoded) readObjectTime(s *jsonScanner, x *object, rank int) {
	t, ok, fault := s.timeValue(true)
	if rank <= x.timeRank {
		return // a better member has said it already
	}
	switch {
	case fault != nil:
		x.late, x.timeRank = fault, rank
	case ok:
		x.at, x.timed, x.late, x.timeRank = t, true, nil, rank
	}
}

// looksLikeTime says whether a time may stand here. A short name such as t may
// as well be a temperature: weak asks for a number of this century or a date.
func (s *jsonScanner) looksLikeTime(weak bool) bool {
	c := s.peek()
	if !weak {
		return true
	}
	rest := s.b[s.pos:]
	if c == '"' {
		text, _, _ := bytes.Cut(rest[1:], []byte{'"'})
		_, ok := textTime(text, true)
		return ok
	}
	n := scanNumeral(rest)
	return n.integer && n.digits >= oldestSecond
}

// readName reads a name that may be written as a text or as an integer; false,
// with nothing read, where something else stands.
func (d *Decoded) readName(s *jsonScanner) (string, bool) {
	if s.peek() == '"' {
		text, ok := s.text()
		if !ok || !s.count() {
			return "", true
		}
		return d.name(text), true
	}
	n := scanNumeral(s.b[s.pos:])
	if n.size == 0 || !n.integer || !s.ends(s.pos+n.size) {
		return "", false
	}
	name := d.name(s.b[s.pos : s.pos+n.size])
	s.pos += n.size
	s.count()
	return name, true
}

// startsJSON says whether an object or an array may follow.
func startsJSON(payload []byte) bool {
	c := firstByte(payload)
	return c == '{' || c == '['
}

// firstByte is the first one that is neither white space nor a byte order mark, 0
// when there is none.
func firstByte(b []byte) byte {
	if len(b) >= len(byteOrderMark) && string(b[:len(byteOrderMark)]) == byteOrderMark {
		b = b[len(byteOrderMark):]
	}
	for _, c := range b {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c
		}
	}
	return 0
}

// ourTopic says whether a topic is in the namespace of the product itself, where
// only what it defines is read.
func ourTopic(topic string) bool { return strings.HasPrefix(topic, "fleet/") }

// machine is what the envelope or the topic says which machine a message is
// about, else the device that signed in.
func (m Message) machine() string {
	if m.envelope != nil && m.envelope.machine != "" {
		return m.envelope.machine
	}
	if machine, _, ok := FleetTopic(m.Topic); ok {
		return machine
	}
	if machine := lastName(m.Topic, m.Device); machine != "" {
		return machine
	}
	return m.Device
}

// lastName is the last level of a topic that can be a machine's name, or the
// device itself where it is one of the levels.
func lastName(topic, device string) (name string) {
	for level := range strings.SplitSeq(topic, "/") {
		if level == device && device != "" {
			return device
		}
		if level != "" && !saysNothing(level) {
			name = level
		}
	}
	return name
}

// saysNothing is true of the words that topics end with and that name no machine.
func saysNothing(level string) bool {
	switch strings.ToLower(level) {
	case "data", "telemetry", "state", "status", "event", "events", "message", "messages", "measurement", "measurements", "value", "values",
		"sensor", "sensors", "json", "csv", "senml", "up", "upload", "uplink", "out", "pub", "publish", "report", "metrics", "attributes":
		return true
	}
	return false
}
