package dashboards

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/telemetry/gate"
)

// A manager writes a version, sees what is wrong with it beside his text, keeps a good
// one, has it judged on what is stored and reads what it came to.
func TestRules_FromATextToWhatItWouldHaveDone(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	manager, owner := d.signIn(d.w.Staff[identity.ServiceManager], "zh"), d.signIn(d.a.People[identity.OwnerAdmin], "zh")
	good, err := os.ReadFile("../examples/rules/pump-station.yaml")
	if err != nil {
		t.Fatal(err)
	}
	bad := string(good) + "  - {id: odd, kind: treshold, title: odd, title_zh: 怪}\n"
	w := manager.post("/rules/add", url.Values{"text": {bad}, "note": {"first"}})
	if page := text(w); w.Code != http.StatusUnprocessableEntity || !strings.Contains(page, "title: odd") || !strings.Contains(visible(page), "1 处错误") {
		t.Fatalf("of a bad text: %d %.500s", w.Code, visible(page))
	}
	if w := owner.post("/rules/add", url.Values{"text": {string(good)}}); w.Code != http.StatusForbidden {
		t.Errorf("an owner writes rules: %d", w.Code)
	}
	w = manager.post("/rules/add", url.Values{"text": {string(good)}, "note": {"first"}})
	at := w.Header().Get("Location")
	if w.Code != http.StatusSeeOther || !strings.HasPrefix(at, "/rules/") {
		t.Fatalf("of a good text: %d to %q", w.Code, at)
	}
	if page := visible(text(manager.get(at))); !strings.Contains(page, "草稿") || !strings.Contains(page, "first") {
		t.Errorf("the version: %.600s", page)
	}
	w = manager.post("/rules/"+gate.WatcherHash+"/backtest", nil)
	report := w.Header().Get("Location")
	if w.Code != http.StatusSeeOther || !strings.HasPrefix(report, "/backtests/") {
		t.Fatalf("judged: %d to %q %.300s", w.Code, report, visible(text(w)))
	}
	if page := visible(text(manager.get(report))); !strings.Contains(page, "排队中") {
		t.Errorf("it does not wait: %.600s", page)
	}
	done := make(chan error, 1)
	ctx, end := context.WithCancel(t.Context())
	go func() { done <- d.site.Gate.Run(ctx) }()
	d.until(func() bool { return strings.Contains(visible(text(manager.get(report))), "完成") })
	end()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for lang, words := range map[string]string{"zh": "正确的报警", "en": "Flags that were right"} {
		b := d.signIn(d.w.Staff[identity.ServiceManager], lang)
		page := text(b.get(report))
		newForeign(d.site.texts, lang).check(t, lang, page)
		if !strings.Contains(visible(page), words) {
			t.Errorf("%s: %.900s", lang, visible(page))
		}
	}
	if w := owner.get(report); w.Code != http.StatusForbidden {
		t.Errorf("an owner reads it: %d", w.Code)
	}
}

// until waits for what another goroutine does.
func (d *desk) until(done func() bool) {
	d.t.Helper()
	tick, late := time.NewTicker(20*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			d.t.Fatal("not within a minute")
		}
	}
}
