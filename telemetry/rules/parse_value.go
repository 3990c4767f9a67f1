package rules

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/thirdstate/thirdstate/internal/ucum"
)

// maxDuration bounds every duration of a pack.
const maxDuration = 366 * 24 * time.Hour

var (
	codePattern   = regexp.MustCompile(`^dtc\.[^\s"',=\\*]{0,59}\*?$`)
	idPattern     = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)
	signalPattern = regexp.MustCompile(`^[^\s"',=\\]{1,64}$`)
)

// plain gives a scalar's text.
func plain(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return strings.TrimRight(v.Value.Value, "\n"), true
	case *ast.IntegerNode:
		return v.Token.Value, true
	case *ast.FloatNode:
		return v.Token.Value, true
	}
	return "", false
}

func (c *check) text(n ast.Node, what string) string {
	s, ok := plain(n)
	truth, isTruth := n.(*ast.BoolNode)
	switch {
	case isTruth:
		c.at(n, "%s must be a text: write %q in quotes if it is one", what, truth.Token.Value)
	case !ok:
		c.at(n, "%s must be a text", what)
	case bare(n) && slices.Contains(truths, strings.ToLower(s)):
		c.at(n, "%s: write %q in quotes: without them some readers take it for true or false", what, s)
	case strings.TrimSpace(s) == "":
		c.at(n, "%s is empty", what)
	case utf8.RuneCountInString(s) > maxTextRunes:
		c.at(n, "%s has more than %d characters", what, maxTextRunes)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }):
		c.at(n, "%s holds characters that cannot be shown", what)
	default:
		return s
	}
	return ""
}

// truths are words that YAML 1.1 reads as true or false, and YAML 1.2 as texts.
var truths = []string{"yes", "no", "on", "off"}

// bare says whether a text stands without quotes.
func bare(n ast.Node) bool {
	s, ok := n.(*ast.StringNode)
	return ok && s.Token.Type == token.StringType
}

func (c *check) matching(n ast.Node, what string, pattern *regexp.Regexp, rule string) string {
	s := c.text(n, what)
	if s != "" && !pattern.MatchString(s) {
		c.at(n, "%s %q must be %s", what, short(s), rule)
		return ""
	}
	return s
}

// oneOf reads a word out of a list.
func (c *check) oneOf(n ast.Node, what string, words []string) string {
	s := c.text(n, what)
	if s == "" {
		return ""
	}
	for _, w := range words {
		if s == w {
			return s
		}
	}
	c.at(n, "%s %q is not known%s; known: %s", what, short(s), nearest(s, words), strings.Join(words, ", "))
	return ""
}

// unit reads a unit of measure.
func (c *check) unit(n ast.Node) string {
	s := c.text(n, "unit")
	if s == "" || ucum.Known(s) {
		return s
	}
	hint := ""
	if meant := ucum.Spoken(s); len(meant) > 0 {
		hint = "; did you mean " + strconv.Quote(meant[0]) + "?"
	}
	c.at(n, "unit %q is not known in UCUM%s (\"1\" for none)", short(s), hint)
	return ""
}

// integer reads a whole number.
func (c *check) integer(n ast.Node, what string, low, high int) int {
	text, _ := plain(n)
	v, err := strconv.Atoi(text)
	if err != nil || v < low || v > high {
		c.at(n, "%s must be a whole number between %d and %d", what, low, high)
		return 0
	}
	return v
}

// number reads a finite number.
func (c *check) number(n ast.Node, what string) float64 {
	switch v := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		text := strings.ReplaceAll(v.GetToken().Value, "_", "")
		f, err := strconv.ParseFloat(text, 64)
		if err == nil && math.Abs(f) < 1e300 {
			return f
		}
	case *ast.NanNode, *ast.InfinityNode:
		c.at(n, "%s must be a number that one can reach", what)
		return 0
	}
	c.at(n, "%s must be a decimal number", what)
	return 0
}

func (c *check) optional(n ast.Node, what string) *float64 {
	before := len(c.faults)
	v := c.number(n, what)
	if len(c.faults) > before {
		return nil
	}
	return &v
}

// least reads a number that must not be below low.
func (c *check) least(n ast.Node, what string, low float64) float64 {
	v := c.number(n, what)
	if v < low {
		c.at(n, "%s must be at least %g", what, low)
	}
	return v
}

