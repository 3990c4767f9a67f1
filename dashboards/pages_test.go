package dashboards

import (
	"html"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/thirdstate/thirdstate/internal/identity"
)

var (
	scripts = regexp.MustCompile(`(?s)<(script|style|svg)\b.*?</(script|style|svg)>`)
	// named is what programs call it, in no language.
	named  = regexp.MustCompile(`(?s)<(code|pre|span|option)\b[^>]*translate="no"[^>]*>.*?</(code|pre|span|option)>`)
	tags   = regexp.MustCompile(`<[^>]*>`)
	spoken = regexp.MustCompile(`\b(?:title|placeholder|aria-label|alt)="([^"]*)"`)
	asset  = regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"`)
	// dottedWord is what a missing text looks like: its key.
	word      = regexp.MustCompile(`[A-Za-z]{3,}`)
	notOurs   = regexp.MustCompile(`https?://\S*|Aardvark[-\w]*|Quokka[-\w]*|Beichen|BC56|SPN\d+-FMI\d+|English|MiB|\bcase\b`)
	mostBytes = 150 << 10
)

// visible is what a person reads or hears of a page.
func visible(page string) string {
	page = named.ReplaceAllString(scripts.ReplaceAllString(page, " "), " ")
	var said []string
	for _, m := range spoken.FindAllStringSubmatch(page, -1) {
		said = append(said, m[1])
	}
	return html.UnescapeString(tags.ReplaceAllString(page, " ") + " " + strings.Join(said, " "))
}

// Every page, for each role that may open it, in both languages, with little and
// with much data: it is there, in its language, and small enough.
func TestPages_EachRoleInEachLanguage(t *testing.T) {
	t.Parallel()
	for _, much := range []bool{false, true} {
		d := newDesk(t, nil)
		if much {
			d.fill(60, "Aardvark 泵车")
		}
		roles := identity.Roles
		if much { // what is long is long for all; these two see the most, and the least
			roles = []identity.Role{identity.Admin, identity.OwnerAdmin}
		}
		for _, role := range roles {
			for _, lang := range []string{"zh", "en"} {
				b := d.signIn(d.person(role), lang)
				f := newForeign(d.site.texts, lang)
				for _, p := range pages {
					if p.Path == "/" || strings.HasPrefix(p.Path, "/photos") || strings.HasSuffix(p.Path, "/chart") || strings.HasSuffix(p.Path, "/bundle") || strings.HasPrefix(p.Path, "/backtests") || strings.HasSuffix(p.Path, "/preview") {
						continue
					}
					w := b.get(d.address(p.Path))
					name := string(role) + " " + lang + " " + p.Path
					allowed := slices.Contains(p.Roles, role)
					if !allowed && w.Code != http.StatusForbidden {
						t.Errorf("%s: %d, not allowed", name, w.Code)
					}
					if allowed && w.Code != http.StatusOK {
						t.Errorf("%s: %d %.500s", name, w.Code, visible(text(w)))
					}
					f.check(t, name, text(w))
					if allowed && much && lang == "en" {
						if size := d.weight(b, d.address(p.Path)); size > mostBytes {
							t.Errorf("%s: %d bytes on the first load", name, size)
						}
					}
				}
			}
		}
	}
}

// foreign finds, on a page in a language, texts of the other one and keys that
// have no text.
type foreign struct {
	lang string
	keys *regexp.Regexp
	not  map[string]string // by key
}

func newForeign(t *texts, lang string) foreign {
	f := foreign{lang: lang, not: map[string]string{}}
	var prefixes []string
	for key := range t.known[lang] {
		if prefix, _, dotted := strings.Cut(key, "."); dotted && !slices.Contains(prefixes, prefix) {
			prefixes = append(prefixes, prefix)
		}
	}
	f.keys = regexp.MustCompile(`(?:^|[^\w./-])((?:` + strings.Join(prefixes, "|") + `)\.[a-z_]+)\b`)
	for key, text := range t.known[map[string]string{"zh": "en", "en": "zh"}[lang]] {
		if strings.Contains(text, "%") || text == t.known[lang][key] || lang == "en" && len(text) < 9 || lang == "zh" && len(text) < 6 || text == "English" {
			continue
		}
		f.not[key] = text
	}
	return f
}

