// Package formats reads what machines say in the words of many senders: a topic
// and a payload become readings by machine name, or a reason why not. It is pure:
// nothing but the message decides, so that a record of the intake log means the
// same whenever it is read. Whether a machine of that name exists, and whether the
// sender may speak for it, is decided behind it.
package formats

import (
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// Limits of one message. A message beyond MaxPayload is refused before it is parsed.
const (
	MaxPayload = 256 << 10 // bytes
	MaxName    = 200       // bytes of the name of a signal or a machine
	MaxFaults  = 8         // faults listed for one message that is partly good
	maxDepth   = 16        // nested objects and arrays
	maxValues  = 5_000     // scalars in one message
	maxNames   = 100_000   // distinct names remembered by one Decoded
)

// Message is one payload as it came, with what the connection knows about it.
type Message struct {
	Source   string    // which listener or broker it came from
	Topic    string    // MQTT topic
	Device   string    // key of the authenticated device, "" when anonymous
	Received time.Time // program clock
	Payload  []byte

	envelope *envelope // what stands around the content, nil without one
}

// envelope is what another format says of the content that it carries.
type envelope struct {
	start   int    // where in the payload the content starts; it ends with it
	path    string // of the content in the whole document
	machine string // "" when the envelope names none
	at      moment
	timed   bool
}

// content is the message without what stands around it.
func (m Message) content() []byte {
	if m.envelope == nil {
		return m.Payload
	}
	return m.Payload[m.envelope.start:]
}

// Reading is what a message says about one machine at one instant. Machine is
// the name that the sender used: a key, an alias or a device key.
type Reading struct {
	Machine string
	At      time.Time
	Boot    string
	Seq     uint64
	Flags   observation.Flag
	Values  []observation.Value
	Units   []string // of the values, as the sender writes them, "" where it says none; nil = it says nothing of units

	// Clock is what the sender's clock showed when it named no zone, zero
	// otherwise. At is the receive time until InZone has placed it.
	Clock time.Time
}

// Presence is a sender's word that a machine is connected or not.
type Presence struct {
	Machine string
	Online  bool
	At      time.Time
	Also    string // a longer name of the machine, which counts first; "" without one
	IfKnown bool   // the name may be that of a gateway: nobody has to claim it
	Told    bool   // said of it by a sender that is still there, and so by no last will
}

// Number is a message's place in the count of its sender.
type Number struct {
	Machine string
	Boot    string
	Seq     uint64
}

// Decoded collects what messages hold. It is reused from message to message;
// the values of earlier readings stay valid.
type Decoded struct {
	Readings    []Reading
	Presences   []Presence
	Troubles    []Trouble
	Numbers     []Number // of items that came and of which no reading was made
	Frames      []Frame  // parts of longer messages, in their order
	Faults      []Fault  // parts of a message that were refused while the rest was kept
	Attributes  int      // static texts, noted and not stored
	TextNumbers int      // numbers that came as strings
	Unread      int      // values that the sender itself could not read, and said so

	values  []observation.Value
	names   map[string]string
	scanner jsonScanner
	signal  []byte // name of the value that is being read, with its prefix
	more    int    // faults beyond MaxFaults
	lists   bool   // the format counts the phases of a value in an array
	decoder string // the one that decodes now
}

// Reset forgets what was decoded. Who kept values of a reading may go on using them.
func (d *Decoded) Reset() {
	d.Readings, d.Presences, d.Faults = d.Readings[:0], d.Presences[:0], d.Faults[:0]
	d.Troubles, d.Frames, d.Numbers = d.Troubles[:0], d.Frames[:0], d.Numbers[:0]
	d.Attributes, d.TextNumbers, d.Unread = 0, 0, 0
	d.values = make([]observation.Value, 0, max(len(d.values), 256))
}

// Decoder reads one format. Decode appends to out; when it returns an error
// (always a *Fault) the message is refused whole.
type Decoder interface {
	Name() string
	Match(topic string, payload []byte) bool
	Decode(m Message, out *Decoded) error
}

// Decoders lists the formats in the order in which they are tried: what the
// topic says first, then what the content looks like. Add yours here.
//
//nolint:gochecknoglobals // an ordered list, never written
var Decoders = []Decoder{
	ownJSON{},
	thingsBoardGateway{},
	thingsBoardDevice{},
	ownStatus{},
	troubleCodes{},
	canFrames{},
	fleetDocument{},
	neuron{},
	tasmota{},
	zigbee2MQTT{},
	wisePaaS{},
	wise4000{},
	azureDevice{},
	csvRows{},
	lineProtocol{},
	cloudEvent{},
	telegrafJSON{},
	siteWise{},
	senML{},
	teltonika{},
	presenceWord{},
	bareScalar{},
	anyObject{},
}

// Binary lists the formats that may hold any byte. They are tried before a
// message has to be text.
//
//nolint:gochecknoglobals // an ordered list, never written
var Binary = []Decoder{
	senMLCBOR{},
}

// Decode reads a message with the first decoder that knows it and returns that
// decoder's name. On an error nothing of the message is left in out but the error;
// a decoder that panics has refused the message, see Contain.
func Decode(m Message, out *Decoded) (decoder string, err error) { return contained(decode, m, out) }

func contained(decode func(Message, *Decoded) (string, error), m Message, out *Decoded) (decoder string, err error) {
	mark := out.Mark()
	out.more = 0
	crash := Contain(func() { decoder, err = decode(m, out) })
	switch {
	case crash != nil:
		out.Rewind(mark)
		out.values, out.scanner, out.signal, out.lists = nil, jsonScanner{}, nil, false // whatever it has left there
		return out.decoder, crash
	case err != nil:
		out.Rewind(mark)
		return decoder, err
	}
	out.noteMore()
	return decoder, nil
}

func decode(m Message, out *Decoded) (string, error) {
	out.decoder = ""
	if f := checkSize(m.Payload); f != nil {
		return "", f
	}
	content := m.content()
	for _, d := range Binary {
		if d.Match(m.Topic, content) {
			return out.by(d, m)
		}
	}
	if f := checkText(m.Payload); f != nil {
		return "", f
	}
	for _, d := range Decoders {
		if d.Match(m.Topic, content) {
			return out.by(d, m)
		}
	}
	return "", &Fault{Reason: FormatUnknown, Detail: "no known format has this topic and shape"}
}

func (d *Decoded) by(decoder Decoder, m Message) (string, error) {
	d.decoder = decoder.Name()
	return decoder.Name(), decoder.Decode(m, d)
}

// Mark is a place in a Decoded.
type Mark struct {
	readings, presences, troubles, numbers, frames, faults int
	attributes, textNumbers, unread                        int
}

// Mark notes how far it is.
func (d *Decoded) Mark() Mark {
	return Mark{readings: len(d.Readings), presences: len(d.Presences), troubles: len(d.Troubles), numbers: len(d.Numbers), frames: len(d.Frames),
		faults: len(d.Faults), attributes: d.Attributes, textNumbers: d.TextNumbers, unread: d.Unread}
}

// Rewind drops what was decoded since a mark.
func (d *Decoded) Rewind(m Mark) {
	d.Readings, d.Presences, d.Faults = d.Readings[:m.readings], d.Presences[:m.presences], d.Faults[:m.faults]
	d.Troubles, d.Frames, d.Numbers = d.Troubles[:m.troubles], d.Frames[:m.frames], d.Numbers[:m.numbers]
	d.Attributes, d.TextNumbers, d.Unread = m.attributes, m.textNumbers, m.unread
}

// name returns the string of b, the same one each time.
func (d *Decoded) name(b []byte) string {
	if s, ok := d.names[string(b)]; ok {
		return s
	}
	if d.names == nil || len(d.names) >= maxNames {
		d.names = make(map[string]string, 64)
	}
	s := string(b)
	d.names[s] = s
	return s
}

// refuse notes a fault of one part of a message.
func (d *Decoded) refuse(first int, f Fault) {
	if len(d.Faults)-first >= MaxFaults {
		d.more++
		return
	}
	d.Faults = append(d.Faults, f)
}

func (d *Decoded) noteMore() {
	if d.more > 0 {
		last := &d.Faults[len(d.Faults)-1]
		last.Detail = more(last.Detail, d.more)
	}
}

// FleetTopic takes the machine and the rest out of fleet/{machine}/{rest}.
func FleetTopic(topic string) (machine, rest string, ok bool) {
	after, ok := strings.CutPrefix(topic, "fleet/")
	if !ok {
		return "", "", false
	}
	machine, rest, ok = strings.Cut(after, "/")
	return machine, rest, ok && machine != "" && rest != ""
}
