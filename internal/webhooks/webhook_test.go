package webhooks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/internal/webhooks"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
)

var errUndo = errors.New("undo")

func types(page machines.Page[webhooks.Delivery]) map[string]int {
	n := map[string]int{}
	for _, d := range page.Items {
		n[d.Type]++
	}
	return n
}

// A customer's webhook hears of his own things, in the words that are for him;
// the service organisation's hears of all, and of what a customer does.
func TestEvents_GoToWhomTheyConcern(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	ours, _ := p.add(p.manager, "https://ours.example.com", "*")
	hisA, _ := p.add(p.a.owner, "https://a.example.com", "*")
	hisB, _ := p.add(p.b.owner, "https://b.example.com", "*")
	cases, _ := p.add(p.a.owner, "https://a.example.com/cases", "case.*", "work-order.completed")
	if hisA.CustomerID == nil || *hisA.CustomerID != p.a.ID || ours.CustomerID != nil {
		t.Fatalf("%+v %+v", hisA, ours)
	}
	start := len(p.deliveries(ours).Items) // that the others were added
	c := p.open(p.a, "noise")
	p.do(p.a.owner, func(ctx context.Context, tx pgx.Tx) error { // a customer acts himself
		_, err := maintenance.OpenRequest(ctx, tx, now, p.a.owner, maintenance.Request{MachineID: p.a.Machine.ID, FailureMode: "leak", OperatorPhone: phone, Description: "漏油"})
		return err
	})
	p.do(p.manager, func(ctx context.Context, tx pgx.Tx) error {
		if err := maintenance.Comment(ctx, tx, now, p.manager, c.ID, machines.Text{ZH: "内部说明", EN: "among us"}); err != nil {
			return err
		}
		order, err := maintenance.ScheduleOrder(ctx, tx, now, p.manager, maintenance.NewOrder{CaseID: &c.ID, MachineID: c.MachineID, Kind: "repair", Title: "检查"})
		if err != nil {
			return err
		}
		if _, err := maintenance.MoveOrder(ctx, tx, now, p.manager, order.ID, maintenance.OrderMove{To: maintenance.OrderCancelled, Reason: "no longer needed"}); err != nil {
			return err
		}
		return machines.Audit(ctx, tx, now, p.manager, "assignment", order.ID, &c.MachineID, c.CustomerID, "added", nil, map[string]any{"score": 77})
	})
	a, b, all := types(p.deliveries(hisA)), types(p.deliveries(hisB)), types(p.deliveries(ours))
	if a["case.opened"] != 2 || a["case.noted"] != 1 || a["work-order.cancelled"] != 1 || a["webhook.added"]+a["assignment.added"]+a["user.added"] != 0 {
		t.Errorf("customer A hears %v", a)
	}
	if len(b) != 0 {
		t.Errorf("customer B hears of A: %v", b)
	}
	if all["case.opened"] != 2 || all["work-order.cancelled"] != 1 || all["assignment.added"] != 1 || len(p.deliveries(ours).Items) <= start {
		t.Errorf("we hear %v", all)
	}
	if c := types(p.deliveries(cases)); c["case.opened"] != 2 || c["work-order.cancelled"] != 0 || c["case.noted"] != 1 {
		t.Errorf("who asked for cases hears %v", c)
	}
	for _, d := range p.deliveries(hisA).Items {
		body := string(p.delivery(d.ID).Body)
		for _, hidden := range []string{"among us", "内部说明", "operatorPhone", "assignee", "playedBy", "technicianId", "travelKm", "score", phone} {
			if strings.Contains(body, hidden) {
				t.Errorf("%s tells a customer %s: %s", d.Type, hidden, body)
			}
		}
	}
}

