package formats

import (
	"fmt"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/j1939"
)

// troubleCodes is the product's own profile on fleet/{machine}/dtc: one code
// {"spn":110,"fmi":0,"oc":3,"sourceAddress":0,"active":true}, an array of them, or
// all that is active at one control unit:
// {"ts":…,"sourceAddress":0,"periodSeconds":1,"lamps":{…},"codes":[…]}.
type troubleCodes struct{}

func (troubleCodes) Name() string { return "dtc-json" }

func (troubleCodes) Match(topic string, _ []byte) bool {
	_, rest, ok := FleetTopic(topic)
	return ok && rest == "dtc"
}

func (troubleCodes) Decode(m Message, out *Decoded) error {
	machine, _, _ := FleetTopic(m.Topic)
	s := out.scanner.reset(m.Payload)
	d := dtcReader{s: s, out: out, machine: machine, received: m.Received, first: len(out.Faults), troubles: len(out.Troubles)}
	if badName(machine) {
		return &Fault{Reason: MachineUnknown, Detail: "the topic's machine is longer than 200 bytes or has control characters"}
	}
	if s.peek() == '[' {
		for a := s.array(); a.next(); {
			d.item()
		}
	} else {
		d.item()
	}
	if err := s.end(); err != nil {
		return err
	}
	if len(out.Troubles) == d.troubles && len(out.Faults) == d.first {
		return &Fault{Reason: NothingToUse, Detail: "no trouble code and no list of them"}
	}
	return nil
}

type dtcReader struct {
	s               *jsonScanner
	out             *Decoded
	machine         string
	received        time.Time
	first, troubles int
	codes           int
}

// dtcItem is one object of the message: a code, or a unit with its codes. A unit's
// time, address and lamps hold for its codes too.
type dtcItem struct {
	at, since    time.Time
	timed        bool
	protocol     string
	code         string
	spn, fmi     int
	count        int
	source       int
	active       bool
	whole        bool
	previous     bool
	period       float64
	lamps        j1939.Lamps
	severity     string
	text, textZH string
	list         bool
	codes        []TroubleCode
	fault        *Fault
	start        int
}

func (d *dtcReader) item() {
	it := dtcItem{spn: -1, fmi: -1, count: -1, source: -1, active: true, whole: true, start: d.s.pos}
	path := d.s.path()
	for o := d.s.object(); o.next(); {
		d.member(&it, string(o.key))
	}
	if d.s.fault != nil {
		return
	}
	t := Trouble{Machine: d.machine, At: d.received.UTC(), Protocol: ProtocolJ1939, Source: it.source, Previous: it.previous,
		Period: time.Duration(it.period * float64(time.Second))}
	if it.fault == nil && it.timed {
		t.At, _, it.fault = placeTime(it.at, d.received)
	}
	if it.fault == nil && !it.list {
		it.codes, it.fault = d.single(&it)
	}
	if it.fault != nil {
		it.fault.Path, it.fault.Offset = cmpPath(it.fault.Path, path), it.start
		d.out.refuse(d.first, *it.fault)
		return
	}
	t.Whole, t.Codes = it.list && it.whole && !it.previous, it.codes
	if it.protocol == ProtocolMaker || len(t.Codes) > 0 && t.Codes[0].SPN < 0 {
		t.Protocol = ProtocolMaker
	}
	if it.list {
		it.dress(t.Codes)
	}
	d.out.Troubles = append(d.out.Troubles, t)
}

func cmpPath(own, outer string) string {
	if own != "" {
		return own
	}
	return outer
}

// dress gives the codes of a list the lamps of their unit.
func (it *dtcItem) dress(codes []TroubleCode) {
	for i := range codes {
		c := &codes[i]
		c.Active = c.Active && !it.previous
		if it.lamps == (j1939.Lamps{}) || c.Lamps != (TroubleLamps{}) {
			continue
		}
		c.Lamps = lit(it.lamps)
		if c.FMI >= 0 {
			c.Severity = string(j1939.SeverityOf(uint8(c.FMI), it.lamps)) //nolint:gosec // below 32
		}
	}
}

func lit(l j1939.Lamps) TroubleLamps {
	return TroubleLamps{MIL: l.MIL.Lit(), RedStop: l.RedStop.Lit(), AmberWarning: l.AmberWarning.Lit(), Protect: l.Protect.Lit()}
}

func (d *dtcReader) single(it *dtcItem) ([]TroubleCode, *Fault) {
	if d.codes++; d.codes > maxCodes {
		return nil, &Fault{Reason: TooManyValues, Detail: fmt.Sprintf("more than %d trouble codes", maxCodes)}
	}
	var c TroubleCode
	switch {
	case it.protocol == ProtocolMaker || it.spn < 0 && it.code != "":
		if it.code == "" {
			return nil, &Fault{Reason: BadCode, Detail: "a maker's code has no code"}
		}
		c = TroubleCode{Code: it.code, SPN: -1, FMI: -1, Count: it.count, Severity: makerSeverity(it.severity)}
	case it.spn < 0 || it.fmi < 0:
		return nil, &Fault{Reason: BadCode, Detail: "expected spn and fmi, or the maker's code"}
	case it.spn == 0 && it.fmi == 0:
		return nil, nil // "no fault", as DM1 says it
	default:
		c = standardCode(uint32(it.spn), uint8(it.fmi), it.count, it.lamps) //nolint:gosec // in range
	}
	c.Active, c.Lamps, c.Since = it.active, lit(it.lamps), it.since
	if it.text != "" {
		c.Text, c.TextZH = it.text, it.text
	}
	if it.textZH != "" {
		c.TextZH = it.textZH
	}
	return []TroubleCode{c}, nil
}

