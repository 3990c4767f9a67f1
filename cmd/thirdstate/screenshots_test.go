//go:build screenshots

package main

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
)

// screenshot is a picture of the README: who looks at what.
type screenshot struct {
	file, login, lang string
	page, press       string // press leads on from the page
	width, height     int64
}

func screenshots() []screenshot {
	return []screenshot{
		{"today", "zhaomin", "en", "/today", "", 1440, 900},
		{"today-zh", "zhaomin", "zh", "/today", "", 1440, 900},
		{"case", "zhaomin", "en", "/cases?q=BC56T2411418", "1418", 1440, 960},
		{"dispatch", "helin", "en", "/dispatch", "", 1440, 900},
		{"fault-to-fix", "zhaomin", "en", "/fault-to-fix", "", 1440, 1100},
		{"meeting", "zhaomin", "en", "/meeting", "", 1440, 900},
		{"my-day", "chenhaibo", "en", "/my-day", "", 360, 780},
		{"owner", "liujianguo", "zh", "/machines", "", 360, 780},
	}
}

// TestScreenshots takes the README's pictures of the demo: make screenshots.
func TestScreenshots(t *testing.T) {
	show := startDemo(t, postgrestest.Folder(t), 0)
	show.untilLive(t)
	browser := chromium(t)
	for _, s := range screenshots() {
		newTab(t, browser, show.url, s.login, s.width < 500).take(s)
	}
	engines := recordings()[0]
	show.importRecorded(t)
	show.replay(t, engines, engines.begin(show.clock.Now()))
	if err := show.settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	engine := screenshot{"recorded", "zhaomin", "en", "/machines?q=FD001-1", "C-MAPSS engine 1", 1440, 1000}
	newTab(t, browser, show.url, engine.login, false).take(engine)
	show.end(t)
}

// untilLive waits until the demo has lived through its history.
func (s *showing) untilLive(t *testing.T) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * patience)
	for s.demo.Status().Phase != "live" {
		select {
		case <-tick.C:
		case err := <-s.ended:
			t.Fatalf("the demo ended by itself: %v", err)
		case <-late:
			t.Fatalf("the history has no end: %+v", s.demo.Status())
		}
	}
}

// take goes where the person goes and keeps what the window shows.
func (b *tab) take(shot screenshot) {
	b.t.Helper()
	options := []chromedp.EmulateViewportOption{}
	if shot.width < 500 {
		options = append(options, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	b.run(chromedp.EmulateViewport(shot.width, shot.height, options...))
	b.open("/demo/login/" + shot.login)
	b.language(shot.lang)
	b.open(shot.page)
	if shot.press != "" {
		b.press(shot.press)
	}
	raw, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("..", "..", "docs", "img", shot.file+".png"), small(b.t, raw), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// small packs a picture with the 256 commonest of its colours; a page has hardly
// more.
func small(t *testing.T, raw []byte) []byte {
	t.Helper()
	picture, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	box := picture.Bounds()
	out := image.NewPaletted(box, commonest(picture))
	draw.Draw(out, box, picture, box.Min, draw.Src)
	var packed bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&packed, out); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func commonest(picture image.Image) color.Palette {
	count := map[color.RGBA]int{}
	box := picture.Bounds()
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			count[color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)]++
		}
	}
	all := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	palette := color.Palette{}
	for _, c := range all[:min(256, len(all))] {
		palette = append(palette, c)
	}
	return palette
}
