package dashboards

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/internal/webhooks"
	"github.com/thirdstate/thirdstate/machines"
)

// subjects are what one can ask to hear of on the page; single types of event are
// for the API.
var subjects = []string{"finding", "case", "work-order", "callback", "complaint", "promise", "service-plan", "machine", "reading"}

// webhooksPage lists who is told what.
type webhooksPage struct {
	Webhooks  []webhooks.Webhook
	Customers map[uuid.UUID]machines.Customer // whose they are
	Owner     bool
}

func showWebhooks(_ *Site, r *request) error {
	p := webhooksPage{Customers: map[uuid.UUID]machines.Customer{}, Owner: r.who.Role.CustomerScoped()}
	err := r.read(func(tx pgx.Tx) error {
		var err error
		if p.Webhooks, err = webhooks.List(r.ctx, tx); err != nil || p.Owner {
			return err
		}
		customers, err := machines.Customers(r.ctx, tx)
		for _, c := range customers {
			p.Customers[c.ID] = c
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "nav.webhooks", webhooksView(r.view, p))
}

// webhookPage is one receiver and what it was sent. Secret is told where it was
// just made.
type webhookPage struct {
	Webhook    webhooks.Webhook
	Customer   *machines.Customer
	Deliveries machines.Page[webhooks.Delivery]
	Secret     string
	State      string
	Cursor     string
}

func showWebhook(_ *Site, r *request) error {
	id, err := r.id()
	if err != nil {
		return err
	}
	return r.webhook(id, "")
}

// webhook shows one webhook, and its secret where it was just made: the secret is in
// this answer and nowhere else.
func (r *request) webhook(id uuid.UUID, secret string) error {
	p := webhookPage{Secret: secret, Cursor: r.QueryParam("cursor")}
	if p.State = r.QueryParam("state"); p.State != "failed" && p.State != "waiting" {
		p.State = ""
	}
	err := r.read(func(tx pgx.Tx) error {
		var err error
		if p.Webhook, err = webhooks.Get(r.ctx, tx, id); err != nil {
			return err
		}
		if p.Webhook.CustomerID != nil {
			c, err := machines.GetCustomer(r.ctx, tx, *p.Webhook.CustomerID)
			if err != nil {
				return err
			}
			p.Customer = &c
		}
		p.Deliveries, err = webhooks.Deliveries(r.ctx, tx, id, webhooks.Filter{State: p.State, Limit: 30, Cursor: p.Cursor})
		return err
	})
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "nav.webhooks", webhookView(r.view, p))
}

func showDelivery(_ *Site, r *request) error {
	id, err := r.id()
	if err != nil {
		return err
	}
	var d webhooks.Sent
	err = r.read(func(tx pgx.Tx) (err error) {
		d, err = webhooks.GetDelivery(r.ctx, tx, id)
		return err
	})
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "nav.webhooks", deliveryView(r.view, d))
}

// pretty is a body as a person reads it.
func pretty(body json.RawMessage) string {
	var out bytes.Buffer
	if json.Indent(&out, body, "", "  ") != nil {
		return string(body)
	}
	return out.String()
}

func doAddWebhook(r *request, tx pgx.Tx) (string, error) {
	n := webhooks.New{URL: r.FormValue("url"), Description: r.FormValue("description")}
	for _, subject := range r.Request().Form["events"] {
		if subject != "*" {
			subject += ".*"
		}
		n.Events = append(n.Events, subject)
	}
	if len(n.Events) == 0 {
		return "", r.refusal(problem.Invalid, "webhook.no_events")
	}
	w, secret, err := webhooks.Add(r.ctx, tx, r.site.Webhooks, r.now, r.who, n)
	if err != nil {
		return "", r.webhookRefusal(err)
	}
	r.answer = func() error { return r.webhook(w.ID, secret) }
	return "", nil
}

// webhookRefusal says in the reader's language what is wrong with a URL.
func (r *request) webhookRefusal(err error) error {
	if p := problem.As(err); p != nil && p.Kind == problem.Invalid {
		for _, f := range p.Fields {
			if f.Pointer == "/url" {
				return r.refusal(problem.Invalid, "webhook.bad_url")
			}
		}
	}
	return err
}

func doRotateWebhook(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	_, secret, err := webhooks.Rotate(r.ctx, tx, r.site.Webhooks, r.now, time.Now(), r.who, id)
	if err != nil {
		return "", err
	}
	r.answer = func() error { return r.webhook(id, secret) }
	return "", nil
}

func doSwitchWebhook(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	on := r.FormValue("to") == "on"
	_, err = webhooks.Update(r.ctx, tx, r.site.Webhooks, r.now, r.who, id, webhooks.Change{Enabled: &on})
	if on {
		return r.t("done.webhook_on"), err
	}
	return r.t("done.webhook_off"), err
}

func doRemoveWebhook(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	if err := webhooks.Remove(r.ctx, tx, r.now, r.who, id); err != nil {
		return "", err
	}
	r.answer = func() error { return r.Redirect(http.StatusSeeOther, "/webhooks") }
	return r.t("done.webhook_removed"), nil
}

func doTestWebhook(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	_, err = webhooks.Test(r.ctx, tx, r.now, r.who, id)
	return r.t("done.webhook_test"), err
}

func doReplayFailed(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	since, err := r.formTime("since")
	if err != nil {
		return "", err
	}
	if since == nil {
		since = new(time.Time)
	}
	n, err := webhooks.ReplayFailed(r.ctx, tx, r.now, r.who, id, *since)
	return r.t("done.webhook_replayed", n), err
}

func doReplayDelivery(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	_, err = webhooks.Replay(r.ctx, tx, r.now, r.who, id)
	return r.t("done.webhook_replayed", 1), err
}

// hears says in words what a webhook is told.
func (v view) hears(events []string) string {
	words := make([]string, 0, len(events))
	for _, e := range events {
		switch subject, all := strings.CutSuffix(e, ".*"); {
		case e == "*":
			words = append(words, v.T("webhook.everything"))
		case all && v.has("webhook_subject."+subject):
			words = append(words, v.T("webhook_subject."+subject))
		default:
			words = append(words, e)
		}
	}
	return strings.Join(words, " · ")
}

// answered is what a receiver said at the last try.
func (v view) answered(d webhooks.Delivery) string {
	switch {
	case d.LastStatus != nil:
		return strconv.Itoa(*d.LastStatus)
	case d.LastError != "":
		return v.Text(webhooks.Explain(d.LastError))
	}
	return "–"
}

// webhookState is the shape and the words of a webhook's state.
func webhookState(w webhooks.Webhook) (class, key string) {
	switch {
	case w.DisabledReason == "by_hand":
		return "unknown", "webhook_state.by_hand"
	case !w.Enabled:
		return "faulty", "webhook_state." + w.DisabledReason
	case w.FailingSince != nil:
		return "third_state", "webhook_state.retrying"
	}
	return "well", "webhook_state.on"
}

// deliveryState is the shape of a delivery's state.
func deliveryState(d webhooks.Delivery) string {
	return map[string]string{"delivered": "well", "failed": "faulty", "waiting": "unknown"}[d.State]
}
