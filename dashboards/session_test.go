package dashboards

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/accounts"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
)

func TestSignIn_MakesANewSessionAndSignOutEndsIt(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	b := &browser{d: d, lang: "en"}
	if w := b.post("/language", url.Values{"language": {"zh"}}); w.Code != http.StatusSeeOther {
		t.Fatal(w.Code)
	}
	before := b.cookie.Value
	p := d.w.Staff[identity.Dispatcher]
	if w := b.post("/sign-in", url.Values{"login": {" " + strings.ToUpper(p.Login) + " "}, "password": {maintenancetest.Password}}); w.Header().Get("Location") != "/dispatch" {
		t.Fatalf("led to %q: %s", w.Header().Get("Location"), w.Body)
	}
	c := b.cookie
	if c.Value == before || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
		t.Errorf("the cookie is %+v", c)
	}
	stolen := *b
	if w := b.post("/sign-out", nil); w.Header().Get("Location") != "/sign-in" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := stolen.get("/dispatch"); w.Header().Get("Location") != "/sign-in" {
		t.Errorf("a session lives on after its end: %d", w.Code)
	}
	if page := text(b.get("/sign-in")); !strings.Contains(page, `lang="zh-CN"`) {
		t.Error("the language that was chosen is forgotten")
	}
}

func TestSignIn_AUserWhoIsShutOutIsOutAtOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	p := d.w.Staff[identity.Dispatcher]
	b := d.signIn(p, "en")
	d.do(func(ctx context.Context, tx pgx.Tx) error {
		return accounts.Disable(ctx, tx, maintenancetest.Now, maintenancetest.Program, p.ID)
	})
	if w := b.get("/dispatch"); w.Header().Get("Location") != "/sign-in" {
		t.Errorf("%d", w.Code)
	}
}

func TestSignIn_WrongPasswordTellsNothingAndIsSlowedDown(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.site.throttle.now = func() time.Time { return maintenancetest.Now } // a busy machine takes so long over a password that tries are free again
	b := &browser{d: d, lang: "en"}
	p := d.w.Staff[identity.Admin]
	unknown, wrong := b.post("/sign-in", url.Values{"login": {"no.such"}, "password": {"x"}}), b.post("/sign-in", url.Values{"login": {p.Login}, "password": {"x"}})
	if unknown.Code != wrong.Code || unknown.Header().Get("Location") != wrong.Header().Get("Location") {
		t.Errorf("a known login is told apart: %d %d", unknown.Code, wrong.Code)
	}
	for i := range freeByLogin {
		w := b.post("/sign-in", url.Values{"login": {p.Login}, "password": {"x"}}, "X-Forwarded-For", fmt.Sprintf("192.0.2.%d", i))
		if i == freeByLogin-1 && (w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "") {
			t.Errorf("try %d: %d %v", i+2, w.Code, w.Header())
		}
	}
	if w := b.post("/sign-in", url.Values{"login": {p.Login}, "password": {maintenancetest.Password}}); w.Code != http.StatusTooManyRequests || !strings.Contains(text(w), "Too many tries") {
		t.Errorf("the right password while slowed down: %d %.300s", w.Code, text(w))
	}
	other := d.w.Staff[identity.Dispatcher]
	if w := b.post("/sign-in", url.Values{"login": {other.Login}, "password": {maintenancetest.Password}}); w.Header().Get("Location") != "/dispatch" {
		t.Errorf("somebody else must wait too: %d", w.Code)
	}
}

func TestThrottle_LetsGoAfterAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle()
		checked := 0
		for i := range 10_000 { // from ever new addresses
			if th.try("admin", fmt.Sprint("address", i)) == 0 {
				checked++
			}
		}
		if checked > freeByLogin {
			t.Errorf("%d passwords were looked at", checked)
		}
		if wait := th.try("admin", "1"); wait <= 0 || wait > longestWait {
			t.Errorf("wait %s", wait)
		}
		time.Sleep(longestWait)
		if wait := th.try("admin", "1"); wait != 0 {
			t.Errorf("still %s", wait)
		}
		th.succeeded("ADMIN ", "1")
		if wait := th.try("admin", "1"); wait != 0 {
			t.Errorf("after success %s", wait)
		}
		for range freeByLogin {
			th.try("guessed", "1")
		}
		for i := range 2 * maxTries {
			th.try(fmt.Sprint("login", i), fmt.Sprint("many", i))
		}
		if len(th.tries) > maxTries+1 {
			t.Errorf("%d keys are kept", len(th.tries))
		}
		if wait := th.try("guessed", "another"); wait == 0 {
			t.Error("who guesses is forgotten in the crowd")
		}
	})
}