// Machines that are heard for the first time are written down together; an owner
// still hears of each of his own, and of no other's.
func TestEvents_OfManyMachinesAtOnceGoToTheirOwners(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	ours, _ := p.add(p.manager, "https://ours.example.com", "machine.health")
	hisA, _ := p.add(p.a.owner, "https://a.example.com", "machine.*")
	hisB, _ := p.add(p.b.owner, "https://b.example.com", "case.*")
	p.do(p.manager, func(ctx context.Context, tx pgx.Tx) error {
		return machines.SetSeen(ctx, tx, []machines.Seen{{MachineID: p.a.Machine.ID, At: now}, {MachineID: p.b.Machine.ID, At: now},
			{MachineID: p.a.Bare.ID, At: now.Add(time.Minute)}, {MachineID: p.b.Bare.ID, At: now}})
	})
	for _, w := range []struct {
		webhooks.Webhook
		want []uuid.UUID
	}{{ours, []uuid.UUID{p.a.Machine.ID, p.a.Bare.ID, p.b.Machine.ID, p.b.Bare.ID}}, {hisA, []uuid.UUID{p.a.Machine.ID, p.a.Bare.ID}}, {hisB, nil}} {
		told := map[uuid.UUID]machines.WebhookEvent{}
		list := p.deliveries(w.Webhook).Items
		for _, d := range list {
			var e machines.WebhookEvent
			if err := json.Unmarshal(p.delivery(d.ID).Body, &e); err != nil {
				t.Fatal(err)
			}
			told[e.Data.EntityID] = e
		}
		if len(list) != len(w.want) {
			t.Errorf("%s is told %d times, not %d", w.URL, len(list), len(w.want))
		}
		for _, id := range w.want {
			if e := told[id]; e.Type != "machine.health" || !strings.Contains(string(e.Data.After), `"health":"well"`) {
				t.Errorf("%s is told of %s: %+v", w.URL, id, e)
			}
		}
		if e, is := told[p.a.Bare.ID]; is && !e.Timestamp.Equal(now.Add(time.Minute)) {
			t.Errorf("%s is told that %s was heard at %s", w.URL, p.a.Bare.Key, e.Timestamp)
		}
	}
}

func TestWebhooks_AreTheirCustomersOwn(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	ours, _ := p.add(p.manager, "https://ours.example.com", "*")
	his, _ := p.add(p.a.owner, "https://a.example.com", "*")
	d := p.test(his)
	for name, who := range map[string]identity.Principal{"another's owner": p.b.owner} {
		for what, fn := range map[string]func(ctx context.Context, tx pgx.Tx, id uuid.UUID) error{
			"get": func(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
				_, err := webhooks.Get(ctx, tx, id)
				return err
			},
			"test": func(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
				_, err := webhooks.Test(ctx, tx, now, who, id)
				return err
			},
			"remove": func(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
				return webhooks.Remove(ctx, tx, now, who, id)
			},
			"change": func(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
				_, err := webhooks.Update(ctx, tx, maintenancetest.Webhooks(), now, who, id, webhooks.Change{Events: []string{"*"}})
				return err
			},
			"rotate": func(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
				_, _, err := webhooks.Rotate(ctx, tx, maintenancetest.Webhooks(), now, p.onTheWall(), who, id)
				return err
			},
			"deliveries": func(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
				_, err := webhooks.Deliveries(ctx, tx, id, webhooks.Filter{})
				return err
			},
			"replay all": func(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
				_, err := webhooks.ReplayFailed(ctx, tx, now, who, id, time.Time{})
				return err
			},
			"delivery": func(ctx context.Context, tx pgx.Tx, _ uuid.UUID) error {
				_, err := webhooks.GetDelivery(ctx, tx, d.ID)
				return err
			},
			"replay": func(ctx context.Context, tx pgx.Tx, _ uuid.UUID) error {
				_, err := webhooks.Replay(ctx, tx, now, who, d.ID)
				return err
			},
		} {
			for _, id := range []uuid.UUID{his.ID, ours.ID} {
				if err := p.try(who, func(ctx context.Context, tx pgx.Tx) error { return fn(ctx, tx, id) }); problem.Of(err) != problem.NotFound {
					t.Errorf("%s: %s: %v", name, what, err)
				}
			}
		}
	}
	var seen []webhooks.Webhook
	p.do(p.a.viewer, func(ctx context.Context, tx pgx.Tx) (err error) {
		seen, err = webhooks.List(ctx, tx)
		return err
	})
	if len(seen) != 1 || seen[0].ID != his.ID {
		t.Errorf("A's people see %+v", seen)
	}
	err := p.try(p.a.owner, func(ctx context.Context, tx pgx.Tx) error {
		_, _, err := webhooks.Add(ctx, tx, maintenancetest.Webhooks(), now, p.a.owner, webhooks.New{CustomerID: &p.b.ID, URL: "https://a.example.com", Events: []string{"*"}})
		return err
	})
	wantProblem(t, err, problem.NotFound)
}

func TestAdd_SaysAllFaultsAndKeepsALimit(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	add := func(n webhooks.New) error {
		return p.try(p.manager, func(ctx context.Context, tx pgx.Tx) error {
			_, _, err := webhooks.Add(ctx, tx, maintenancetest.Webhooks(), now, p.manager, n)
			return err
		})
	}
	err := add(webhooks.New{URL: "ftp://x", Description: strings.Repeat("长", 201), Events: []string{"case.opened", "case.close", "cases.*", "*"}})
	wantProblem(t, err, problem.Invalid)
	if said := fmt.Sprint(problem.As(err).Fields); !strings.Contains(said, "/url") || !strings.Contains(said, "/description") || !strings.Contains(said, "/events/1") || !strings.Contains(said, "/events/2") {
		t.Error(said)
	}
	wantProblem(t, add(webhooks.New{URL: "https://x.example", Events: nil}), problem.Invalid)
	for range 20 {
		if err := add(webhooks.New{URL: "https://x.example", Events: []string{"*"}}); err != nil {
			t.Fatal(err)
		}
	}
	wantProblem(t, add(webhooks.New{URL: "https://x.example", Events: []string{"*"}}), problem.Conflict)
}

