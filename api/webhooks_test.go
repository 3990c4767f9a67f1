package api

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/thirdstate/thirdstate/internal/webhooks"
)

func TestWebhooks_AreMadeChangedTriedAndRemoved(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	own, foreign := "/webhooks/"+h.a.Webhook.ID.String(), "/webhooks/"+h.b.Webhook.ID.String()
	sent := "/webhook-deliveries/" + h.a.Delivery.ID.String()
	const body = `{"url":"https://hooks.example.com/x","description":"ERP","events":["case.opened","work-order.*"]}`
	h.run(t, []scenario{
		{"an owner makes one of his own", owner, false, post, "/webhooks", body, nil, 201, []string{`"secret":"whsec_`, `"customerId":"` + h.a.Customer.ID.String(), `"enabled":true`}, nil, 1},
		{"the secret is never told again", owner, false, get, "/webhooks", "", nil, 200, []string{"hooks.example.com", h.a.Mark}, []string{"whsec_", "secret\"", h.b.Mark}, 0},
		{"a manager makes one of the service organisation", manager, false, post, "/webhooks", body, nil, 201, []string{`"customerId":null`}, nil, 1},
		{"and sees all", manager, false, get, "/webhooks", "", nil, 200, []string{h.a.Mark, h.b.Mark}, nil, 0},
		{"a viewer does not", viewer, false, get, "/webhooks", "", nil, 403, nil, nil, 0},
		{"nor an engineer", engineer, false, get, own, "", nil, 403, nil, nil, 0},
		{"not for another customer", owner, false, post, "/webhooks", `{"url":"https://x.example","events":["*"],"customerId":"` + h.b.Customer.ID.String() + `"}`, nil, 404, nil, nil, 0},
		{"not to inside", manager, false, post, "/webhooks", `{"url":"https://169.254.169.254/latest","events":["*"]}`, nil, 400, []string{`"/url"`}, nil, 0},
		{"not for what never happens", manager, false, post, "/webhooks", `{"url":"https://x.example","events":["case.close"]}`, nil, 400, []string{`"/events/0"`}, nil, 0},
		{"an owner hears of nothing else", owner, false, get, foreign, "", nil, 404, nil, nil, 0},
		{"nor changes it", owner, false, http.MethodPatch, foreign, `{"enabled":false}`, now, 404, nil, nil, 0},
		{"nor sees what it was sent", owner, false, get, foreign + "/deliveries", "", nil, 404, nil, nil, 0},
		{"a change names its version", owner, false, http.MethodPatch, own, `{"events":["case.*"]}`, nil, 428, nil, nil, 0},
		{"a change", owner, false, http.MethodPatch, own, `{"events":["case.*"],"version":1}`, nil, 200, []string{`"events":["case.*"]`, `"version":2`}, nil, 1},
		{"of an old version", owner, false, http.MethodPatch, own, `{"enabled":false,"version":1}`, nil, 412, nil, nil, 0},
		{"a new secret", owner, false, post, own + "/secret", "", nil, 200, []string{`"secret":"whsec_`, `"oldSecretUntil":"`}, nil, 1},
		{"what was sent", owner, false, get, own + "/deliveries?state=waiting", "", nil, 200, []string{"webhook.test", `"tries":0`}, nil, 0},
		{"with its body", owner, false, get, sent, "", nil, 200, []string{`"body":{"id":"` + h.a.Delivery.EventID.String()}, nil, 0},
		{"once more", owner, false, post, sent + "/replay", "", nil, 200, []string{`"replays":1`}, nil, 1},
		{"what failed, once more", owner, false, post, own + "/replay", `{"since":"2026-06-01T00:00:00Z"}`, nil, 200, []string{`"deliveries":0`}, nil, 1},
		{"a test event", owner, false, post, own + "/test", "", nil, 200, []string{`"type":"webhook.test"`}, nil, 1},
		{"switched off", owner, false, http.MethodPatch, own, `{"enabled":false}`, now, 200, []string{`"disabledReason":"by_hand"`}, nil, 1},
		{"nothing is tried", owner, false, post, own + "/test", "", nil, 409, nil, nil, 0},
		{"removed", owner, false, remove, own, "", nil, 204, nil, nil, 1},
		{"and gone", owner, false, get, sent, "", nil, 404, nil, nil, 0},
		{"what may be asked for", owner, false, get, "/webhook-events", "", nil, 200, []string{`"case.opened"`, `"work-order.completed"`, `"public":false`}, nil, 0},
	})
}

func TestWebhooks_DeliveriesArePaged(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	own := "/webhooks/" + h.a.Webhook.ID.String()
	for range 6 {
		if w := h.ask(manager, post, own+"/test", ""); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	seen, pages := map[string]bool{}, 0
	for next := own + "/deliveries?limit=3"; next != ""; pages++ {
		var page Items[webhooks.Delivery]
		if err := json.Unmarshal(h.ask(owner, get, next, "").Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		for _, d := range page.Items {
			seen[d.ID.String()] = true
		}
		next = ""
		if page.Next != "" {
			next = own + "/deliveries?limit=3&cursor=" + page.Next
		}
	}
	if len(seen) != 7 || pages != 3 {
		t.Errorf("%d deliveries on %d pages", len(seen), pages)
	}
	if w := h.ask(owner, get, own+"/deliveries?cursor=nonsense", ""); w.Code != http.StatusBadRequest {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
