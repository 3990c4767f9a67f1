package formats

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/j1939"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// canFrames are raw J1939 frames on fleet/{machine}/can: one
// {"ts":…,"id":"18FECA00","data":"04FF6E000003FFFF"}, an array of them,
// {"ts":…,"conversion":1,"frames":[…]}, or the lines of candump -L. Values are kept
// once a second and signal.
type canFrames struct{}

func (canFrames) Name() string { return "can-j1939" }

func (canFrames) Match(topic string, _ []byte) bool {
	_, rest, ok := FleetTopic(topic)
	return ok && rest == "can"
}

const maxFrames = 10_000 // of one message

func (canFrames) Decode(m Message, out *Decoded) error {
	machine, _, _ := FleetTopic(m.Topic)
	if badName(machine) {
		return &Fault{Reason: MachineUnknown, Detail: "the topic's machine is longer than 200 bytes or has control characters"}
	}
	c := canReader{out: out, machine: machine, received: m.Received, first: len(out.Faults), mark: len(out.values)}
	text := bytes.TrimSpace(m.Payload)
	if len(text) > 0 && text[0] == '(' {
		c.lines(text)
	} else if err := c.json(m.Payload); err != nil {
		return err
	}
	c.flush()
	if c.frames == 0 && len(out.Faults) == c.first {
		return &Fault{Reason: NothingToUse, Detail: "no CAN frame"}
	}
	return nil
}

type canReader struct {
	out        *Decoded
	s          *jsonScanner
	machine    string
	received   time.Time
	first      int
	frames     int
	conversion j1939.Conversion
	second     time.Time // of the values that wait
	mark       int
}

type canItem struct {
	at    time.Time
	timed bool
	id    uint64
	hasID bool
	data  []byte
	list  bool // stands in a list of frames
	fault *Fault
}

func (c *canReader) json(payload []byte) error {
	c.s = c.out.scanner.reset(payload)
	if c.s.peek() == '[' {
		for a := c.s.array(); a.next(); {
			c.object(canItem{})
		}
		return c.s.end()
	}
	c.object(canItem{})
	return c.s.end()
}

// object reads a frame, or what holds frames; outer is what holds it.
func (c *canReader) object(outer canItem) {
	it := canItem{at: outer.at, timed: outer.timed, list: outer.list}
	path, start := c.s.path(), c.s.pos
	held := -1 // where the frames begin: they are read when all that holds for them is known
	for o := c.s.object(); o.next(); {
		switch string(o.key) {
		case "ts", "time", "timestamp":
			var ok bool
			var at moment
			if at, ok, it.fault = c.s.timeValue(false); ok {
				it.at, it.timed = at.Time, true
			}
		case "id":
			c.id(&it)
		case "data":
			c.data(&it)
		case "conversion":
			c.method(&it)
		case "frames":
			if outer.list {
				c.s.fail(BadFrame, "frames hold no frames")
				return
			}
			c.s.peek()
			held = c.s.pos
			counted := c.s.values
			c.s.skip()
			c.s.values = counted
		default:
			c.s.skip()
		}
	}
	if c.s.fault != nil {
		return
	}
	if held >= 0 && it.fault == nil {
		c.inside(held, it)
		return
	}
	switch {
	case it.fault != nil:
	case !it.hasID:
		it.fault = &Fault{Reason: BadFrame, Detail: "the frame has no id"}
	case it.data == nil:
		it.fault = &Fault{Reason: BadFrame, Detail: "the frame has no data"}
	}
	if it.fault == nil {
		it.fault = c.frame(it)
	}
	if it.fault != nil {
		it.fault.Path, it.fault.Offset = cmpPath(it.fault.Path, path), start
		c.out.refuse(c.first, *it.fault)
	}
}

// inside reads the frames that begin at a place, and goes back to where it was.
func (c *canReader) inside(held int, outer canItem) {
	end := c.s.pos
	c.s.pos, outer.list = held, true
	for a := c.s.array(); a.next(); {
		c.object(outer)
	}
	if c.s.fault == nil {
		c.s.pos = end
	}
}

func (c *canReader) id(it *canItem) {
	if c.s.peek() == '"' {
		text, ok := c.s.text()
		if !ok || !c.s.count() {
			return
		}
		it.setID(string(text), 16)
		return
	}
	v, fault := c.s.number()
	if fault != nil {
		it.fault = fault
		return
	}
	it.setID(strconv.FormatFloat(v, 'f', -1, 64), 10)
}

