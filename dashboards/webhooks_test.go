package dashboards

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
)

var secretText = regexp.MustCompile(`whsec_[A-Za-z0-9+/=&#;]+`)

// An owner adds a webhook and is told its secret in that answer only: it stands in
// no session and on no later page.
func TestWebhooks_TheSecretIsInOneAnswerOnly(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	b := d.signIn(d.a.People[identity.OwnerAdmin], "en")
	for want, form := range map[string]url.Values{"Choose what it is to hear of": {"url": {"https://erp.example.com"}}, "public Internet": {"url": {"https://10.0.0.1/"}, "events": {"*"}}} {
		b.post("/webhooks/add", form)
		if page := visible(text(b.get("/webhooks"))); !strings.Contains(page, want) {
			t.Errorf("%v is not refused: %s", form, page)
		}
	}
	w := b.post("/webhooks/add", url.Values{"url": {"https://erp.example.com/in"}, "events": {"case", "work-order"}})
	secret := secretText.FindString(text(w))
	if w.Code != http.StatusOK || secret == "" || !strings.Contains(visible(text(w)), "Cases · Work orders") {
		t.Fatalf("%d %s", w.Code, visible(text(w)))
	}
	at := regexp.MustCompile(`/webhooks/[0-9a-f-]{36}`).FindString(text(w))
	for _, target := range []string{at, "/webhooks", "/machines"} {
		if page := text(b.get(target)); secretText.MatchString(page) {
			t.Errorf("%s tells a secret", target)
		}
	}
	d.do(func(ctx context.Context, tx pgx.Tx) error {
		kept, err := postgres.Value[string](ctx, tx, `SELECT coalesce(string_agg(encode(data, 'escape'), ' '), '') FROM sessions`, nil)
		if strings.Contains(kept, "whsec_") {
			t.Error("a session holds a secret")
		}
		return err
	})
	again := secretText.FindString(text(b.post(at+"/secret", nil)))
	if again == "" || again == secret {
		t.Errorf("the new secret is %q", again)
	}
	if page := visible(text(b.get(at))); !strings.Contains(page, "Old secret signs too until") {
		t.Errorf("nothing says that two secrets sign: %s", page)
	}
}

func TestWebhooks_AreTriedSwitchedAndRemovedOnThePage(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	manager := d.signIn(d.w.Staff[identity.ServiceManager], "en")
	at := "/webhooks/" + d.a.Webhook.ID.String()
	before := strings.Count(text(manager.get(at)), "webhook.test")
	manager.post(at+"/test", nil, "Referer", "http://example.com"+at)
	if n := strings.Count(text(manager.get(at)), "webhook.test"); n != before+1 {
		t.Errorf("%d test events, then %d", before, n)
	}
	d.do(func(ctx context.Context, tx pgx.Tx) error {
		_, err := postgres.Run(ctx, tx, `UPDATE webhook_delivery SET state = 'failed', last_error = 'it refuses connections' WHERE id = @id`, pgx.NamedArgs{"id": d.a.Delivery.ID})
		return err
	})
	zh := d.signIn(d.w.Staff[identity.ServiceManager], "zh")
	if page := visible(text(zh.get(at + "?state=failed"))); !strings.Contains(page, "对方拒绝连接") || !strings.Contains(page, "失败") {
		t.Errorf("why it failed is not said: %s", page)
	}
	manager.post(at+"/replay", url.Values{"since": {"2026-06-01T00:00"}})
	if page := visible(text(manager.get(at))); !strings.Contains(page, "1 on the way again") || strings.Contains(page, "it refuses") && strings.Contains(page, "Failed 0") {
		t.Errorf("%s", page)
	}
	manager.post(at+"/switch", url.Values{"to": {"off"}})
	if page := visible(text(manager.get("/webhooks"))); !strings.Contains(page, "Switched off") {
		t.Errorf("%s", page)
	}
	if page := visible(text(manager.get("/today"))); strings.Contains(page, "nobody answered") {
		t.Error("one that was switched off by hand is told of")
	}
	d.do(func(ctx context.Context, tx pgx.Tx) error {
		_, err := postgres.Run(ctx, tx, `UPDATE webhook SET disabled_reason = 'failing' WHERE id = @id`, pgx.NamedArgs{"id": d.a.Webhook.ID})
		return err
	})
	if page := visible(text(manager.get("/today"))); !strings.Contains(page, "1 webhook(s) switched off because nobody answered") {
		t.Error("the manager is not told that one was switched off")
	}
	manager.post(at+"/switch", url.Values{"to": {"on"}})
	if w := manager.post(at+"/remove", nil); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/webhooks" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := manager.get(at); w.Code != http.StatusNotFound {
		t.Errorf("%d", w.Code)
	}
}
