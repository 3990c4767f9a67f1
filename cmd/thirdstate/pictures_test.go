package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
)

// looks are the pages that each role has, for the checks and the pictures.
func looks(a *maintenancetest.Tenant) map[identity.Role][]string {
	machine, matter, order, call := "/machines/"+a.Machine.ID.String(), "/cases/"+a.Case.ID.String(), "/work-orders/"+a.Order.ID.String(), "/callbacks/"+a.Callback.String()
	return map[identity.Role][]string{
		identity.ServiceManager:         {"/today", "/today?show=promises", "/fault-to-fix", "/intake", "/signals", machine + "/signals", "/webhooks", "/meeting", "/cases", "/machines", machine, matter},
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
