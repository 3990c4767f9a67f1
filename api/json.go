package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxDepth  = 16
	maxValues = 5_000
)

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// readJSON is stricter than encoding/json, which takes doubled keys, broken
// UTF-8, NUL and 10,000 levels. huma reads each body twice, first into an any;
// that is where it is checked.
func readJSON(data []byte, v any) error {
	if _, first := v.(*any); first {
		if err := checkJSON(data); err != nil {
			return err
		}
	}
	return json.Unmarshal(data, v)
}

// checkJSON says what is wrong with a document and where, never what was in it.
func checkJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("\xEF\xBB\xBF")) {
		return errors.New("byte order mark at byte 0")
	}
	if i := badUTF8(data); i >= 0 {
		return fmt.Errorf("invalid UTF-8 at byte %d", i)
	}
	if err := checkEscapes(data); err != nil {
		return err
	}
	c := checker{dec: json.NewDecoder(bytes.NewReader(data)), data: data}
	c.dec.UseNumber()
	if err := c.value(0, ""); err != nil {
		return err
	}
	if _, err := c.dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("something follows the document at %s", c.where())
	}
	return nil
}

func badUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return -1
}

// checkEscapes finds NUL and lone surrogates, which decode silently.
func checkEscapes(data []byte) error {
	for i := 0; i+1 < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		if data[i+1] != 'u' {
			i++
			continue
		}
		code, ok := escape(data[i:])
		if !ok {
			continue // the decoder names it
		}
		switch {
		case code == 0:
			return fmt.Errorf("NUL at byte %d", i)
		case code >= 0xDC00 && code <= 0xDFFF:
			return fmt.Errorf("lone surrogate at byte %d", i)
		case code >= 0xD800 && code <= 0xDBFF:
			low, ok := escape(data[i+6:])
			if !ok || low < 0xDC00 || low > 0xDFFF {
				return fmt.Errorf("lone surrogate at byte %d", i)
			}
			i += 6
		}
		i += 5
	}
	return nil
}

func escape(data []byte) (uint64, bool) {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	code, err := strconv.ParseUint(string(data[2:6]), 16, 32)
	return code, err == nil
}

type checker struct {
	dec    *json.Decoder
	data   []byte
	values int
}

// where gives line and column of the decoder.
func (c *checker) where() string { return position(c.data, c.dec.InputOffset()) }

func position(data []byte, offset int64) string {
	before := data[:min(int(offset), len(data))]
	line := bytes.Count(before, []byte("\n")) + 1
	return fmt.Sprintf("line %d, column %d", line, len(before)-bytes.LastIndexByte(before, '\n'))
}

func (c *checker) token() (json.Token, error) {
	tok, err := c.dec.Token()
	if err == nil {
		return tok, nil
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return nil, fmt.Errorf("no valid JSON at %s", position(c.data, syntax.Offset))
	}
	return nil, fmt.Errorf("the document ends too early at %s", c.where())
}

func (c *checker) value(depth int, path string) error {
	if c.values++; c.values > maxValues {
		return fmt.Errorf("more than %d values", maxValues)
	}
	if depth > maxDepth {
		return fmt.Errorf("nested deeper than %d levels at %s", maxDepth, c.where())
	}
	tok, err := c.token()
	if err != nil {
		return err
	}
	switch t := tok.(type) {
	case json.Number:
		if f, err := strconv.ParseFloat(string(t), 64); err != nil || math.IsInf(f, 0) {
			return fmt.Errorf("the number at %s is out of range", orRoot(path))
		}
	case json.Delim:
		if t == '[' {
			return c.array(depth, path)
		}
		return c.object(depth, path)
	}
	return nil
}

func (c *checker) array(depth int, path string) error {
	for i := 0; c.dec.More(); i++ {
		if err := c.value(depth+1, path+"/"+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	_, err := c.token()
	return err
}

func (c *checker) object(depth int, path string) error {
	seen := map[string]bool{}
	for c.dec.More() {
		tok, err := c.token()
		if err != nil {
			return err
		}
		name, _ := tok.(string)
		folded := strings.ToLower(name) // the decoder folds case too
		if seen[folded] {
			return fmt.Errorf("the same key twice at %s", c.where())
		}
		seen[folded] = true
		if err := c.value(depth+1, path+"/"+name); err != nil {
			return err
		}
	}
	_, err := c.token()
	return err
}

func orRoot(path string) string {
	if path == "" {
		return "the root"
	}
	if len(path) > 200 {
		return strings.ToValidUTF8(path[:200], "")
	}
	return path
}
