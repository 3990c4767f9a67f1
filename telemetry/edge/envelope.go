// Package edge carries the intake log of a box near the machines to a centre: each
// record in an envelope that says what the edge knew of it, published at QoS 1 and
// given up only after the centre's acknowledgement. It must not know what a message
// means; the centre decodes it as if the device had spoken to the centre itself.
package edge

import (
	"encoding/binary"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
)

// MaxHead bounds what stands before the payload, in bytes: a broker that takes a
// payload must take its envelope too.
const MaxHead = 4 << 10

const (
	magic     = "3SE\x01"
	maxNames  = 64
	maxText   = 1 << 10
	namesRoom = 2 << 10 // bytes of MaxHead
)

const (
	topicPrefix = "edge/"
	topicSuffix = "/records"
)

const (
	flagDup      = 1 << 0
	flagRetained = 1 << 1
	flagAny      = 1 << 2
	flagWill     = 1 << 3
)

var (
	errCut   = errors.New("the envelope ends too early")
	errText  = errors.New("a text of the envelope is too long")
	errNames = errors.New("the envelope has too many names")
)

var idPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// ValidID says whether an edge may be called so: it is a device of the centre.
func ValidID(id string) bool { return idPattern.MatchString(id) }

// Topic is where an edge publishes its records.
func Topic(id string) string { return topicPrefix + id + topicSuffix }

// FromTopic says which edge publishes to a topic.
func FromTopic(topic string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(topic, topicPrefix)
	if !ok {
		return "", false
	}
	id, ok = strings.CutSuffix(rest, topicSuffix)
	return id, ok && ValidID(id)
}

// Envelope is a record of an edge's log with what only the edge knows.
type Envelope struct {
	Log      uuid.UUID // the edge's log, and the place there: together they name the record
	LSN      uint64
	Received time.Time // program clock of the edge
	Source   string    // which listener or broker of the edge it came from
	Device   string    // who had signed in at the edge, "" for nobody
	Any      bool      // that device may speak for any machine
	Names    []string  // else the machines that it may speak for
	Topic    string
	Dup      bool
	Retained bool
	Will     bool
	Size     int    // bytes of the whole payload; more than Payload when that was too large to be read by anybody
	Payload  []byte // shares memory with what it was opened from
}

// Append appends the envelope to b.
func (e *Envelope) Append(b []byte) []byte {
	b = append(append(b, magic...), flag(flagDup, e.Dup)|flag(flagRetained, e.Retained)|flag(flagAny, e.Any)|flag(flagWill, e.Will))
	b = binary.BigEndian.AppendUint64(b, uint64(e.Received.UnixNano())) //nolint:gosec // read back as int64
	b = append(b, e.Log[:]...)
	b = binary.AppendUvarint(b, e.LSN)
	b = binary.AppendUvarint(b, uint64(max(e.Size, len(e.Payload)))) //nolint:gosec // a length
	for _, text := range []string{e.Source, e.Device, e.Topic} {
		b = appendText(b, text)
	}
	names := fitting(e.Names)
	b = binary.AppendUvarint(b, uint64(len(names)))
	for _, name := range names {
		b = appendText(b, name)
	}
	return append(b, e.Payload...)
}

func flag(bit byte, on bool) byte {
	if on {
		return bit
	}
	return 0
}

// fitting leaves out names for which there is no room; the centre refuses what is
// said under them, with that reason.
func fitting(names []string) []string {
	room := namesRoom
	for i, name := range names {
		if room -= len(name) + 2; room < 0 || i == maxNames {
			return names[:i]
		}
	}
	return names
}

func appendText(b []byte, text string) []byte {
	text = text[:min(len(text), maxText)]
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// IsEnvelope says whether a payload begins as an envelope does.
func IsEnvelope(payload []byte) bool {
	return len(payload) >= len(magic) && string(payload[:len(magic)]) == magic
}

// Open reads an envelope; an error says what is wrong with it.
func Open(payload []byte) (Envelope, error) {
	if !IsEnvelope(payload) {
		return Envelope{}, errCut
	}
	r := reader{b: payload[len(magic):]}
	var e Envelope
	flags := r.take(1)
	received := r.take(8)
	log := r.take(len(e.Log))
	e.LSN = r.number()
	size := r.number()
	e.Source, e.Device, e.Topic = r.text(), r.text(), r.text()
	n := r.number()
	if r.err == nil && n > maxNames {
		r.err = errNames
	}
	for ; n > 0 && r.err == nil; n-- {
		e.Names = append(e.Names, r.text())
	}
	if r.err != nil {
		return Envelope{}, r.err
	}
	copy(e.Log[:], log)
	e.Will = flags[0]&flagWill != 0
	e.Dup, e.Retained, e.Any = flags[0]&flagDup != 0, flags[0]&flagRetained != 0, flags[0]&flagAny != 0
	e.Received = time.Unix(0, int64(binary.BigEndian.Uint64(received))).UTC() //nolint:gosec // written from an int64
	e.Payload = r.b
	e.Size = max(int(min(size, 1<<30)), len(e.Payload)) //nolint:gosec // bounded
	return e, nil
}

// reader takes an envelope apart; behind the first fault it gives nothing.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n int) []byte {
	if r.err != nil || n > len(r.b) {
		r.fail(errCut)
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail(errCut)
		return 0
	}
	r.take(n)
	return v
}

func (r *reader) text() string {
	n := r.number()
	if n > maxText {
		r.fail(errText)
		return ""
	}
	return string(r.take(int(n))) //nolint:gosec // bounded
}
