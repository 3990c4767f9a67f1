package dashboards

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/identity"
)

const packOfDesk = `model: BC56
signals:
  hydraulic_oil_temp: {unit: Cel}
rules:
  - {id: boils, kind: threshold, signal: hydraulic_oil_temp, above: 120, title: Oil boils, title_zh: 油温沸腾}
`

// A manager writes a version, sees what is wrong with it beside his text, keeps a good
// one and has it judged on what is stored; somebody else lets it in force, where its
// rule is a shadow until people move it.
func TestRules_FromATextToItsPlaceInTheFleet(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	manager, second, owner := d.signIn(d.w.Staff[identity.ServiceManager], "zh"), d.signIn(d.w.Staff[identity.Admin], "en"), d.signIn(d.a.People[identity.OwnerAdmin], "zh")
	w := manager.post("/rules/add", url.Values{"text": {packOfDesk + "  - {id: odd, kind: treshold, title: odd, title_zh: 怪}\n"}})
	if page := text(w); w.Code != http.StatusUnprocessableEntity || !strings.Contains(page, "title: odd") || !strings.Contains(visible(page), "1 处错误") {
		t.Fatalf("of a bad text: %d %.500s", w.Code, visible(page))
	}
	if w := owner.post("/rules/add", url.Values{"text": {packOfDesk}}); w.Code != http.StatusForbidden {
		t.Errorf("an owner writes rules: %d", w.Code)
	}
	w = manager.post("/rules/add", url.Values{"text": {packOfDesk}, "note": {"首版"}})
	at := w.Header().Get("Location")
	if w.Code != http.StatusSeeOther || !strings.HasPrefix(at, "/rules/") {
		t.Fatalf("of a good text: %d to %q", w.Code, at)
	}
	if page := visible(text(manager.get(at))); !strings.Contains(page, "草稿") || !strings.Contains(page, "首版") || !strings.Contains(page, "另一人") {
		t.Errorf("the version: %.600s", page)
	}
	want(t, "without a back-test", second.act(at, at+"/publish", nil), "refused", "start one first")
	report := d.backtest(manager, at)
	for lang, words := range map[string]string{"zh": "正确的报警", "en": "Flags that were right"} {
		page := text(d.signIn(d.w.Staff[identity.ServiceManager], lang).get(report))
		newForeign(d.site.texts, lang).check(t, lang, page)
		if !strings.Contains(visible(page), words) {
			t.Errorf("%s: %.900s", lang, visible(page))
		}
	}
	if w := owner.get(report); w.Code != http.StatusForbidden {
		t.Errorf("an owner reads it: %d", w.Code)
	}
	want(t, "by who wrote it", manager.act(at, at+"/publish", nil), "refused", "第二人")
	want(t, "by a second person", second.act(at, at+"/publish", url.Values{"note": {"属实"}}), "good", "in force")
	if page := visible(text(second.get("/rules"))); !strings.Contains(page, "Oil boils") || !strings.Contains(page, "Shadow") {
		t.Errorf("its rule is not among those to look at: %.900s", page)
	}
	want(t, "two stages at once", second.act(at, at+"/stage", url.Values{"rule": {"boils"}, "stage": {"dispatch"}, "reason": {"sure"}}), "refused", "one stage")
	want(t, "one stage", second.act(at, at+"/stage", url.Values{"rule": {"boils"}, "stage": {"advise"}, "reason": {"sure"}}), "good", "stage is set")
	f := newForeign(d.site.texts, "zh")
	f.check(t, "the version in force", text(manager.get(at)))
	want(t, "taken away", second.act(at, at+"/withdraw", nil), "good", "no longer in force")
}

// backtest has what stands at an address judged, and says where the report is.
func (d *desk) backtest(b *browser, at string) string {
	d.t.Helper()
	w := b.post(at+"/backtest", nil)
	report := w.Header().Get("Location")
	if w.Code != http.StatusSeeOther || !strings.HasPrefix(report, "/backtests/") {
		d.t.Fatalf("judged: %d to %q %.300s", w.Code, report, visible(text(w)))
	}
	done := make(chan error, 1)
	ctx, end := context.WithCancel(d.t.Context())
	go func() { done <- d.site.Gate.Run(ctx) }()
	d.until(func() bool { return strings.Contains(visible(text(b.get(report))), "完成") })
	end()
	if err := <-done; err != nil {
		d.t.Fatal(err)
	}
	return report
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
