package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Bounds of a pack's text.
const (
	maxPack        = 256 << 10 // bytes
	maxDepth       = 24        // nested lists and maps
	maxFaults      = 100       // reported
	maxRules       = 128
	maxPackSignals = 192 // leaves room for signals that come unannounced
	maxList        = 32
	maxTextRunes   = 400
)

// Fault is one thing that is wrong with a pack's text.
type Fault struct {
	File      string
	Line, Col int // from 1
	Text      string
}

func (f Fault) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Col, f.Text)
}

// Errors is all that is wrong with a pack's text, in its order.
type Errors []Fault

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, f := range e {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// Parse reads a pack. name stands for the file in errors; an error is always
// Errors and names every fault with its place.
func Parse(name string, text []byte) (*Pack, error) {
	c := &check{file: name}
	pack := c.pack(text)
	if len(c.faults) > 0 {
		sort.SliceStable(c.faults, func(i, j int) bool {
			a, b := c.faults[i], c.faults[j]
			return a.Line < b.Line || a.Line == b.Line && a.Col < b.Col
		})
		return nil, c.faults
	}
	sum := sha256.Sum256(text)
	pack.Hash, pack.Text = hex.EncodeToString(sum[:8]), slices.Clone(text)
	pack.layout = newLayout(pack)
	return pack, nil
}

// check reads YAML and gathers what is wrong with it.
type check struct {
	file   string
	faults Errors
	named  *clauseText // the pack's conditions
}

func (c *check) pack(text []byte) *Pack {
	switch {
	case len(text) > maxPack:
		c.whole("has %d bytes, at most %d", len(text), maxPack)
	case strings.ContainsRune(string(text), 0):
		c.whole("holds a zero byte: not a text")
	case depth(text) > maxDepth:
		c.whole("lists and maps are nested deeper than %d", maxDepth)
	}
	if len(c.faults) > 0 {
		return nil
	}
	root := c.root(text)
	if root == nil {
		return nil
	}
	return c.readPack(root)
}

// root parses the text to one document's body.
func (c *check) root(text []byte) (body ast.Node) {
	defer func() {
		if r := recover(); r != nil { // the YAML library is not ours: its faults must not be our end
			c.whole("is not YAML that can be read")
			body = nil
		}
	}()
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		c.syntax(err)
		return nil
	}
	var docs []ast.Node
	for _, d := range file.Docs {
		if d.Body != nil {
			docs = append(docs, d.Body)
		}
	}
	if len(docs) != 1 {
		c.whole("holds %d documents, one is needed", len(docs))
		return nil
	}
	return docs[0]
}

// syntax reports the YAML library's error with its place: it begins with "[line:column] ".
func (c *check) syntax(err error) {
	first, _, _ := strings.Cut(err.Error(), "\n")
	f := Fault{File: c.file, Line: 1, Col: 1, Text: first}
	if n, scanErr := fmt.Sscanf(first, "[%d:%d]", &f.Line, &f.Col); scanErr == nil && n == 2 {
		_, f.Text, _ = strings.Cut(first, "] ")
	}
	if strings.Contains(f.Text, "found character '\t'") {
		f.Text = "a tab: YAML is indented with blanks"
	}
	c.faults = append(c.faults, f)
}

// depth is a bound of how deeply the text can be nested: open brackets, and
// indentation, of which each level needs one column at least.
func depth(text []byte) int {
	open, deepest := 0, 0
	for line := range strings.SplitSeq(string(text), "\n") {
		dashes := 0
		for i := range len(line) {
			switch line[i] {
			case '[', '{':
				open++
			case ']', '}':
				open = max(open-1, 0)
			case '-', '?':
				if i+1 < len(line) && line[i+1] == ' ' {
					dashes++
				}
			}
			deepest = max(deepest, open, dashes)
		}
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if strings.TrimSpace(line) != "" {
			deepest = max(deepest, indent/4)
		}
	}
	return deepest
}

func (c *check) whole(format string, args ...any) {
	c.fault(1, 1, fmt.Sprintf(format, args...))
}

// fault reports a fault at a line and column.
func (c *check) fault(line, col int, text string) {
	if len(c.faults) < maxFaults {
		c.faults = append(c.faults, Fault{File: c.file, Line: line, Col: col, Text: text})
	}
}

// at reports a fault at a node.
func (c *check) at(n ast.Node, format string, args ...any) {
	if len(c.faults) >= maxFaults {
		return
	}
	f := Fault{File: c.file, Line: 1, Col: 1, Text: fmt.Sprintf(format, args...)}
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		f.Text = "a pack says everything in its place: no anchors, aliases, merged maps or tags"
	}
	if n != nil {
		if t := n.GetToken(); t != nil && t.Position != nil {
			f.Line, f.Col = t.Position.Line, t.Position.Column
		}
	}
	c.faults = append(c.faults, f)
}

// field is one key of a map that is known.
type field struct {
	key  string
	read func(n ast.Node)
}

// fields reads a map by its known keys and tells which were given; nil when it is
// no map. Unknown and doubled keys are faults.
func (c *check) fields(n ast.Node, what string, known []field) (given map[string]ast.Node) {
	entries, ok := c.entries(n, what)
	if !ok {
		return nil
	}
	given = map[string]ast.Node{}
	for _, e := range entries {
		key := e.name
		i := 0
		for i < len(known) && known[i].key != key {
			i++
		}
		if i == len(known) {
			names := make([]string, len(known))
			for j, f := range known {
				names[j] = f.key
			}
			c.at(e.key, "%s has no setting %q%s", what, short(key), nearest(key, names))
			continue
		}
		given[key] = e.value
		known[i].read(e.value)
	}
	return given
}

type entryNode struct {
	name  string
	key   ast.Node
	value ast.Node
}

// entries lists a map's entries in the order of the text.
func (c *check) entries(n ast.Node, what string) (list []entryNode, ok bool) {
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		c.at(n, "%s must be a map of settings", what)
		return nil, false
	}
	seen := map[string]bool{}
	for _, v := range values {
		key, ok := v.Key.(*ast.StringNode)
		if !ok {
			c.at(v.Key, "a setting's name must be a plain word")
			continue
		}
		if seen[key.Value] {
			c.at(key, "%q is given twice", short(key.Value))
			continue
		}
		seen[key.Value] = true
		list = append(list, entryNode{key.Value, key, v.Value})
	}
	return list, true
}

func short(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}