func (it *canItem) setID(text string, base int) {
	text = strings.TrimPrefix(strings.TrimPrefix(text, "0x"), "0X")
	id, err := strconv.ParseUint(text, base, 32)
	id &^= 1 << 31 // the flag of an extended frame in SocketCAN
	if err != nil || id >= 1<<29 {
		it.fault = &Fault{Reason: BadFrame, Path: "id", Detail: strconv.Quote(truncate(text, 40)) + " is no 29-bit identifier"}
		return
	}
	it.id, it.hasID = id, true
}

func (c *canReader) data(it *canItem) {
	text, ok := c.s.text()
	if !ok || !c.s.count() {
		return
	}
	it.setData(string(text))
}

func (it *canItem) setData(text string) {
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil || len(b) > 8 {
		it.fault = &Fault{Reason: BadFrame, Path: "data", Detail: strconv.Quote(truncate(text, 40)) + " is not at most 8 bytes in hex"}
		return
	}
	it.data = append([]byte{}, b...)
}

// method reads which of the older layouts codes with CM 1 have.
func (c *canReader) method(it *canItem) {
	v, fault := c.s.number()
	if fault != nil || v < 1 || v > 4 || v != float64(int(v)) {
		it.fault = &Fault{Reason: BadFrame, Path: "conversion", Detail: "expected 1 to 4"}
		return
	}
	c.conversion = j1939.Conversion(v)
}

// lines reads "(1436509052.249713) can0 18FECA00#04FF6E000003FFFF".
func (c *canReader) lines(text []byte) {
	number := 0
	for line := range bytes.Lines(text) {
		number++
		fields := strings.Fields(string(line))
		if len(fields) == 0 {
			continue
		}
		var it canItem
		if fault := it.line(fields); fault != nil {
			it.fault = fault
		} else {
			it.fault = c.frame(it)
		}
		if it.fault != nil {
			it.fault.Path = fmt.Sprintf("line %d", number)
			c.out.refuse(c.first, *it.fault)
		}
	}
}

func (it *canItem) line(fields []string) *Fault {
	bad := &Fault{Reason: BadFrame, Detail: "expected (seconds) interface ID#DATA"}
	if len(fields) < 3 || !strings.HasPrefix(fields[0], "(") || !strings.HasSuffix(fields[0], ")") {
		return bad
	}
	seconds := []byte(fields[0][1 : len(fields[0])-1])
	n := scanNumeral(seconds)
	id, data, ok := strings.Cut(fields[2], "#")
	if n.size == 0 || n.size != len(seconds) || !ok {
		return bad
	}
	at, fault := numberTime(n, seconds)
	if fault != nil {
		return fault
	}
	it.at, it.timed = at, true
	it.setID(id, 16)
	if it.fault == nil {
		it.setData(data)
	}
	return it.fault
}

// frame takes one frame: what it says at once, or a part of something longer.
func (c *canReader) frame(it canItem) *Fault {
	if c.frames++; c.frames > maxFrames {
		return &Fault{Reason: TooManyValues, Detail: fmt.Sprintf("more than %d frames", maxFrames)}
	}
	at := c.received.UTC()
	if it.timed {
		var fault *Fault
		if at, _, fault = placeTime(it.at, c.received); fault != nil {
			return fault
		}
	}
	f := j1939.Frame{ID: uint32(it.id), Data: it.data, At: at} //nolint:gosec // 29 bits
	var single j1939.Assembler
	m, whole := single.Add(f)
	if !whole {
		c.out.Frames = append(c.out.Frames, Frame{Machine: c.machine, Conversion: c.conversion, Frame: f})
		return nil
	}
	if m.PGN == j1939.PGNActive || m.PGN == j1939.PGNPrevious {
		r, err := j1939.ReadReport(m, c.conversion)
		if err != nil {
			return &Fault{Reason: BadCode, Detail: err.Error()}
		}
		c.out.Troubles = append(c.out.Troubles, TroubleOf(c.machine, at, r))
		return nil
	}
	c.values(at, j1939.Values(m))
	return nil
}

// values collects those of one second: the last of each signal counts.
func (c *canReader) values(at time.Time, list []j1939.Value) {
	if len(list) == 0 {
		return
	}
	if second := at.Truncate(time.Second); !second.Equal(c.second) {
		c.flush()
		c.second = second
	}
next:
	for _, v := range list {
		for i := c.mark; i < len(c.out.values); i++ {
			if c.out.values[i].Signal == v.Signal {
				c.out.values[i].Value = v.Value
				continue next
			}
		}
		c.out.values = append(c.out.values, observation.Value{Signal: v.Signal, Value: v.Value})
	}
}

func (c *canReader) flush() {
	if len(c.out.values) > c.mark && !c.second.IsZero() {
		c.out.Readings = append(c.out.Readings, Reading{Machine: c.machine, At: c.second, Values: c.out.take(c.mark)})
	}
	c.mark = len(c.out.values)
}
