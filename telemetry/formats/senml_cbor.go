package formats

import (
	"bytes"
	"strings"
)

// senMLCBOR is a SenML pack in CBOR (RFC 8428, section 6).
type senMLCBOR struct{}

func (senMLCBOR) Name() string { return "senml-cbor" }

// Match takes what starts like an array of maps. No text starts so, because the
// first byte would be the middle of a character.
func (senMLCBOR) Match(topic string, payload []byte) bool {
	if strings.HasSuffix(topic, "/senml-cbor") {
		return true
	}
	return looksLikeCBOR(payload) && !strings.HasPrefix(topic, "spBv1.0/") && (!ourTopic(topic) || strings.HasSuffix(topic, "/senml"))
}

func looksLikeCBOR(b []byte) bool {
	b = bytes.TrimPrefix(b, []byte(selfDescribed))
	if len(b) < 2 || b[0]>>5 != cborArray {
		return false
	}
	next := 1
	switch b[0] & 31 {
	case 24:
		next = 2
	case 25:
		next = 3
	}
	return next < len(b) && b[next]>>5 == cborMap
}

func (senMLCBOR) Decode(m Message, out *Decoded) error {
	c := cborReader{b: m.content()}
	if bytes.HasPrefix(c.b, []byte(selfDescribed)) {
		c.pos = len(selfDescribed)
	}
	p := newPack(m, out)
	for a := c.open(cborArray); a.next(); {
		r := senMLRecord{path: pathOf(a.index), offset: c.pos}
		for o := c.open(cborMap); o.next(); {
			c.readSenMLMember(&p, &r)
		}
		if c.fault != nil {
			break
		}
		p.add(&r)
	}
	if c.fault == nil && c.pos < len(c.b) {
		c.fail(JSONTrailing, "something follows the pack")
	}
	if c.fault != nil {
		return c.fault
	}
	p.flush()
	return nil
}

func (c *cborReader) readSenMLMember(p *senMLPack, r *senMLRecord) {
	label, known, must := c.label()
	switch {
	case c.fault != nil:
	case must:
		c.fail(SenMLRecord, "a label that must be understood is not known")
	case !known || label.name == "vd":
		if label.name == "vd" {
			r.isData = true
		}
		c.skip()
	case label.text:
		if text, ok := c.text(); ok {
			r.text(label, p.out.name(text))
		}
	case label.name == "vb":
		r.boolean(c.boolean())
	default:
		start := c.pos
		v, finite := c.number()
		if c.fault == nil && !finite {
			r.fault = &Fault{Reason: NumberRange, Detail: "not a finite number that can be kept exactly", Path: r.path + "." + label.name, Offset: start}
			return
		}
		r.number(label, v)
	}
}

// label reads an integer label, or a text as in JSON.
func (c *cborReader) label() (f senMLField, known, must bool) {
	if c.major() == cborText {
		text, _ := c.text()
		f, known = senMLLabel(string(text))
		return f, known, !known && bytes.HasSuffix(text, []byte{'_'})
	}
	code, ok := c.integer()
	if !ok {
		return f, false, false
	}
	for _, f := range senMLFields {
		if f.code == code {
			return f, true, false
		}
	}
	return f, false, false
}
