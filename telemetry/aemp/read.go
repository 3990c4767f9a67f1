package aemp

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Read reads a document in any dialect. What cannot be read of one machine is a
// fault in the list and costs the others nothing; an error means that there is no
// document.
func Read(body []byte) (Fleet, error) {
	root, err := parse(body)
	if err != nil {
		return Fleet{}, err
	}
	var f Fleet
	top := root
	if len(root.children) == 1 { // whatever it is called, as in <Fleet>, <LocationMessages> or {
		top = root.children[0]
	}
	if inner := top.child("fleet"); inner != nil {
		top = inner
	}
	f.head(top)
	if len(f.Equipment) == 0 && top.child("links", "link", "version") == nil {
		return Fleet{}, ErrNoFleet
	}
	return f, nil
}

// head reads what stands at the top: time, links, machines, or the elements of
// one machine.
func (f *Fleet) head(top *node) {
	if at, ok := clock(top.field("snapshottime")); ok {
		f.SnapshotTime = at
	} else {
		f.refuse("snapshotTime", "is no time")
	}
	for _, n := range top.children {
		switch n.name {
		case "links", "link":
			f.link(n)
		case "equipment":
			f.machine(n, len(f.Equipment))
		case "": // in a list without a name
			if n.child("equipmentheader") != nil {
				f.machine(n, len(f.Equipment))
			}
		}
	}
	if own := single(top); own != nil {
		f.machine(own, len(f.Equipment))
	}
}

// single is the machine whose elements stand at the top themselves, or in a list
// that is named after them (Locations, FaultCodes), nil where there are none.
func single(top *node) *node {
	own := &node{}
	for _, n := range top.children {
		if n.name == "equipmentheader" {
			own.children = append(own.children, n)
			continue
		}
		if _, ok := known(n.name); ok {
			own.children = append(own.children, n)
			continue
		}
		for _, inner := range n.children {
			if _, ok := known(inner.name); ok && n.name != "equipment" {
				own.children = append(own.children, inner)
			}
		}
	}
	if len(own.children) == 0 {
		return nil
	}
	return own
}

func (f *Fleet) link(n *node) {
	if inner := n.child("link"); inner != nil && n.name == "links" { // <Links><Link rel href/></Links>
		for _, c := range n.children {
			f.link(c)
		}
		return
	}
	rel, href := strings.ToLower(n.field("rel")), n.field("href")
	if rel == "previous" {
		rel = "prev"
	}
	if rel != "" && href != "" && len(f.Links) < 20 {
		f.Links = append(f.Links, Link{rel, href})
	}
}

func (f *Fleet) machine(n *node, number int) {
	e := Equipment{}
	if h := n.child("equipmentheader"); h != nil {
		e.Header = Header{OEMName: word(h, "oemname"), Model: word(h, "model"), EquipmentID: word(h, "equipmentid"),
			SerialNumber: word(h, "serialnumber"), PIN: word(h, "pin")}
		e.InstalledAt, _ = clock(h.field("unitinstalldatetime")) // an unreadable one is an unknown one
	}
	for _, c := range n.children {
		element, ok := known(c.name)
		switch {
		case !ok:
		case element == "faultcode":
			f.code(&e, c, number)
		default:
			f.element(&e, element, c, number)
		}
	}
	f.Equipment = append(f.Equipment, e)
}

// word is a text of a header; "N/A" is none.
func word(n *node, name string) string {
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return -1
		}
		return r
	}, n.field(name))
	if strings.EqualFold(text, "n/a") || strings.EqualFold(text, "null") {
		return ""
	}
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "")
	}
	return text
}

func (f *Fleet) code(e *Equipment, n *node, number int) {
	c := Code{Identifier: word(n, "codeidentifier"), Description: word(n, "codedescription"), Severity: word(n, "codeseverity"), Source: word(n, "codesource")}
	path := fmt.Sprintf("Equipment[%d]/FaultCode", number)
	if c.Identifier == "" {
		f.refuse(path, "has no CodeIdentifier")
		return
	}
	at, ok := clock(n.field("datetime"))
	if !ok {
		f.refuse(path+"/datetime", "is no time")
		return
	}
	c.At = at
	e.Codes = append(e.Codes, c)
}

// element reads all values of one element. An empty one is a gap, not a fault.
func (f *Fleet) element(e *Equipment, element string, n *node, number int) {
	path := fmt.Sprintf("Equipment[%d]/%s", number, element)
	at, ok := clock(n.field("datetime"))
	if !ok {
		f.refuse(path+"/datetime", "is no time")
		return
	}
	var values []Value
	for i := range quantities {
		q := &quantities[i]
		if !strings.EqualFold(q.element, element) {
			continue
		}
		text, factor := q.text(n)
		if text == "" || strings.EqualFold(text, "n/a") {
			continue
		}
		v, ok := q.read(text)
		scale, unit := q.unitFactor(q.unit(n))
		if !ok || !unit && q.factor != nil {
			f.refuse(path+"/"+q.field, fmt.Sprintf("%q is no value of it", cut(text)))
			continue
		}
		values = append(values, Value{Element: q.element, Signal: q.named(n), At: at, Value: v * factor * scale})
	}
	e.Values = append(e.Values, somewhere(values)...)
}

// text is the value's field; hours may come as minutes.
func (q *quantity) text(n *node) (text string, factor float64) {
	if text = n.field(append([]string{strings.ToLower(q.field)}, q.also...)...); text != "" {
		return text, 1
	}
	if strings.HasSuffix(q.element, "Hours") {
		return n.field("minutes", "minute"), 1.0 / 60
	}
	return "", 1
}

func (q *quantity) unit(n *node) string {
	for _, name := range q.units {
		if text := n.field(strings.ToLower(name)); text != "" {
			return text
		}
	}
	return ""
}

// named is the signal's name; the second engine and each switch have their own.
func (q *quantity) named(n *node) string {
	if q.per == "" {
		return q.signal
	}
	which := strings.ToLower(n.field(strings.ToLower(q.per), "switchnumber", "number"))
	if which == "" || which == "n/a" || which == "1" && q.signal != "switch" {
		return q.signal
	}
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, which)
	return q.signal + "_" + clean[:min(len(clean), 40)]
}

// somewhere drops a position that is none: 0, 0 of a unit that knows its altitude
// only, and what is beyond the globe.
func somewhere(values []Value) []Value {
	none, zeros := false, 0
	for _, v := range values {
		switch v.Signal {
		case "latitude":
			none = none || v.Value < -90 || v.Value > 90
		case "longitude":
			none = none || v.Value < -180 || v.Value > 180
		default:
			continue
		}
		if v.Value == 0 {
			zeros++
		}
	}
	if none || zeros == 2 {
		values = slices.DeleteFunc(values, func(v Value) bool { return v.Signal == "latitude" || v.Signal == "longitude" })
	}
	return values
}
