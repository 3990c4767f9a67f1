package main

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/thirdstate/thirdstate/internal/identity"
)

// The service manager has the most pages. His header is one line on a small laptop,
// two on a tablet, and what is administration stands in a menu that opens and closes
// by keyboard, and lies within the window on a phone.
func TestBrowser_TheHeaderFitsAndItsMenuWorksByKeyboard(t *testing.T) {
	t.Parallel()
	p, w, browser := inBrowser(t)
	b := newTab(t, browser, p.url, "manager", false)
	b.signIn(w.Staff[identity.ServiceManager])
	const open = `document.querySelector("details.menu").open`
	for _, lang := range []string{"zh", "en"} {
		b.language(lang)
		for width, lines := range map[int64]int{1280: 1, 1024: 2, 1440: 1} {
			b.width(width)
			b.open("/today")
			at := ask[[]float64](b, `Array.from(document.querySelectorAll("header.top > *, header.top nav > *")).map(function (e) { var r = e.getBoundingClientRect(); return Math.round((r.top + r.bottom) / 2); })`)
			seen := map[string]bool{}
			for _, y := range at {
				seen[fmt.Sprint(int(y)/20)] = true
			}
			if len(seen) > lines {
				t.Errorf("%s, %d px: the header has %d lines: %v", lang, width, len(seen), at)
			}
		}
	}
	b.width(1280)
	b.open("/today")
	ask[bool](b, `document.querySelector("details.menu summary").focus() || true`)
	b.run(chromedp.KeyEvent("\r"))
	b.until(open)
	b.run(chromedp.KeyEvent("\t"))
	if at := ask[string](b, `document.activeElement.getAttribute("href")`); at != "/rules" {
		t.Errorf("behind the menu the Tab key comes to %q", at)
	}
	b.run(chromedp.KeyEvent("\x1b"))
	b.until(`!` + open + ` && document.activeElement.tagName === "SUMMARY"`)
	b.run(chromedp.KeyEvent("\r"))
	b.until(open)
	ask[bool](b, `document.querySelector("h1").click() || true`)
	b.until(`!` + open)

	b.width(390)
	b.open("/signals")
	ask[bool](b, `document.querySelector("details.menu summary").click() || true`)
	b.until(open)
	if sticks := ask[bool](b, `document.documentElement.scrollWidth > innerWidth || document.querySelector(".menu > div").getBoundingClientRect().right > innerWidth`); sticks {
		t.Error("the menu sticks out of a phone's window")
	}
	if now := ask[string](b, `document.querySelector(".menu a[aria-current]").getAttribute("href") + document.querySelector(".menu summary").className`); now != "/signalscurrent" {
		t.Errorf("the menu says that one is at %q", now)
	}
}