func (c *check) duration(n ast.Node, what string, limit time.Duration) time.Duration {
	s, _ := plain(n)
	d, ok := duration(s)
	switch {
	case !ok:
		c.at(n, "%s must be a duration such as 90s, 10m, 2h or 3d", what)
	case d < 0 || d > limit:
		c.at(n, "%s must be between 0 and %s", what, words(limit))
	default:
		return d
	}
	return 0
}

// window reads how far a rule looks back.
func (c *check) window(n ast.Node) time.Duration {
	s, _ := plain(n)
	if d, ok := duration(s); ok && (d < shortestWindow || d > longestWindow) {
		c.at(n, "window must be between %s and %s", shortestWindow, words(longestWindow))
		return 0
	}
	return c.duration(n, "window", longestWindow)
}

// duration reads Go's durations and whole or broken days.
func duration(s string) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		v, err := strconv.ParseFloat(days, 64)
		return time.Duration(v * float64(24*time.Hour)), err == nil && math.Abs(v) < 1e5
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}

func words(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
	return d.String()
}

// span reads "2000 rows" or a duration.
func (c *check) span(n ast.Node, what string, least int) Span {
	s, _ := plain(n)
	count, rows := strings.CutSuffix(strings.TrimSpace(s), "rows")
	if !rows {
		d := c.duration(n, what, maxDuration)
		if d == 0 {
			c.at(n, "%s must be longer than nothing", what)
		}
		return Span{For: d}
	}
	v, err := strconv.Atoi(strings.TrimSpace(count))
	if err != nil || v < least || v > 10_000_000 {
		c.at(n, "%s must be at least %d rows, as in %q", what, least, "2000 rows")
		return Span{}
	}
	return Span{Rows: v}
}

// limits reads [low, high]; null or ~ is an open side.
func (c *check) limits(n ast.Node, what string) (low, high *float64) {
	list, ok := n.(*ast.SequenceNode)
	if !ok || len(list.Values) != 2 {
		c.at(n, "%s must be [low, high]", what)
		return nil, nil
	}
	side := func(n ast.Node) *float64 {
		if _, open := n.(*ast.NullNode); open {
			return nil
		}
		return c.optional(n, what)
	}
	low, high = side(list.Values[0]), side(list.Values[1])
	if low != nil && high != nil && *low > *high {
		c.at(n, "%s: %g is above %g", what, *low, *high)
	}
	return low, high
}

// closed makes a range of two sides, open ones as wide as numbers go.
func closed(low, high *float64) Range {
	return Range{or(low, -math.MaxFloat64), or(high, math.MaxFloat64)}
}

// list gives the items of a list; a single one need not be in brackets.
func (c *check) list(n ast.Node, what string) []ast.Node {
	items := []ast.Node{n}
	if s, ok := n.(*ast.SequenceNode); ok {
		items = s.Values
	}
	if len(items) > maxList {
		c.at(n, "%s has %d items, at most %d", what, len(items), maxList)
		return nil
	}
	return items
}

func (c *check) textList(n ast.Node, what string) []string {
	var out []string
	for _, item := range c.list(n, what) {
		out = append(out, c.text(item, what))
	}
	return out
}

// texts reads a list of {en, zh}.
func (c *check) texts(n ast.Node, what string) []Text {
	var out []Text
	for _, item := range c.list(n, what) {
		var t Text
		given := c.fields(item, what, []field{
			{"en", func(n ast.Node) { t.EN = c.text(n, what+" (en)") }},
			{"zh", func(n ast.Node) { t.ZH = c.text(n, what+" (zh)") }},
		})
		if given != nil && len(given) != 2 {
			c.at(item, "%s needs a text in both languages: {en: …, zh: …}", what)
		}
		out = append(out, t)
	}
	return out
}

// nearest suggests the known name that is the fewest changes away.
func nearest(s string, known []string) string {
	best, distance := "", 1+max(2, len(s)/3)
	for _, k := range known {
		if d := edits(s, k); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + strconv.Quote(best) + "?"
}

// edits is the Levenshtein distance; texts beyond 64 bytes are far from everything.
func edits(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