func (d *dtcReader) member(it *dtcItem, key string) {
	s := d.s
	switch key {
	case "ts", "at", "time", "timestamp", "lastSeenAt":
		it.at, it.timed = d.time(it, it.at, it.timed)
	case "firstSeenAt":
		it.since, _ = d.time(it, it.since, false)
	case "protocol":
		it.protocol = strings.ToLower(d.word(it, 20))
		if it.protocol != "" && it.protocol != ProtocolJ1939 && it.protocol != ProtocolMaker {
			it.blame(s, "protocol", "expected j1939 or oem")
		}
	case "code":
		it.code = d.word(it, 100)
	case "severity":
		it.severity = d.word(it, 40)
	case "description":
		it.text = d.word(it, 400)
	case "descriptionZh":
		it.textZH = d.word(it, 400)
	case "spn":
		it.spn = d.whole(it, 1<<19-1)
	case "fmi":
		it.fmi = d.whole(it, 31)
	case "oc", "occurrenceCount":
		it.count = d.whole(it, 1<<30)
	case "sourceAddress", "sa":
		it.source = d.whole(it, 255)
	case "periodSeconds":
		it.period = float64(d.whole(it, 86_400))
	case "active":
		it.active = d.flag()
	case "complete":
		it.whole = d.flag()
	case "previous":
		it.previous = d.flag()
	case "lamps":
		d.lamps(it)
	case "codes":
		d.list(it)
	default:
		s.skip()
	}
}

func (it *dtcItem) blame(s *jsonScanner, name, detail string) {
	if it.fault == nil {
		f := s.at(s.pos, BadCode, detail)
		f.Path = cmpPath(s.path(), name)
		it.fault = &f
	}
}

func (d *dtcReader) list(it *dtcItem) {
	it.list, it.codes = true, []TroubleCode{}
	for a := d.s.array(); a.next(); {
		inner := dtcItem{spn: -1, fmi: -1, count: -1, active: true, lamps: it.lamps}
		for o := d.s.object(); o.next(); {
			if string(o.key) == "codes" {
				d.s.fail(BadCode, "a code holds no codes")
				return
			}
			d.member(&inner, string(o.key))
		}
		if d.s.fault != nil {
			return
		}
		codes, fault := d.single(&inner)
		if inner.fault != nil {
			fault = inner.fault
		}
		if fault != nil {
			fault.Path = cmpPath(fault.Path, d.s.path())
			d.out.refuse(d.first, *fault)
			it.whole = false // what was left out must not seem cleared
			continue
		}
		it.codes = append(it.codes, codes...)
	}
}

// lamps reads {"mil":false,"redStop":true,…}; 0 to 3 as on the wire will do too.
func (d *dtcReader) lamps(it *dtcItem) {
	for o := d.s.object(); o.next(); {
		var lamp *j1939.Lamp
		switch string(o.key) {
		case "mil":
			lamp = &it.lamps.MIL
		case "redStop":
			lamp = &it.lamps.RedStop
		case "amberWarning":
			lamp = &it.lamps.AmberWarning
		case "protect":
			lamp = &it.lamps.Protect
		default:
			d.s.skip()
			continue
		}
		if c := d.s.peek(); c >= '0' && c <= '9' {
			*lamp = j1939.Lamp(max(d.whole(it, 3), 0)) //nolint:gosec // 0 to 3
		} else if d.flag() {
			*lamp = j1939.On
		}
	}
}

func (d *dtcReader) time(it *dtcItem, was time.Time, timed bool) (time.Time, bool) {
	t, ok, fault := d.s.timeValue(false)
	if fault != nil && it.fault == nil {
		it.fault = fault
	}
	if !ok {
		return was, timed
	}
	return t.Time, true
}

// flag reads true or false; null is false.
func (d *dtcReader) flag() bool {
	c := d.s.peek()
	if c != 't' && c != 'f' && c != 'n' {
		d.s.fail(JSONType, "expected true or false")
		return false
	}
	word, ok := d.s.literal()
	return ok && word == 't'
}

// whole reads an integer from 0 to limit; null is -1, none.
func (d *dtcReader) whole(it *dtcItem, limit int) int {
	c := d.s.peek()
	if c == 'n' {
		d.s.literal()
		return -1
	}
	switch {
	case c == 0:
		d.s.fail(JSONSyntax, "the document ends early")
		return -1
	case c != '-' && (c < '0' || c > '9'):
		d.s.fail(JSONType, "expected a number")
		return -1
	}
	v, fault := d.s.number()
	if fault != nil {
		if it.fault == nil {
			it.fault = fault
		}
		return -1
	}
	if v < 0 || v > float64(limit) || v != float64(int(v)) {
		it.blame(d.s, "", fmt.Sprintf("expected an integer from 0 to %d", limit))
		return -1
	}
	return int(v)
}

// word reads a short text without control characters; null is none.
func (d *dtcReader) word(it *dtcItem, limit int) string {
	if d.s.peek() == 'n' {
		d.s.literal()
		return ""
	}
	text, ok := d.s.text()
	if !ok || !d.s.count() {
		return ""
	}
	word := strings.TrimSpace(string(text))
	if len(word) > limit || strings.ContainsFunc(word, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		it.blame(d.s, "", fmt.Sprintf("expected a text of at most %d bytes without control characters", limit))
		return ""
	}
	return word
}