// In the database the secret cannot be read, and after a rotation the old one
// signs for a day, beside the new one.
func TestRotate_SignsWithBothForADay(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	r := newReceiver(t, nil)
	w, old := p.add(p.a.owner, r.URL, "*")
	var fresh string
	p.do(p.a.owner, func(ctx context.Context, tx pgx.Tx) (err error) {
		_, fresh, err = webhooks.Rotate(ctx, tx, maintenancetest.Webhooks(), now, p.onTheWall(), p.a.owner, w.ID)
		return err
	})
	verifies := func(secret string, g got) bool {
		v, err := standard.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		return v.VerifyIgnoringTimestamp([]byte(g.body), g.header) == nil
	}
	p.test(w)
	p.next(w)
	both := wait(t, r.got)
	p.later(24*time.Hour + time.Second)
	p.test(w)
	p.next(w)
	one := wait(t, r.got)
	if !verifies(old, both) || !verifies(fresh, both) || verifies(old, one) || !verifies(fresh, one) || old == fresh || !strings.HasPrefix(old, "whsec_") {
		t.Errorf("within a day old %v new %v, then old %v new %v", verifies(old, both), verifies(fresh, both), verifies(old, one), verifies(fresh, one))
	}
	p.do(p.manager, func(ctx context.Context, tx pgx.Tx) error {
		for _, table := range []string{"webhook", "webhook_delivery", "audit"} {
			text, err := postgres.Value[string](ctx, tx, `SELECT coalesce(string_agg(t::text, ' '), '') FROM `+table+` t`, nil)
			if err != nil {
				return err
			}
			for _, secret := range []string{old, fresh} {
				if strings.Contains(text, strings.TrimPrefix(secret, "whsec_")) {
					t.Errorf("%s holds a secret", table)
				}
			}
		}
		return nil
	})
}

