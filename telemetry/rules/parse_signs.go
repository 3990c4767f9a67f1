package rules

import (
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// signs reads what was learnt of codes and failures.
func (t *ruleText) signs(n ast.Node) []Sign {
	list, ok := n.(*ast.SequenceNode)
	if !ok || len(list.Values) == 0 || len(list.Values) > maxSigns {
		t.at(n, "signs must be a list of 1 to %d signs, such as {codes: [dtc.spn110.fmi0], failed: 12, of: 30}", maxSigns)
		return nil
	}
	var out []Sign
	for _, item := range list.Values {
		out = append(out, t.sign(item))
	}
	if len(signCodes(out)) > maxSigns {
		t.at(n, "signs name more than %d codes", maxSigns)
	}
	return out
}

func (t *ruleText) sign(n ast.Node) Sign {
	var s Sign
	before := len(t.faults)
	given := t.fields(n, "a sign", []field{
		{"codes", func(n ast.Node) { s.Codes = t.exactCodes(n) }},
		{"hour", func(n ast.Node) {
			hour := t.integer(n, "hour", 0, 23)
			s.Hour = &hour
		}},
		{"failed", func(n ast.Node) { s.Failed = t.integer(n, "failed", 0, mostSeen) }},
		{"of", func(n ast.Node) { s.Of = t.integer(n, "of", 1, mostSeen) }},
	})
	for _, key := range []string{"codes", "failed", "of"} {
		if given != nil && given[key] == nil {
			t.at(n, "a sign needs %q", key)
		}
	}
	if len(t.faults) == before && s.Failed > s.Of {
		t.at(given["failed"], "failed (%d) must not be more than of (%d)", s.Failed, s.Of)
	}
	return s
}

// mostSeen bounds how often something was counted.
const mostSeen = 1_000_000_000

// exactCodes reads one code or two of them.
func (t *ruleText) exactCodes(n ast.Node) []string {
	codes := t.codes(n)
	if len(codes) > 2 {
		t.at(n, "a sign is one code or two")
		return nil
	}
	for i, c := range codes {
		switch {
		case c != "" && c[len(c)-1] == '*':
			t.at(n, "a sign names its codes whole: %q ends in a star", c)
		case c != "" && slices.Contains(codes[:i], c):
			t.at(n, "a sign names %q twice", c)
		}
	}
	return codes
}