// Behind one address may sit a whole office: who gets in takes no try from the next.
func TestThrottle_CountsAgainstAnAddressWhatFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle()
		for i := range 3 * freeByAddress {
			login := fmt.Sprint("login", i)
			if wait := th.try(login, "192.0.2.1"); wait != 0 {
				t.Fatalf("sign-in %d must wait %s", i+1, wait)
			}
			th.succeeded(login, "192.0.2.1")
		}
		for i := range freeByAddress { // a host has as many addresses as it likes in its own net
			if wait := th.try(fmt.Sprint("guess", i), fmt.Sprintf("2001:db8::%x", i)); wait != 0 {
				t.Fatalf("guess %d must wait %s", i+1, wait)
			}
			th.try("known", "2001:db8:0:1::1")
			th.succeeded("known", "2001:db8:0:1::1") // a known login does not buy more guesses
		}
		if th.try("guess", "2001:db8::ffff:1") == 0 {
			t.Error("a net of addresses is not held to the tries of one")
		}
		if wait := th.try("guess", "2001:db8:0:1::2"); wait != 0 {
			t.Errorf("another net must wait %s", wait)
		}
	})
}

// However many try at once, few passwords are checked at the same time.
func TestSignIn_ChecksFewPasswordsAtOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	for range maxChecking {
		d.site.checking <- struct{}{}
	}
	p := d.w.Staff[identity.Dispatcher]
	done := make(chan int)
	go func() {
		b := &browser{d: d, lang: "en"}
		done <- b.post("/sign-in", url.Values{"login": {p.Login}, "password": {maintenancetest.Password}}).Code
	}()
	select {
	case code := <-done:
		t.Fatalf("there was no place, and it was checked: %d", code)
	case d.site.checking <- struct{}{}:
		t.Fatal("a place was free")
	case <-time.After(50 * time.Millisecond):
	}
	<-d.site.checking
	if code := <-done; code != http.StatusSeeOther {
		t.Errorf("%d", code)
	}
	for len(d.site.checking) > maxChecking-1 {
		<-d.site.checking
	}
}

const makeOneClickSQL = `UPDATE app_user SET one_click = true WHERE login = @login`

func TestOneClick_IsThereInTheDemoOnly(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	p := d.w.Staff[identity.ServiceManager]
	oneClick := func(ctx context.Context, tx pgx.Tx) error {
		_, err := postgres.Run(ctx, tx, makeOneClickSQL, pgx.NamedArgs{"login": p.Login})
		return err
	}
	d.do(oneClick)
	b := &browser{d: d, lang: "en"}
	if w := b.post("/sign-in/one-click", url.Values{"login": {p.Login}}); w.Code != http.StatusNotFound {
		t.Errorf("outside the demo: %d", w.Code)
	}
	if page := text(b.get("/sign-in")); strings.Contains(page, "one-click") || strings.Contains(page, p.Login) {
		t.Error("logins are offered outside the demo")
	}
	demo := newDesk(t, &Demo{Advance: func(time.Duration) error { return nil }, Status: func() DemoStatus { return DemoStatus{Phase: "live", Speed: 1} }})
	demo.do(oneClick)
	b = &browser{d: demo, lang: "en"}
	if page := text(b.get("/sign-in")); !strings.Contains(page, `value="`+p.Login+`"`) || strings.Contains(page, demo.w.Staff[identity.Admin].Login) {
		t.Error("the demo offers other logins than those of one click")
	}
	if w := b.post("/sign-in/one-click", url.Values{"login": {demo.w.Staff[identity.Admin].Login}}); w.Code != http.StatusNotFound {
		t.Errorf("a login that is not of one click: %d", w.Code)
	}
	if w := b.post("/sign-in/one-click", url.Values{"login": {p.Login}}); w.Header().Get("Location") != "/today" {
		t.Errorf("one click: %d %s", w.Code, w.Body)
	}
	if page := text(b.get("/today")); !strings.Contains(page, `lang="en"`) || !strings.Contains(page, "+1 hour") {
		t.Error("the demo's bar, in the visitor's language, is not there")
	}
}

// When the database is away the pages say so; nobody is sent to sign in again.
func TestPages_SayThatThePartBehindThemIsAway(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	b := d.signIn(d.w.Staff[identity.Dispatcher], "en")
	d.w.Pool.Close()
	for _, target := range []string{"/dispatch", "/events", "/sign-in"} {
		w := b.get(target)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(text(w), "try again") {
			t.Errorf("%s: %d %v %.300s", target, w.Code, w.Header(), text(w))
		}
	}
}