func TestReplay_SendsTheSameUnderTheSameID(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	broken := true
	r := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		if broken {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	w, _ := p.add(p.manager, r.URL, "case.opened")
	id := p.test(w).ID
	other := p.test(w).ID
	for range 2 * (len(webhooks.Delays()) + 1) {
		p.next(w)
		p.later(20 * time.Hour)
		p.do(p.manager, func(ctx context.Context, tx pgx.Tx) error { // it fails for longer than it may: not the matter here
			_, err := postgres.Run(ctx, tx, `UPDATE webhook SET failing_since = NULL`, nil)
			return err
		})
	}
	if p.delivery(id).State != "failed" || p.delivery(other).State != "failed" {
		t.Fatalf("%+v", p.delivery(id).Delivery)
	}
	first := wait(t, r.got)
	for len(r.got) > 0 {
		<-r.got
	}
	broken = false
	again := func(since time.Time) (n int64) {
		p.do(p.manager, func(ctx context.Context, tx pgx.Tx) (err error) {
			n, err = webhooks.ReplayFailed(ctx, tx, now, p.manager, w.ID, since)
			return err
		})
		return n
	}
	if n := again(now.Add(time.Minute)); n != 0 {
		t.Errorf("%d failed after all of them", n)
	}
	if n := again(now.Add(-time.Minute)); n != 2 {
		t.Errorf("%d replayed", n)
	}
	if !p.next(w) {
		t.Fatal("not delivered at once")
	}
	second := wait(t, r.got)
	if second.header.Get("webhook-id") != first.header.Get("webhook-id") || second.body != first.body {
		t.Errorf("%v, then %v", first, second)
	}
	if d := p.delivery(id); d.State != "delivered" || d.Tries != 1 || d.Replays != 1 {
		t.Errorf("%+v", d.Delivery)
	}
	p.do(p.manager, func(ctx context.Context, tx pgx.Tx) error { // one that was taken may be sent again too
		_, err := webhooks.Replay(ctx, tx, now, p.manager, id)
		return err
	})
	for p.next(w) {
	}
	if d := p.delivery(id); d.State != "delivered" || d.Replays != 2 {
		t.Errorf("%+v", d.Delivery)
	}
}

func TestWebhook_IsSwitchedOffByGoneAndByDaysOfFailure(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	gone := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	ill := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	a, _ := p.add(p.manager, gone.URL, "case.opened")
	b, _ := p.add(p.manager, ill.URL, "case.opened")
	id := p.test(a).ID
	p.test(b)
	p.next(a)
	if w := p.webhook(a.ID); w.Enabled || w.DisabledReason != "gone" || w.DisabledAt == nil || p.delivery(id).State != "failed" {
		t.Errorf("%+v", w)
	}
	p.next(b)
	for p.later(time.Hour); p.webhook(b.ID).Enabled; p.later(6 * time.Hour) {
		if p.next(b) {
			t.Fatal("it was taken")
		}
		if since := p.webhook(b.ID).FailingSince; since == nil || p.onTheWall().Sub(*since) > webhooks.FailingFor+12*time.Hour {
			t.Fatalf("failing since %v and still on", since)
		}
		p.test2(b)
	}
	if w := p.webhook(b.ID); w.DisabledReason != "failing" {
		t.Errorf("%+v", w)
	}
	before := ill.hits()
	p.open(p.a, "noise")
	if p.later(48 * time.Hour); p.next(b) || ill.hits() != before {
		t.Error("it is still sent to")
	}
	n := len(p.deliveries(b).Items)
	yes := true
	p.do(p.manager, func(ctx context.Context, tx pgx.Tx) error {
		w, err := webhooks.Update(ctx, tx, maintenancetest.Webhooks(), now, p.manager, b.ID, webhooks.Change{Enabled: &yes})
		if !w.Enabled || w.DisabledReason != "" || w.FailingSince != nil {
			t.Errorf("%+v", w)
		}
		return err
	})
	p.open(p.a, "leak")
	if len(p.deliveries(b).Items) <= n {
		t.Error("switched on again it hears of nothing")
	}
}

// test2 gives a webhook something new to fail at, where it is still on.
func (p *post) test2(w webhooks.Webhook) {
	p.Helper()
	if p.webhook(w.ID).Enabled {
		p.test(w)
	}
}

func TestUpkeep_ForgetsWhatIsOld(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	w, _ := p.add(p.manager, "https://x.example", "*")
	p.test(w)
	n := len(p.deliveries(w).Items)
	forget := func(before time.Time) int {
		p.do(identity.Program("upkeep"), func(ctx context.Context, tx pgx.Tx) error {
			return webhooks.ForgetOld(ctx, tx, now, before)
		})
		return len(p.deliveries(w).Items)
	}
	if left := forget(now); left != n || n == 0 {
		t.Errorf("%d of %d left", left, n)
	}
	if left := forget(now.Add(time.Second)); left != 0 {
		t.Errorf("%d left", left)
	}
}

func TestMetrics_CountTriesAndWhatWaits(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	r := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 1 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	w, _ := p.add(p.manager, r.URL, "case.opened")
	p.test(w)
	registry := prometheus.NewRegistry()
	registry.MustRegister(p.dispatcher)
	read := func() map[string]float64 {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name := f.GetName()
				for _, l := range m.GetLabel() {
					name += " " + l.GetValue()
				}
				out[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
		return out
	}
	p.next(w)
	if got := read(); got["thirdstate_webhook_tries_total retry"] != 1 || got["thirdstate_webhook_waiting"] != 1 || got["thirdstate_webhooks enabled"] != 1 {
		t.Errorf("%v", got)
	}
	p.later(time.Minute)
	p.next(w)
	if got := read(); got["thirdstate_webhook_tries_total delivered"] != 1 || got["thirdstate_webhook_waiting"] != 0 {
		t.Errorf("%v", got)
	}
}

// An event is never too long, and an entity that nobody thought of is told to no customer.
func TestEvents_AreBoundedAndClosedByDefault(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	ours, _ := p.add(p.manager, "https://ours.example.com", "*")
	his, _ := p.add(p.a.owner, "https://a.example.com", "*")
	had := len(p.deliveries(his).Items)
	p.do(p.manager, func(ctx context.Context, tx pgx.Tx) error {
		for _, after := range []any{map[string]string{"text": strings.Repeat("长", 30_000)}, []string{"a list"}, "a text", nil, 7} {
			for _, entity := range []string{"something_new", "machine"} {
				if err := machines.Audit(ctx, tx, now, p.manager, entity, p.a.Machine.ID, &p.a.Machine.ID, nil, "was looked at", nil, after); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for _, d := range p.deliveries(ours).Items {
		var e machines.WebhookEvent
		if body := p.delivery(d.ID).Body; len(body) > 20<<10 || json.Unmarshal(body, &e) != nil {
			t.Errorf("%d bytes: %.200s", len(body), body)
		}
	}
	if n := types(p.deliveries(his)); len(p.deliveries(his).Items) != had+5 || n["machine.was-looked-at"] != 5 {
		t.Errorf("customer A hears %v", n)
	}
}
