package webhooks_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/internal/webhooks"
	"github.com/thirdstate/thirdstate/machines"
)

// The vector is that of the specification's own libraries.
func TestSignature_IsThatOfTheSpecification(t *testing.T) {
	t.Parallel()
	const id, body, want = "msg_p5jXN8AQM9LWM0D4loKWxJek", `{"test": 2432232314}`, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	secret, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	if got := webhooks.Signature(id, time.Unix(1614265330, 0), body, secret); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := webhooks.Signature(id, time.Unix(1614265330, 0), body, []byte("another"), secret); !strings.HasPrefix(got, "v1,") || !strings.HasSuffix(got, " "+want) {
		t.Errorf("two secrets sign %s", got)
	}
}

func TestDelivery_IsSignedAsOthersVerifyItAndSaysWhatHappened(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	r := newReceiver(t, nil)
	w, secret := p.add(p.manager, r.URL+"/hooks", "case.opened")
	c := p.open(p.a, "noise")
	if !p.next(w) {
		t.Fatalf("not delivered: %+v", p.deliveries(w).Items)
	}
	g := wait(t, r.got)
	verify, err := standard.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := verify.Verify([]byte(g.body), g.header); err != nil { // the timestamp is the wall's, within its tolerance
		t.Errorf("%v: %v", err, g.header)
	}
	if err := verify.Verify([]byte(g.body+" "), g.header); err == nil {
		t.Error("a changed body is taken for signed")
	}
	var e machines.WebhookEvent
	if err := json.Unmarshal([]byte(g.body), &e); err != nil {
		t.Fatal(err)
	}
	if e.Type != "case.opened" || e.ID.String() != g.header.Get("webhook-id") || !e.Timestamp.Equal(now) || e.Data.EntityID != c.ID || *e.Data.MachineID != p.a.Bare.ID ||
		*e.Data.CustomerID != p.a.ID || e.Data.Actor == "" || !strings.Contains(string(e.Data.After), `"state":"`+string(c.State)) {
		t.Errorf("%s", g.body)
	}
	if g.path != "/hooks" || g.header.Get("Content-Type") != "application/json" {
		t.Errorf("%+v", g)
	}
	d := p.deliveries(w).Items[0]
	if d.State != "delivered" || d.Tries != 1 || *d.LastStatus != http.StatusNoContent || d.SettledAt == nil || d.NextAt != nil {
		t.Errorf("%+v", d)
	}
	if p.next(w) || r.hits() != 1 {
		t.Error("it was sent twice")
	}
	if sent := p.delivery(d.ID); string(sent.Body) != g.body {
		t.Errorf("shown %s, sent %s", sent.Body, g.body)
	}
}

func TestDelivery_ExistsWithItsChangeOrNotAtAll(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	w, _ := p.add(p.manager, "https://example.com", "*")
	before := len(p.deliveries(w).Items)
	err := p.try(p.manager, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := machines.AddSite(ctx, tx, now, p.manager, machines.Site{CustomerID: p.a.ID, Name: "undone", TimeZone: "Asia/Shanghai"}); err != nil {
			return err
		}
		return problem.New(problem.Conflict, "undone")
	})
	wantProblem(t, err, problem.Conflict)
	if n := len(p.deliveries(w).Items); n != before {
		t.Errorf("%d deliveries of what was undone", n-before)
	}
}

func TestDelivery_IsTriedAgainOnScheduleAndThenFails(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	r := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	w, _ := p.add(p.manager, r.URL, "case.opened")
	id := p.test(w).ID
	begun := p.onTheWall()
	ids := map[string]bool{}
	for i, delay := range append(webhooks.Delays(), 0) {
		if p.next(w) || r.hits() != i+1 {
			t.Fatalf("try %d: %d requests", i+1, r.hits())
		}
		g := wait(t, r.got)
		ids[g.header.Get("webhook-id")] = true
		d := p.delivery(id)
		if d.Tries != i+1 || *d.LastStatus != 500 || d.LastError != "answered 500" {
			t.Fatalf("%+v", d.Delivery)
		}
		if delay == 0 {
			break
		}
		if wait := d.NextAt.Sub(p.onTheWall()); wait < delay*9/10-time.Second || wait > delay*11/10+time.Second {
			t.Errorf("after try %d it waits %v, not %v", i+1, wait, delay)
		}
		p.later(delay / 2)
		if p.next(w) || r.hits() != i+1 {
			t.Errorf("it was tried too early")
		}
		p.later(delay)
	}
	if d := p.delivery(id); d.State != "failed" || d.SettledAt == nil || d.NextAt != nil {
		t.Errorf("%+v", d.Delivery)
	}
	if len(ids) != 1 {
		t.Errorf("%d webhook-ids", len(ids))
	}
	t.Logf("%d tries over %v", len(webhooks.Delays())+1, p.onTheWall().Sub(begun))
}

// What a receiver answers is its own choice; bytes that no text column takes must
// not keep the try from being noted.
func TestDelivery_IsSettledWhateverTheAnswerIs(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	r := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		conn, out, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = out.WriteString("HTTP/1.1 200 OK\r\n\x00\xff" + strings.Repeat("\u575a", 200) + "\r\n\r\n")
		_ = out.Flush()
	})
	w, _ := p.add(p.manager, r.URL, "case.opened")
	id := p.test(w).ID
	if p.next(w) {
		t.Error("taken")
	}
	if d := p.delivery(id); d.LastError == "" || d.NextAt == nil || d.Tries != 1 {
		t.Errorf("%+v", d.Delivery)
	}
}

