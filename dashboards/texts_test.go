package dashboards

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var usedKey = regexp.MustCompile(`(?:v\.T\(|r\.t\(|r\.refusal\(problem\.\w+, |@badge\(v, "[a-z_]*", |@empty\(v, )"([a-z_0-9.]*[a-z_0-9])"`)
var keyPrefix = regexp.MustCompile(`(?:v\.T|r\.t)\("([a-z_0-9.]+\.)"\s*\+`)
var verb = regexp.MustCompile(`%[-+0-9.*]*[a-z]`)

// Every text exists in both languages, with the same verbs in it, and every text
// that a page asks for exists.
func TestTexts_AreCompleteInBothLanguages(t *testing.T) {
	texts, err := loadTexts()
	if err != nil {
		t.Fatal(err)
	}
	zh, en := texts.known["zh"], texts.known["en"]
	for key, text := range zh {
		other, ok := en[key]
		if !ok {
			t.Errorf("%s is missing in English", key)
		}
		if got, want := strings.Join(verb.FindAllString(other, -1), " "), strings.Join(verb.FindAllString(text, -1), " "); got != want {
			t.Errorf("%s: verbs %q in English, %q in Chinese", key, got, want)
		}
	}
	for key := range en {
		if _, ok := zh[key]; !ok {
			t.Errorf("%s is missing in Chinese", key)
		}
	}
	for key := range usedKeys(t) {
		if strings.HasSuffix(key, ".") {
			if !hasPrefix(zh, key) {
				t.Errorf("no text begins with %s", key)
			}
		} else if _, ok := zh[key]; !ok {
			t.Errorf("%s is used by a page and has no text", key)
		}
	}
	for _, p := range pages {
		if _, ok := zh[p.Key]; p.Key != "" && !ok {
			t.Errorf("%s: navigation entry %s has no text", p.Path, p.Key)
		}
	}
}

func usedKeys(t *testing.T) map[string]bool {
	t.Helper()
	used := map[string]bool{}
	for _, pattern := range []string{"*.go", "*.templ"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_templ.go") || strings.HasSuffix(name, "_test.go") {
				continue
			}
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, re := range []*regexp.Regexp{usedKey, keyPrefix} {
				for _, m := range re.FindAllStringSubmatch(string(b), -1) {
					used[m[1]] = true
				}
			}
		}
	}
	return used
}

func hasPrefix(texts map[string]string, prefix string) bool {
	for key := range texts {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}
