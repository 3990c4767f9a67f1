package webhooks_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/internal/webhooks"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
)

// now is the program's time.
var now = maintenancetest.Now

// tenant is a customer with two machines, and who owns them.
type tenant struct {
	machines.Customer
	Machine, Bare machines.Machine
	owner, viewer identity.Principal
}

// post is two customers with a dispatcher, and a wall clock that a test moves.
type post struct {
	*testing.T
	pool       *postgres.Pool
	a, b       tenant
	dispatcher *webhooks.Dispatcher
	manager    identity.Principal
	log        *strings.Builder

	mu   sync.Mutex
	wall time.Time
}

func newPost(t *testing.T) *post {
	t.Helper()
	p := &post{T: t, pool: postgrestest.New(t), wall: time.Now(), log: &strings.Builder{}, manager: identity.Principal{Name: "赵敏", Role: identity.ServiceManager, Language: "zh"}}
	p.a, p.b = p.tenant("Aardvark"), p.tenant("Quokka")
	p.dispatcher = p.another()
	return p
}

func (p *post) tenant(mark string) (a tenant) {
	p.Helper()
	p.do(p.manager, func(ctx context.Context, tx pgx.Tx) (err error) {
		if a.Customer, err = machines.AddCustomer(ctx, tx, now, p.manager, machines.Customer{Name: mark, Tier: "A"}); err != nil {
			return err
		}
		if a.Machine, err = machines.AddMachine(ctx, tx, now, p.manager, machines.Machine{Manufacturer: "Beichen", Serial: mark + "1", CustomerID: &a.ID}); err != nil {
			return err
		}
		a.Bare, err = machines.AddMachine(ctx, tx, now, p.manager, machines.Machine{Manufacturer: "Beichen", Serial: mark + "2", CustomerID: &a.ID})
		return err
	})
	a.owner = identity.Principal{Name: mark + " 刘总", Role: identity.OwnerAdmin, CustomerID: a.ID, Language: "zh"}
	a.viewer = identity.Principal{Name: mark + " 张总", Role: identity.OwnerViewer, CustomerID: a.ID, Language: "zh"}
	return a
}

// another is a dispatcher on the same database, as after a restart.
func (p *post) another() *webhooks.Dispatcher {
	log := slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelError}))
	return webhooks.NewDispatcher(p.pool, clock.New(now, 0, nil), log, maintenancetest.Webhooks()).At(p.onTheWall, nil, nil)
}

func (p *post) onTheWall() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wall
}

func (p *post) later(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wall = p.wall.Add(d)
}

func (p *post) try(who identity.Principal, fn func(ctx context.Context, tx pgx.Tx) error) error {
	ctx := identity.With(p.Context(), who)
	return postgres.As(ctx, p.pool, who, func(tx pgx.Tx) error { return fn(ctx, tx) })
}

func (p *post) do(who identity.Principal, fn func(ctx context.Context, tx pgx.Tx) error) {
	p.Helper()
	if err := p.try(who, fn); err != nil {
		p.Fatal(err)
	}
}

func (p *post) add(who identity.Principal, url string, events ...string) (w webhooks.Webhook, secret string) {
	p.Helper()
	p.do(who, func(ctx context.Context, tx pgx.Tx) (err error) {
		w, secret, err = webhooks.Add(ctx, tx, maintenancetest.Webhooks(), now, who, webhooks.New{URL: url, Events: events})
		return err
	})
	return w, secret
}

// open opens a case of a customer by a call, which is one event case.opened.
func (p *post) open(a tenant, mode string) (c maintenance.Case) {
	p.Helper()
	p.do(p.manager, func(ctx context.Context, tx pgx.Tx) (err error) {
		c, err = maintenance.OpenRequest(ctx, tx, now, p.manager, maintenance.Request{MachineID: a.Bare.ID, FailureMode: mode, OperatorPhone: phone, Description: a.Name + " 有异响"})
		return err
	})
	return c
}

// phone is an operator's.
const phone = "+8613807340041"

func (p *post) test(w webhooks.Webhook) (d webhooks.Delivery) {
	p.Helper()
	p.do(p.manager, func(ctx context.Context, tx pgx.Tx) (err error) {
		d, err = webhooks.Test(ctx, tx, now, p.manager, w.ID)
		return err
	})
	return d
}

// next makes one try and says whether it was taken.
func (p *post) next(w webhooks.Webhook) bool {
	p.Helper()
	taken, err := p.dispatcher.DeliverNext(p.Context(), w.ID)
	if err != nil {
		p.Fatal(err)
	}
	return taken
}

func (p *post) delivery(id uuid.UUID) (d webhooks.Sent) {
	p.Helper()
	p.do(p.manager, func(ctx context.Context, tx pgx.Tx) (err error) {
		d, err = webhooks.GetDelivery(ctx, tx, id)
		return err
	})
	return d
}

func (p *post) deliveries(w webhooks.Webhook) (page machines.Page[webhooks.Delivery]) {
	p.Helper()
	p.do(p.manager, func(ctx context.Context, tx pgx.Tx) (err error) {
		page, err = webhooks.Deliveries(ctx, tx, w.ID, webhooks.Filter{Limit: 500})
		return err
	})
	return page
}

func (p *post) webhook(id uuid.UUID) (w webhooks.Webhook) {
	p.Helper()
	p.do(p.manager, func(ctx context.Context, tx pgx.Tx) (err error) {
		w, err = webhooks.Get(ctx, tx, id)
		return err
	})
	return w
}

// run delivers until stop is called.
func (p *post) run(d *webhooks.Dispatcher) (stop func()) {
	p.Helper()
	ctx, cancel := context.WithCancel(p.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			p.Error(err)
		}
	}
}

// got is one request at a receiver.
type got struct {
	header http.Header
	body   string
	path   string
}

// receiver is a real HTTP server that says what it was sent and answers as told.
type receiver struct {
	*httptest.Server
	got    chan got
	answer func(n int, w http.ResponseWriter, r *http.Request)
	mu     sync.Mutex
	n      int
}

func newReceiver(t testing.TB, answer func(n int, w http.ResponseWriter, r *http.Request)) *receiver {
	t.Helper()
	r := &receiver{got: make(chan got, 10_000), answer: answer}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the sender has gone
	}
	r.mu.Lock()
	r.n++
	n := r.n
	r.mu.Unlock()
	r.got <- got{req.Header.Clone(), string(body), req.URL.Path}
	if r.answer != nil {
		r.answer(n, w, req)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) hits() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

func wantProblem(t *testing.T, err error, kind problem.Kind) {
	t.Helper()
	if problem.Of(err) != kind {
		t.Errorf("%v is no %s", err, kind)
	}
}

// patience bounds a wait for what must happen.
const patience = 30 * time.Second

func wait[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v = <-from:
	case <-timer.C:
		t.Fatal("nothing came")
	}
	return v
}