func TestDelivery_ThatWasNotSettledIsSentAgainWithTheSameID(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	crash := make(chan struct{})
	r := newReceiver(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 1 { // the sender dies between the answer and its note of it
			close(crash)
			<-r.Context().Done()
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	w, _ := p.add(p.manager, r.URL, "case.opened")
	id := p.test(w).ID
	ctx, kill := context.WithCancel(t.Context())
	died := make(chan struct{})
	go func() {
		defer close(died)
		// its pool is gone as for a dead program: it can note nothing
		pool, err := postgres.Open(t.Context(), p.pool.Raw().Config().ConnString())
		if err != nil {
			t.Error(err)
			return
		}
		dying := p.onPool(pool)
		go func() { <-crash; pool.Raw().Close(); kill() }()
		_, _ = dying.DeliverNext(ctx, w.ID)
	}()
	first := wait(t, r.got)
	<-died
	if d := p.delivery(id); d.State != "waiting" || d.Tries != 1 {
		t.Fatalf("%+v", d.Delivery)
	}
	if p.next(w) || r.hits() != 1 {
		t.Fatal("it was sent while the first one's lease holds")
	}
	p.later(webhooks.Lease + time.Second)
	if !p.next(w) {
		t.Fatal("it was not sent again")
	}
	second := wait(t, r.got)
	if first.header.Get("webhook-id") != second.header.Get("webhook-id") || first.body != second.body || first.header.Get("webhook-id") == "" {
		t.Errorf("%v, then %v", first, second)
	}
}

func TestDispatcher_GivesBackWhatAStopInterrupts(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	r := newReceiver(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			<-r.Context().Done()
		}
	})
	w, _ := p.add(p.manager, r.URL, "case.opened")
	id := p.test(w).ID
	stop := p.run(p.another())
	wait(t, r.got)
	began := time.Now()
	stop()
	if took := time.Since(began); took > 9*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if d := p.delivery(id); d.State != "waiting" || d.Tries != 0 || d.NextAt != nil || p.webhook(w.ID).FailingSince != nil {
		t.Errorf("%+v", d.Delivery)
	}
	defer p.run(p.another())()
	wait(t, r.got)
}

// F30: a receiver that hangs, one that fails and one whose answer drips do not
// hold back the others, nor each other.
func TestDispatcher_OneBadReceiverCostsNobodyElse(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	released := make(chan struct{})
	hang := newReceiver(t, func(_ int, _ http.ResponseWriter, r *http.Request) {
		select {
		case <-released:
		case <-r.Context().Done():
		}
	})
	defer close(released)
	fail := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n <= 2 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	drip := newReceiver(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		for range 100 {
			if _, err := w.Write([]byte("x")); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-r.Context().Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	good := newReceiver(t, nil)
	const events = 40
	var hooks []webhooks.Webhook
	for _, r := range []*receiver{hang, fail, drip, good} {
		w, _ := p.add(p.manager, r.URL, "case.opened")
		hooks = append(hooks, w)
	}
	for range 10 { // more that hang
		w, _ := p.add(p.manager, hang.URL, "case.opened")
		hooks = append(hooks, w)
	}
	for range events {
		p.test(hooks[3])
	}
	for i, w := range hooks {
		if i != 3 {
			p.test(w)
		}
	}
	d := p.another().At(nil, nil, nil)
	began := time.Now()
	stop := p.run(d)
	defer stop()
	ids := map[string]bool{}
	for range events {
		ids[wait(t, good.got).header.Get("webhook-id")] = true
	}
	if took := time.Since(began); len(ids) != events || took >= 10*time.Second { // a hanging receiver holds its own lane for 10 s
		t.Errorf("%d of %d events reached the good receiver in %v", len(ids), events, took)
	}
	wait(t, drip.got)
	first := wait(t, fail.got)
	p.later(time.Hour)
	if second := wait(t, fail.got); second.header.Get("webhook-id") != first.header.Get("webhook-id") {
		t.Error("another webhook-id at the second try")
	}
}

// However many receivers are known to hang, there are lanes for the others.
func TestDispatcher_ReceiversThatHangNeverHaveAllLanes(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	hang := newReceiver(t, func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	good := newReceiver(t, nil)
	for _, who := range []identity.Principal{p.a.owner, p.b.owner} {
		for range 20 {
			w, _ := p.add(who, hang.URL, "*")
			p.test(w)
		}
	}
	p.do(p.manager, func(ctx context.Context, tx pgx.Tx) error {
		_, err := postgres.Run(ctx, tx, `UPDATE webhook SET failures = 1`, nil)
		return err
	})
	w, _ := p.add(p.manager, good.URL, "case.opened")
	stop := p.run(p.another())
	defer stop()
	for range 32 {
		wait(t, hang.got)
	}
	p.test(w)
	wait(t, good.got)
	if n := hang.hits(); n != 32 {
		t.Errorf("%d lanes for those that hang", n)
	}
}

func (p *post) onPool(pool *postgres.Pool) *webhooks.Dispatcher {
	return webhooks.OnPool(p.another(), pool)
}
