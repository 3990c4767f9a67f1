package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/thirdstate/thirdstate/internal/identity"
)

// sent is one request at a receiver.
type sent struct {
	header http.Header
	body   []byte
}

// TestBrowser_AnOwnerTriesHisReceiver walks the way of who connects his own system:
// he adds it on the page, copies the secret, sends a test event, and sees on the
// page that his receiver has taken it. The receiver verifies the signature with the
// specification's own library.
func TestBrowser_AnOwnerTriesHisReceiver(t *testing.T) {
	t.Parallel()
	got := make(chan sent, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // what is cut is not verified
		got <- sent{r.Header, body}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(receiver.Close)
	p, w, browser := inBrowser(t, func(s *settings) { s.WebhookAllow = []string{"127.0.0.1"} })

	owner := newTab(t, browser, p.url, "owner", false)
	owner.signIn(w.A.People[identity.OwnerAdmin])
	owner.language("en")
	owner.open("/webhooks")
	owner.run(chromedp.SendKeys(chromedp.CSS("#url"), receiver.URL+"/in"), chromedp.SendKeys(chromedp.CSS("#description"), "our ERP"),
		chromedp.Click(chromedp.CSS(`input[name=events][value=case]`)))
	owner.press("Add and show the secret")
	secret := ask[string](owner, `document.querySelector("code.secret").textContent`)
	if faults := owner.look(24); len(faults) > 0 {
		t.Errorf("the page of a webhook: %s", strings.Join(faults, "\n"))
	}
	at := ask[string](owner, `document.querySelector("form[action$='/test']").action`)
	owner.open(strings.TrimSuffix(strings.TrimPrefix(at, p.url), "/test"))
	owner.never("whsec_")
	owner.press("Send a test event")
	verify, err := standard.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case s := <-got:
		if err := verify.Verify(s.body, s.header); err != nil || !strings.Contains(string(s.body), `"webhook.test"`) {
			t.Errorf("%v: %s", err, s.body)
		}
	case <-timer.C:
		t.Fatal("the receiver was not sent anything")
	}
	owner.until(`document.querySelector("main").innerText.includes("Delivered")`) // without a reload
	owner.sees("204")
	owner.language("zh")
	owner.sees("已送达", "推送记录")
	owner.width(360)
	if faults := owner.look(24); len(faults) > 0 {
		t.Errorf("on a phone: %s", strings.Join(faults, "\n"))
	}
}
