package rules

import (
	"os"
	"strings"
	"testing"
)

func TestREADME_ShowsEveryKindAndSettingAsItIs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for i, part := range strings.Split(string(text), "```") {
		if block, ok := strings.CutPrefix(part, "yaml\n"); ok && i%2 == 1 {
			blocks = append(blocks, block)
		}
	}
	shown := map[string]bool{}
	for _, block := range blocks[1:] {
		pack, err := Parse("README.md", []byte(blocks[0]+"rules:\n"+block))
		if err != nil {
			t.Errorf("%v\n%s", err, block)
			continue
		}
		for _, r := range pack.Rules {
			shown[r.Kind] = true
		}
	}
	for _, k := range Kinds {
		if !shown[k.Name] || !strings.Contains(string(text), "\n### "+k.Name+"\n") {
			t.Errorf("kind %s has no heading and example", k.Name)
		}
		for _, key := range append(k.Needs, k.Takes...) {
			if !strings.Contains(string(text), "`"+key) && !strings.Contains(string(text), "\n  "+key+":") {
				t.Errorf("kind %s: setting %q is not in README.md", k.Name, key)
			}
		}
	}
	for _, f := range functions {
		if !strings.Contains(string(text), f.name) {
			t.Errorf("function %s is not in README.md", f.name)
		}
	}
}