func (f foreign) check(t *testing.T, name, page string) {
	t.Helper()
	seen := visible(page)
	if m := f.keys.FindStringSubmatch(seen); m != nil {
		t.Errorf("%s: no text for %s", name, m[1])
	}
	for key, text := range f.not {
		if strings.Contains(seen, text) && regexp.MustCompile(`(^|[^\p{L}])`+regexp.QuoteMeta(text)+`($|[^\p{L}])`).MatchString(seen) {
			t.Errorf("%s: %s is in the wrong language", name, key)
		}
	}
	if f.lang != "zh" {
		return
	}
	if found := word.FindAllString(notOurs.ReplaceAllString(seen, ""), -1); len(found) > 0 {
		t.Errorf("%s: English is left: %q", name, slices.Compact(found))
	}
	if !strings.Contains(page, `lang="zh-CN"`) {
		t.Errorf("%s: not marked as Chinese", name)
	}
}

// weight is what a first visit loads: the page and its assets, compressed.
func (d *desk) weight(b *browser, target string) int {
	page := b.get(target, "Accept-Encoding", "gzip")
	size := page.Body.Len()
	for _, m := range asset.FindAllStringSubmatch(text(b.get(target)), -1) {
		w := b.get(m[1], "Accept-Encoding", "gzip")
		if w.Code != http.StatusOK || w.Header().Get("Content-Encoding") != "gzip" {
			d.t.Errorf("%s: %d %v", m[1], w.Code, w.Header())
		}
		size += w.Body.Len()
	}
	return size
}

// What people write is shown, never run.
func TestPages_EscapeHostileNames(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	const hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>&amp;`
	d.fill(2, hostile)
	b := d.signIn(d.w.Staff[identity.ServiceManager], "en")
	seen := 0
	for _, target := range []string{"/today", "/cases", "/machines", "/meeting", "/cases?q=" + url.QueryEscape(hostile), "/machines?q=" + url.QueryEscape(hostile) + "&health=" + url.QueryEscape(`"><script>`),
		"/today?show=" + url.QueryEscape(`"><script>alert(1)</script>`), "/caller?phone=" + url.QueryEscape(hostile)} {
		w := b.get(target)
		page := text(w)
		if w.Code >= 500 || strings.Contains(page, "<script>alert") || strings.Contains(page, "<img src=x") || strings.Contains(page, `"><script>`) {
			t.Errorf("%s: %d, not escaped", target, w.Code)
		}
		if strings.Contains(page, "&lt;script&gt;alert(1)") {
			seen++
		}
	}
	if seen < 5 {
		t.Errorf("only %d pages show the name at all", seen)
	}
}

// The list of a page's parameters is what the generated tenancy test tries.
func TestPages_NameTheirParameters(t *testing.T) {
	t.Parallel()
	read := regexp.MustCompile(`QueryParam\("([a-z_]+)"\)`)
	var known []string
	for _, p := range pages {
		known = append(known, p.Params...)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range read.FindAllStringSubmatch(string(b), -1) {
			if !slices.Contains(known, m[1]) {
				t.Errorf("%s reads the parameter %s, which no page names", name, m[1])
			}
		}
	}
}

func TestPages_SendStrangersToSignIn(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	b := &browser{d: d, lang: "en"}
	for _, p := range pages {
		if w := b.get(d.address(p.Path)); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/sign-in" {
			t.Errorf("%s: %d %s", p.Path, w.Code, w.Header().Get("Location"))
		}
	}
	for _, a := range actions {
		if w := b.post(d.address(a.Path), url.Values{}); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/sign-in" {
			t.Errorf("%s: %d %s", a.Path, w.Code, w.Header().Get("Location"))
		}
	}
	if w := b.get("/today", "HX-Request", "true"); w.Code != http.StatusUnauthorized || w.Header().Get("HX-Redirect") != "/sign-in" {
		t.Errorf("a part of a page: %d %v", w.Code, w.Header())
	}
	if w := b.get("/nothing/here"); w.Code != http.StatusNotFound || !strings.Contains(text(w), "<main") {
		t.Errorf("an unknown address: %d %.200s", w.Code, text(w))
	}
	if w := b.get("/sign-in"); w.Code != http.StatusOK || strings.Contains(text(w), "one-click") {
		t.Errorf("the sign-in page: %d %.200s", w.Code, text(w))
	}
}
