package aemp

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds of one document, whatever its bytes.
const (
	maxDepth = 16
	maxNodes = 200_000
	maxText  = 1_000 // bytes of one value
)

// What is wrong with a whole document.
var (
	ErrSyntax   = errors.New("is neither XML nor JSON")
	ErrDepth    = errors.New("is nested deeper than 16")
	ErrTooLarge = errors.New("has more than 200,000 elements")
	ErrNoFleet  = errors.New("holds no machine and no value of ISO 15143-3")
)

// node is an element or a JSON member: what makers' dialects have in common.
// Attributes are children, names are local and in lower case.
type node struct {
	name     string
	text     string
	children []*node
}

func (n *node) child(names ...string) *node {
	for _, c := range n.children {
		for _, name := range names {
			if c.name == name {
				return c
			}
		}
	}
	return nil
}

// field is the text of a child, "" where there is none.
func (n *node) field(names ...string) string {
	if c := n.child(names...); c != nil {
		return strings.TrimSpace(c.text)
	}
	return ""
}

// tree builds nodes within the bounds.
type tree struct {
	open  []*node
	count int
}

func newTree() *tree { return &tree{open: []*node{{}}} }

func (t *tree) top() *node { return t.open[len(t.open)-1] }

func (t *tree) add(name, text string) (*node, error) {
	if t.count++; t.count > maxNodes {
		return nil, ErrTooLarge
	}
	n := &node{name: strings.ToLower(name), text: cut(text)}
	t.top().children = append(t.top().children, n)
	return n, nil
}

func (t *tree) push(name string) error {
	if len(t.open) > maxDepth {
		return ErrDepth
	}
	n, err := t.add(name, "")
	if err == nil {
		t.open = append(t.open, n)
	}
	return err
}

func (t *tree) pop() { t.open = t.open[:len(t.open)-1] }

func cut(text string) string {
	if len(text) > maxText {
		return strings.ToValidUTF8(text[:maxText], "")
	}
	return text
}

// parse reads XML or JSON by its first byte.
func parse(body []byte) (*node, error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xEF\xBB\xBF")))
	if len(body) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrSyntax)
	}
	t := newTree()
	var err error
	switch body[0] {
	case '<':
		err = t.readXML(body)
	case '{', '[':
		err = t.readJSON(body)
	default:
		err = ErrSyntax
	}
	if err != nil {
		return nil, err
	}
	return t.open[0], nil
}

func (t *tree) readXML(body []byte) error {
	d := xml.NewDecoder(bytes.NewReader(body))
	d.CharsetReader = latin1
	for {
		token, err := d.Token()
		switch {
		case errors.Is(err, io.EOF):
			if len(t.open) != 1 || len(t.open[0].children) == 0 {
				return fmt.Errorf("%w: it ends early", ErrSyntax)
			}
			return nil
		case err != nil:
			return fmt.Errorf("%w: %w", ErrSyntax, err)
		}
		if err := t.token(token); err != nil {
			return err
		}
	}
}

func (t *tree) token(token xml.Token) error {
	switch x := token.(type) {
	case xml.StartElement:
		if err := t.push(x.Name.Local); err != nil {
			return err
		}
		for _, a := range x.Attr {
			if a.Name.Space == "xmlns" || a.Name.Local == "xmlns" {
				continue
			}
			if _, err := t.add(a.Name.Local, a.Value); err != nil {
				return err
			}
		}
	case xml.EndElement:
		t.pop()
	case xml.CharData:
		if n := t.top(); len(n.text) < maxText {
			n.text = cut(n.text + string(x))
		}
	}
	return nil
}

// latin1 reads the one other encoding that makers use; anything else is refused.
func latin1(charset string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(charset) {
	case "utf-8", "utf8", "us-ascii":
		return in, nil
	case "iso-8859-1", "windows-1252":
		b, err := io.ReadAll(in) // the body is bounded
		if err != nil {
			return nil, err
		}
		var out strings.Builder
		for _, c := range b {
			out.WriteRune(rune(c))
		}
		return strings.NewReader(out.String()), nil
	}
	return nil, fmt.Errorf("encoding %q is not read", cut(charset))
}

func (t *tree) readJSON(body []byte) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := t.value(d, ""); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows the document", ErrSyntax)
	}
	return nil
}

// value reads one JSON value as child name of what is open; the root has no name,
// and an array is its elements.
func (t *tree) value(d *json.Decoder, name string) error {
	token, err := d.Token()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	delim, ok := token.(json.Delim)
	if !ok {
		text := ""
		if token != nil {
			text = fmt.Sprint(token)
		}
		_, err := t.add(name, text)
		return err
	}
	if delim == '{' {
		return t.object(d, name)
	}
	if t.count++; t.count > maxNodes {
		return ErrTooLarge
	}
	t.open = append(t.open, t.top()) // an array is as deep as what stands in it
	defer t.pop()
	if len(t.open) > maxDepth {
		return ErrDepth
	}
	for d.More() {
		if err := t.value(d, name); err != nil {
			return err
		}
	}
	return end(d)
}

func (t *tree) object(d *json.Decoder, name string) error {
	if err := t.push(name); err != nil {
		return err
	}
	defer t.pop()
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrSyntax, err)
		}
		if err := t.value(d, fmt.Sprint(key)); err != nil {
			return err
		}
	}
	return end(d)
}

func end(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	return nil
}
