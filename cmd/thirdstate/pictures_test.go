package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
)

// looks are the pages that each role has, for the checks and the pictures.
func looks(a *maintenancetest.Tenant) map[identity.Role][]string {
	machine, matter, order, call := "/machines/"+a.Machine.ID.String(), "/cases/"+a.Case.ID.String(), "/work-orders/"+a.Order.ID.String(), "/callbacks/"+a.Callback.String()
	return map[identity.Role][]string{
		identity.ServiceManager:         {"/today", "/today?show=promises", "/fault-to-fix", "/intake", "/meeting", "/cases", "/machines", machine, matter},
		identity.Dispatcher:             {"/dispatch", order},
		identity.FieldEngineer:          {"/my-day", order, machine},
		identity.CallCentre:             {"/callbacks", call, "/caller?phone=%2B" + a.Phone[1:], "/caller?phone=110"},
		identity.OwnerAdmin:             {"/machines", machine, matter},
		identity.CustomerRepresentative: {"/meeting", matter},
	}
}

// TestBrowser_PagesLookRight looks at every page of every role, wide and narrow,
// light and dark, in both languages: names, contrast, sizes, nothing sticks out.
// With PICTURES=folder each is also taken as a picture.
func TestBrowser_PagesLookRight(t *testing.T) {
	t.Parallel()
	p, w, browser := inBrowser(t)
	for role, pages := range looks(w.A) {
		person, staff := w.Staff[role]
		if !staff {
			person = w.A.People[role]
		}
		b := newTab(t, browser, p.url, string(role), false)
		b.signIn(person)
		for _, lang := range []string{"zh", "en"} {
			b.language(lang)
			for _, page := range pages {
				b.lookAround(role, lang, page)
			}
		}
	}
	stranger := newTab(t, browser, p.url, "stranger", false)
	stranger.lookAround("stranger", "zh", "/sign-in")
	stranger.lookAround("stranger", "zh", "/nothing")
}

func (b *tab) lookAround(role identity.Role, lang, page string) {
	b.t.Helper()
	for _, width := range []int64{1440, 360} {
		b.width(width)
		b.open(page)
		for _, theme := range []string{"light", "dark"} {
			ask[string](b, `document.documentElement.dataset.theme = "`+theme+`"`)
			smallest := 24
			if role == identity.FieldEngineer && width == 360 {
				smallest = 48 // gloves
			}
			name := fmt.Sprintf("%s %s %s %d %s", role, lang, page, width, theme)
			if faults := b.look(smallest); len(faults) > 0 {
				b.t.Errorf("%s:\n  %s", name, strings.Join(faults, "\n  "))
			}
			if dir := os.Getenv("PICTURES"); dir != "" {
				b.picture(filepath.Join(dir, strings.Trim(strings.NewReplacer("/", "_", "?", "_", " ", "_", "=", "_", "%", "").Replace(name), "_")+".png"))
			}
		}
	}
}

// shots are the pictures of the README, taken of the demo.
var shots = []struct{ file, login, lang, page, words string }{
	{"today-zh", "zhaomin", "zh", "/today", ""},
	{"case-en", "zhaomin", "en", "/cases?q=1418", "1418"},
	{"machine-zh", "zhaomin", "zh", "/machines?q=BC56T2411418", "1418"},
	{"dispatch-en", "helin", "en", "/dispatch", ""},
	{"my-day-zh-phone", "chenhaibo", "zh", "/my-day", ""},
	{"order-en-phone", "chenhaibo", "en", "/my-day", "Open the order"},
	{"owner-zh-phone", "liujianguo", "zh", "/machines", ""},
	{"caller-en", "wangqian", "en", "/caller?phone=%2B8613807340417", ""},
	{"fault-to-fix-en", "zhaomin", "en", "/fault-to-fix", ""},
	{"meeting-zh", "lizhenhua", "zh", "/meeting", ""},
}

// TestScreenshots takes the pictures of the README when SCREENSHOTS names a
// folder: make screenshots. The demo is what they show, so it is started.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	show := startDemo(t, postgrestest.Folder(t))
	select {
	case <-show.demo.Opened():
	case <-t.Context().Done():
		t.Fatal("the demo has opened no case")
	}
	browser := chromium(t)
	for _, s := range shots {
		b := newTab(t, browser, show.url, s.login, strings.HasSuffix(s.file, "-phone"))
		b.open("/demo/login/" + s.login)
		b.language(s.lang)
		b.until(`!document.querySelector(".demo-bar button[disabled]")`) // the history has been lived through
		b.open(s.page)
		if s.words != "" {
			b.press(s.words)
		}
		b.shot(filepath.Join(dir, s.file+".png"))
	}
	show.end(t)
}

// shot takes what the window shows, small enough for a README.
func (b *tab) shot(file string) {
	b.t.Helper()
	raw, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		b.t.Fatal(err)
	}
	var small bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&small, fewColours(picture)); err != nil {
		b.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(file, small.Bytes(), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// fewColours keeps a picture's 256 commonest colours; a page has hardly more.
func fewColours(picture image.Image) image.Image {
	count := map[color.Color]int{}
	box := picture.Bounds()
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			count[picture.At(x, y)]++
		}
	}
	all := slices.SortedFunc(maps.Keys(count), func(a, b color.Color) int { return count[b] - count[a] })
	out := image.NewPaletted(box, all[:min(256, len(all))])
	draw.Draw(out, box, picture, box.Min, draw.Src)
	return out
}

// picture takes what stands on the page from top to bottom.
func (b *tab) picture(file string) {
	b.t.Helper()
	raw, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		b.t.Fatal(err)
	}
}
