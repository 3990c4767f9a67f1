package aemp

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Split cuts a document that is longer than limit bytes into documents of their
// own, machine by machine (or element by element of a series), each with the
// bytes as they came. One machine that is longer by itself is an error.
func Split(body []byte, limit int) ([][]byte, error) {
	if len(body) <= limit {
		return [][]byte{body}, nil
	}
	trimmed := bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xEF\xBB\xBF")))
	if len(trimmed) > 0 && trimmed[0] == '<' {
		return splitXML(trimmed, limit)
	}
	return splitJSON(trimmed, limit)
}

// pack puts pieces into as few documents as the limit allows.
func pack(head, tail []byte, between string, pieces [][]byte, limit int) ([][]byte, error) {
	var out [][]byte
	var one []byte
	for _, p := range pieces {
		if len(head)+len(p)+len(tail) > limit {
			return nil, fmt.Errorf("one machine of the document has %d bytes, limit %d", len(p), limit)
		}
		if one != nil && len(one)+len(between)+len(p)+len(tail) > limit {
			out = append(out, append(one, tail...))
			one = nil
		}
		if one == nil {
			one = slices.Clone(head)
		} else {
			one = append(one, between...)
		}
		one = append(one, p...)
	}
	if one != nil {
		out = append(out, append(one, tail...))
	}
	return out, nil
}

// splitXML finds where the children of the root begin and end. Links are left out:
// they lead to pages, and whoever splits has read them.
func splitXML(body []byte, limit int) ([][]byte, error) {
	d := xml.NewDecoder(bytes.NewReader(body))
	d.CharsetReader = func(charset string, _ io.Reader) (io.Reader, error) {
		return nil, fmt.Errorf("a document in %s cannot be cut into parts", cut(charset))
	}
	depth, began := 0, int64(0)
	var head, tail []byte
	var pieces [][]byte
	for {
		before := d.InputOffset()
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			return pack(head, tail, "", pieces, limit)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
		}
		switch x := token.(type) {
		case xml.StartElement:
			if depth == 0 {
				head = bytes.TrimRight(body[before:d.InputOffset()], "/")
				tail = fmt.Appendf(nil, "</%s>", qualified(x.Name))
			}
			if depth++; depth == 2 {
				began = before
			}
		case xml.EndElement:
			if depth == 2 && !strings.EqualFold(x.Name.Local, "links") && len(pieces) < maxNodes {
				pieces = append(pieces, body[began:d.InputOffset()])
			}
			depth--
		}
	}
}

func qualified(n xml.Name) string {
	if n.Space != "" {
		return n.Space + ":" + n.Local
	}
	return n.Local
}

// splitJSON cuts the longest list of the document and repeats what else there is.
func splitJSON(body []byte, limit int) ([][]byte, error) {
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	for name, inner := range doc {
		if strings.EqualFold(name, "fleet") {
			var fleet map[string]json.RawMessage
			if err := json.Unmarshal(inner, &fleet); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
			}
			doc = fleet
			break
		}
	}
	longest := ""
	for name, raw := range doc {
		if len(raw) > len(doc[longest]) || len(raw) == len(doc[longest]) && name < longest {
			longest = name
		}
	}
	var pieces [][]byte
	var list []json.RawMessage
	if err := json.Unmarshal(doc[longest], &list); err != nil {
		return nil, fmt.Errorf("%w: it has no list that could be cut", ErrSyntax)
	}
	for _, one := range list {
		pieces = append(pieces, one)
	}
	delete(doc, longest)
	for name := range doc {
		if strings.EqualFold(name, "links") {
			delete(doc, name)
		}
	}
	rest, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("cut a document: %w", err)
	}
	name, err := json.Marshal(longest)
	if err != nil {
		return nil, fmt.Errorf("cut a document: %w", err)
	}
	head := bytes.TrimSuffix(rest, []byte("}"))
	if len(doc) > 0 {
		head = append(head, ',')
	}
	head = append(append(head, name...), ':', '[')
	return pack(head, []byte("]}"), ",", pieces, limit)
}
