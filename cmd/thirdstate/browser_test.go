package main

import (
	"context"
	_ "embed" // the checks that run in the page
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
)

//go:embed testdata/look.js
var lookJS string

// closeChromium ends the browser if there is one; TestMain calls it.
var closeChromium = func() {} //nolint:gochecknoglobals // see theChromium

// theChromium is the browser that all tests share: its start takes a second or two of a
// processor.
var theChromium = sync.OnceValues(startChromium) //nolint:gochecknoglobals // a test binary has no main of ours to own it

// chromium is a real browser, in which each tab has cookies of its own; a missing one
// fails the test.
func chromium(t *testing.T) context.Context {
	t.Helper()
	ctx, err := theChromium()
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

func startChromium() (context.Context, error) {
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		return nil, errors.New("a real Chromium is needed (make setup-test)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's own sandbox does not work as root
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, end := chromedp.NewContext(ctx, chromedp.WithErrorf(func(string, ...any) {}))
	closeChromium = func() { end(); cancel() }
	if err := chromedp.Do(ctx); err != nil {
		return nil, fmt.Errorf("start Chromium: %w", err)
	}
	return ctx, nil
}

// tab is one person's browser: its own cookies, one window.
type tab struct {
	t    *testing.T
	ctx  context.Context
	url  string
	name string
}

// newTab opens a window; a phone's is 360 pixels wide.
func newTab(t *testing.T, browser context.Context, url, name string, phone bool) *tab { //nolint:revive // the browser is a thing here, kept in a context
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // the window lives as long as the context of its first step
		t.Fatalf("open a window: %v", err)
	}
	b := &tab{t: t, ctx: ctx, url: url, name: name}
	b.width(1440)
	if phone {
		b.width(360)
	}
	return b
}

func (b *tab) width(pixels int64) {
	b.t.Helper()
	height := int64(900)
	options := []chromedp.EmulateViewportOption{}
	if pixels < 500 {
		height, options = 780, append(options, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	b.run(chromedp.EmulateViewport(pixels, height, options...))
}

func (b *tab) run(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	for _, step := range steps {
		err := chromedp.Do(ctx, step)
		for err != nil && ctx.Err() == nil && strings.Contains(err.Error(), "Could not find node") {
			err = chromedp.Do(ctx, step) // the live page has put another element in its place
		}
		if err != nil {
			b.t.Fatalf("%s: %v\n%s", b.name, err, b.page())
		}
	}
}

// ask evaluates JavaScript in the page.
func ask[T any](b *tab, script string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	out, err := chromedp.Run(ctx, chromedp.Evaluate[T](script))
	if err != nil {
		b.t.Fatalf("%s: %s: %v\n%s", b.name, script, err, b.page())
	}
	return out
}

// until waits in the page until a condition holds; a page that is left meanwhile
// is asked anew.
func (b *tab) until(condition string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	script := `new Promise(function (done) { (function again() { if (` + condition + `) { done(true); } else { setTimeout(again, 30); } })(); })`
	for {
		_, err := chromedp.Run(ctx, chromedp.Evaluate[bool](script, chromedp.EvalAwaitPromise))
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			b.t.Fatalf("%s waits in vain for %s: %v\n%s", b.name, condition, err, b.page())
		}
	}
}

// page is what stands on the page, for a failure's message.
func (b *tab) page() string {
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return text
}

// drawn says that a page stands, its charts too.
const drawn = `document.readyState === "complete" && document.querySelector("main") && !document.documentElement.dataset.old &&
	Array.from(document.querySelectorAll("[data-chart]")).every(function (c) { return c.dataset.drawn || c.textContent === c.dataset.failed; })`

// open goes to a page and waits until it is drawn.
func (b *tab) open(path string) {
	b.t.Helper()
	b.run(chromedp.Navigate(b.url + path))
	b.until(drawn)
}

// leave does what leads to another page, and waits for that.
func (b *tab) leave(step chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ask[string](b, `document.documentElement.dataset.old = "1"`)
	b.run(step)
	b.until(drawn)
}

// press clicks a button or link by its words and waits for the next page.
func (b *tab) press(words string) {
	b.t.Helper()
	b.leave(chromedp.Click(chromedp.Search(`//main//*[self::button or self::a][contains(normalize-space(.), "` + words + `")]`)))
}

// unfold opens a part of the page that is folded away.
func (b *tab) unfold(words string) {
	b.t.Helper()
	b.run(chromedp.Click(chromedp.Search(`//main//summary[contains(normalize-space(.), "` + words + `")]`)))
}

func (b *tab) sees(words ...string) {
	b.t.Helper()
	for _, one := range words {
		if text := b.page(); !strings.Contains(text, one) {
			b.t.Errorf("%s does not see %q:\n%s", b.name, one, text)
		}
	}
}

func (b *tab) never(words ...string) {
	b.t.Helper()
	for _, one := range words {
		if text := b.page(); strings.Contains(text, one) {
			b.t.Errorf("%s sees %q:\n%s", b.name, one, text)
		}
	}
}

// signIn types login and password as a person does.
func (b *tab) signIn(p maintenancetest.Person) {
	b.t.Helper()
	b.open("/sign-in")
	b.run(chromedp.SendKeys(chromedp.CSS("#login"), p.Login), chromedp.SendKeys(chromedp.CSS("#password"), maintenancetest.Password))
	b.leave(chromedp.Click(chromedp.CSS("main button.primary")))
}

// language chooses a language in the header.
func (b *tab) language(lang string) {
	b.t.Helper()
	if !strings.HasPrefix(ask[string](b, `document.documentElement.lang`), lang) {
		b.leave(chromedp.Click(chromedp.CSS("header button[name=language]")))
	}
}

// look runs the page's own checks: names of fields, contrast, sizes, overflow.
func (b *tab) look(smallest int) []string {
	b.t.Helper()
	return ask[[]string](b, lookJS+`; look(`+strconv.Itoa(smallest)+`)`)
}

// inBrowser is the product with the test's world in it, and a browser.
func inBrowser(t *testing.T, change ...func(*settings)) (*product, *maintenancetest.World, context.Context) {
	t.Helper()
	s := testSettings(t)
	s.ClockStart, s.Speed = maintenancetest.Now, 0
	for _, fn := range change {
		fn(&s)
	}
	p := serveProduct(t, s)
	return p, maintenancetest.New(t, p.pool), chromium(t)
}

// TestBrowser_FromPhoneCallToSatisfiedOwner walks each role's main path: the
// manager tells the owner, the dispatcher sends somebody, the engineer works with
// his phone, the agent calls, the owner and the representative look.
func TestBrowser_FromPhoneCallToSatisfiedOwner(t *testing.T) {
	t.Parallel()
	p, w, browser := inBrowser(t)
	a := w.A
	machine := a.Bare.Name

	manager := newTab(t, browser, p.url, "manager", false)
	manager.signIn(w.Staff[identity.ServiceManager])
	manager.language("zh")
	manager.sees("今日", "第三状态", machine)
	manager.press(machine)
	manager.press("判断属实")
	manager.press("告知机主")
	manager.sees("已告知")
	casePath := "/cases/" + a.Request.ID.String()

	dispatcher := newTab(t, browser, p.url, "dispatcher", false)
	dispatcher.signIn(w.Staff[identity.Dispatcher])
	dispatcher.language("en")
	dispatcher.open(casePath)
	dispatcher.press("Schedule the visit")
	dispatcher.open("/dispatch")
	dispatcher.sees("To be assigned: 1", "Chen Haibo", "drive")
	dispatcher.press("Assign")
	dispatcher.sees("To be assigned: 0")

	// The manager's page has changed by itself meanwhile.
	manager.until(`document.querySelector("#live").innerText.includes("陈海波")`)

	engineer := newTab(t, browser, p.url, "engineer", true)
	engineer.signIn(w.Staff[identity.FieldEngineer])
	engineer.language("en")
	engineer.sees("My day", a.Bare.NameEN)
	engineer.press("Accept")
	engineer.open("/my-day")
	// In one step: the live page may put another element in its place between two.
	engineer.leave(chromedp.Evaluate[chromedp.Void](`Array.from(document.querySelectorAll("main .card")).find(function (c) { return c.innerText.includes("` + a.Bare.NameEN + `"); }).querySelector("a.button").click()`))
	if faults := engineer.look(48); len(faults) > 0 {
		t.Errorf("the order on the phone: %s", strings.Join(faults, "\n"))
	}
	engineer.press("Set off")
	engineer.press("Arrived")
	engineer.fillChecklist(filepath.Join(t.TempDir(), "fins.png"))
	engineer.run(chromedp.SetValue(chromedp.CSS("#result"), "hose replaced"), chromedp.SetValue(chromedp.CSS("#signed_by"), "Zhou Zhiqiang"))
	engineer.press("Complete")
	engineer.sees("Completed", "hose replaced")

	agent := newTab(t, browser, p.url, "agent", false)
	agent.signIn(w.Staff[identity.CallCentre])
	agent.language("en")
	agent.open("/callbacks")
	agent.sees("Satisfaction call", a.Bare.NameEN)
	agent.open("/callbacks/" + p.satisfactionCall(t, a))
	agent.sees("First sentence", a.Mark)
	agent.run(chromedp.SetValue(chromedp.CSS("#note"), "good, thank you"))
	agent.press("Satisfied")
	agent.sees("Closed")
	agent.open("/caller?phone=" + "%2B" + a.Phone[1:])
	agent.sees("Good day", "Open matters", a.Mark)

	owner := newTab(t, browser, p.url, "owner", true)
	owner.signIn(a.People[identity.OwnerAdmin])
	owner.language("en")
	owner.sees("My machines", a.Machine.NameEN, a.Bare.NameEN)
	owner.never(w.B.Mark)
	owner.press(a.Machine.NameEN)
	owner.sees(a.Machine.Serial, "Findings")
	owner.unfold("Request service")

	representative := newTab(t, browser, p.url, "representative", false)
	representative.signIn(a.People[identity.CustomerRepresentative])
	representative.language("zh")
	representative.sees("代表会", a.Machine.Name)
	representative.never(w.B.Mark)
	representative.language("en")
	representative.sees("Representatives' meeting", a.Machine.NameEN)
}

// fillChecklist answers item after item, whatever is asked for.
func (b *tab) fillChecklist(photo string) {
	b.t.Helper()
	if err := os.WriteFile(photo, maintenancetest.PNG(), 0o600); err != nil {
		b.t.Fatal(err)
	}
	const form = `form[action^="/checklist/"]`
	for range 30 {
		switch ask[string](b, `(function () { var f = document.querySelector('`+form+`'); if (!f) { return "done"; } f.id = "item";
			return f.querySelector("input[type=file]") ? "photo" : f.querySelector("[name=number]") ? "number" : f.querySelector("[name=note]") ? "note" : "choice"; })()`) {
		case "done":
			return
		case "photo":
			b.run(chromedp.SetUploadFiles(chromedp.CSS("#item input[type=file]"), []string{photo}))
		case "number":
			b.run(chromedp.SetValue(chromedp.CSS("#item [name=number]"), "60"))
		case "note":
			ask[string](b, `(function () { var n = document.querySelector("#item [name=note]"); return n.value = n.tagName === "SELECT" ? n.options[0].value : "ok"; })()`)
		}
		b.leave(chromedp.Click(chromedp.CSS("#item button")))
	}
	b.t.Fatalf("the checklist has no end:\n%s", b.page())
}

func (p *product) satisfactionCall(t *testing.T, a *maintenancetest.Tenant) string {
	t.Helper()
	var list struct {
		Items []struct{ ID, Kind string }
	}
	p.call(t, "GET", "/callbacks?state=due&caseId="+a.Request.ID.String(), nil, &list, 200)
	for _, c := range list.Items {
		if c.Kind == "satisfaction" {
			return c.ID
		}
	}
	t.Fatalf("no satisfaction call is due: %+v", list)
	return ""
}

// TestBrowser_AFormIsNotTakenAwayUnderTheHands holds that a page which changes
// waits while somebody types.
func TestBrowser_AFormIsNotTakenAwayUnderTheHands(t *testing.T) {
	t.Parallel()
	p, w, browser := inBrowser(t)
	manager := newTab(t, browser, p.url, "manager", false)
	manager.signIn(w.Staff[identity.ServiceManager])
	manager.language("en")
	manager.open("/cases/" + w.A.Request.ID.String())
	manager.unfold("Comment")
	manager.run(chromedp.SendKeys(chromedp.CSS("#comment"), "half a sen"))
	p.call(t, "POST", "/cases/"+w.A.Request.ID.String()+"/comments", map[string]string{"text": "somebody else"}, nil, 204)
	manager.run(chromedp.WaitVisible(chromedp.CSS("#live .stale")))
	if typed := ask[string](manager, `document.querySelector("#comment").value`); typed != "half a sen" {
		t.Errorf("what was typed is now %q", typed)
	}
	manager.press("Show the news")
	manager.sees("somebody else")

	// Typing that begins while the page is being asked for is kept as well.
	manager.unfold("Comment")
	ask[string](manager, `(function () { htmx.trigger("#live", "sse:changed"); var c = document.querySelector("#comment");
		c.value = "begun late"; c.dispatchEvent(new Event("input", { bubbles: true })); return c.value; })()`)
	manager.run(chromedp.WaitVisible(chromedp.CSS("#live .stale")))
	if typed := ask[string](manager, `document.querySelector("#comment").value`); typed != "begun late" {
		t.Errorf("what was typed late is now %q", typed)
	}
}

// TestBrowser_WorksByKeyboard walks the first page with the Tab key: the focus is
// seen at every stop, and the first stop leads past the header.
func TestBrowser_WorksByKeyboard(t *testing.T) {
	t.Parallel()
	p, w, browser := inBrowser(t)
	manager := newTab(t, browser, p.url, "manager", false)
	manager.signIn(w.Staff[identity.ServiceManager])
	manager.open("/today")
	for stop := range 25 {
		manager.run(chromedp.KeyEvent("\t"))
		seen := ask[struct {
			Name, Outline string
			First         bool
		}](manager, `(function () { var e = document.activeElement, s = getComputedStyle(e);
			return { Name: e.tagName + " " + e.textContent.trim().slice(0, 40), Outline: s.outlineStyle + " " + s.outlineWidth, First: e.className === "skip" }; })()`)
		if strings.HasPrefix(seen.Name, "BODY") {
			break
		}
		if !strings.HasPrefix(seen.Outline, "solid") && !strings.HasPrefix(seen.Outline, "auto") {
			t.Errorf("stop %d, %s: the focus is not seen (%s)", stop, seen.Name, seen.Outline)
		}
		if stop == 0 && !seen.First {
			t.Errorf("the first stop is %s, not the way past the header", seen.Name)
		}
	}
}
