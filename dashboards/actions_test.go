package dashboards

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
)

// Every action by every role: who is not listed is told so and nothing is written.
func TestActions_EveryOneByEveryRole(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	before := d.audits()
	for _, role := range identity.Roles {
		b := d.signIn(d.person(role), "en")
		for _, a := range actions {
			if slices.Contains(a.Roles, role) {
				continue
			}
			if w := b.post(d.address(a.Path), url.Values{"to": {"closed"}}); w.Code != http.StatusForbidden {
				t.Errorf("%s by %s: %d", a.Path, role, w.Code)
			}
		}
	}
	if n := d.audits() - before; n != 0 {
		t.Errorf("refused actions left %d audit entries", n)
	}
}

// A form of another site's page is refused, whoever has signed in.
func TestActions_RefuseForeignForms(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	b := d.signIn(d.w.Staff[identity.Admin], "en")
	before := d.audits()
	forms := []string{"/sign-in", "/sign-out", "/language"}
	for _, a := range actions {
		forms = append(forms, d.address(a.Path))
	}
	for _, target := range forms {
		for _, header := range [][]string{
			{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "", "Origin", "https://evil.example"}, {"Sec-Fetch-Site", "", "Origin", "null"},
		} {
			if w := b.post(target, url.Values{"text": {"x"}, "login": {"x"}, "language": {"zh"}}, header...); w.Code != http.StatusForbidden {
				t.Errorf("%s with %v: %d", target, header, w.Code)
			}
		}
	}
	if w := b.get("/cases"); w.Code != http.StatusOK || !strings.Contains(text(w), `lang="en"`) {
		t.Errorf("a foreign form changed the session: %d", w.Code)
	}
	if n := d.audits() - before; n != 0 {
		t.Errorf("foreign forms left %d audit entries", n)
	}
}

// said follows the redirect of an action and gives the page with its banner.
func (b *browser) said(from string, w *httptest.ResponseRecorder) string {
	b.d.t.Helper()
	if w.Code != http.StatusSeeOther {
		b.d.t.Fatalf("not led back to %s: %d %.300s", from, w.Code, text(w))
	}
	page := text(b.get(w.Header().Get("Location")))
	_, banner, found := strings.Cut(page, `<div class="banner `)
	if !found {
		return ""
	}
	banner, _, _ = strings.Cut(banner, "</div>")
	return banner
}

func (b *browser) act(page, target string, form url.Values) string {
	b.d.t.Helper()
	return b.said(page, b.post(target, form, "Referer", "http://example.com"+page))
}

func want(t *testing.T, what, banner, kind, has string) {
	t.Helper()
	if !strings.HasPrefix(banner, kind) || !strings.Contains(banner, has) {
		t.Errorf("%s: the page says %q, want %s with %q", what, banner, kind, has)
	}
}

// The way of a case on the pages, by the people who go it.
func TestActions_FromPhoneCallToRepair(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	manager, dispatcher, engineer := d.signIn(d.w.Staff[identity.ServiceManager], "zh"), d.signIn(d.w.Staff[identity.Dispatcher], "en"), d.signIn(d.w.Staff[identity.FieldEngineer], "en")
	owner := d.signIn(d.a.People[identity.OwnerAdmin], "en")
	page := "/cases/" + d.a.Request.ID.String()
	want(t, "a refused move", manager.act(page, page+"/move", url.Values{"to": {"closed"}}), "refused", "现在可以")
	want(t, "triage", manager.act(page, page+"/move", url.Values{"to": {"triaged"}}), "good", "已更新")
	want(t, "tell the owner", manager.act(page, page+"/inform", url.Values{"contact": {d.a.Owner.ID.String()}, "text": {""}}), "good", "已告知")
	want(t, "an owner defers without days", owner.act(page, page+"/move", url.Values{"to": {"deferred"}, "days": {"900"}, "reason": {"x"}}), "refused", "between 1 and 60")
	want(t, "a comment", engineer.act(page, page+"/comment", url.Values{"text": {"on my way"}}), "good", "saved")
	want(t, "an order", dispatcher.act(page, page+"/order", url.Values{"kind": {"repair"}, "planned_at": {"2026-06-04T18:00"}}), "good", "was made")
	want(t, "a time that is none", dispatcher.act(page, page+"/order", url.Values{"kind": {"repair"}, "planned_at": {"soon"}}), "refused", "cannot be read")
	want(t, "a time of no machine", dispatcher.act(page, page+"/order", url.Values{"kind": {"repair"}, "planned_at": {"0000-01-01T00:00"}}), "refused", "cannot be read")
	machine := "/machines/" + d.a.Machine.ID.String()
	want(t, "a request", owner.act(machine, machine+"/request", url.Values{"down": {"no"}, "phone": {"+8613800000009"}, "description": {"noise"}}), "good", "Received")
	want(t, "a reading", owner.act(machine, machine+"/reading", url.Values{"source": {"daily_check"}, "signal": {"hydraulic_oil_temp"}, "value": {"60.5"}}), "good", "saved")
	want(t, "no number", owner.act(machine, machine+"/reading", url.Values{"source": {"daily_check"}, "signal": {"hydraulic_oil_temp"}, "value": {"hot"}}), "refused", "number")
	want(t, "an inspection", dispatcher.act(machine, machine+"/inspection", url.Values{}), "good", "was made")
	order := "/work-orders/" + d.a.Order.ID.String()
	want(t, "a step that is not next", engineer.act(order, order+"/move", url.Values{"to": {"completed"}, "result": {"x"}}), "refused", "En route")
	want(t, "set off", engineer.act(order, order+"/move", url.Values{"to": {"en_route"}}), "good", "En route")
	want(t, "arrive", engineer.act(order, order+"/move", url.Values{"to": {"on_site"}}), "good", "On site")
	want(t, "minutes that are none", engineer.act(order, order+"/move", url.Values{"to": {"completed"}, "result": {"x"}, "waited": {"-5"}}), "refused", "between 0 and 1440")
	item := "/checklist/" + d.a.Item.ID.String()
	want(t, "an item with a photo", engineer.said(order, engineer.photo(item, order, maintenancetest.PNG())), "good", "Saved")
	if shown := text(engineer.get(order)); !strings.Contains(shown, `href="/photos/`) {
		t.Errorf("the order does not show the photo")
	}
	want(t, "something that is no photo", engineer.said(order, engineer.photo(item, order, []byte("<svg onload=alert(1)>"))), "refused", "")
	call := "/callbacks/" + d.a.Callback.String()
	agent := d.signIn(d.w.Staff[identity.CallCentre], "en")
	want(t, "a call before its time", agent.act(call, call+"/attempt", url.Values{"outcome": {"satisfied"}}), "refused", "Awaiting callback")
}

// photo sends a checklist's form with a file, as a phone does.
func (b *browser) photo(target, page string, content []byte) *httptest.ResponseRecorder {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	result, err := form.CreateFormField("result")
	if err == nil {
		_, err = result.Write([]byte("pass"))
	}
	if err != nil {
		b.d.t.Fatal(err)
	}
	part, err := form.CreatePart(textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name="photo"; filename=%q`, "../fins.png")}, "Content-Type": {"image/png"}})
	if err == nil {
		_, err = part.Write(content)
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		b.d.t.Fatal(err)
	}
	return b.send(http.MethodPost, target, body.String(), "Content-Type", form.FormDataContentType(), "Referer", "http://example.com"+page)
}

func TestForms_AreBounded(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	b := d.signIn(d.w.Staff[identity.ServiceManager], "en")
	page := "/cases/" + d.a.Case.ID.String()
	before := d.audits()
	for name, form := range map[string]url.Values{
		"a long field":     {"text": {strings.Repeat("x", maxField+1)}},
		"a large form":     {"text": {strings.Repeat("x", maxForm+1)}},
		"NUL":              {"text": {"a\x00b"}},
		"broken UTF-8":     {"text": {"a\xffb"}},
		"too many fields":  manyFields(),
		"an empty comment": {"text": {"  "}},
	} {
		want(t, name, b.act(page, page+"/comment", form), "refused", "")
	}
	for _, query := range []string{"/cases?q=%00", "/machines?q=%ff", "/cases?q=" + strings.Repeat("x", maxField+1)} {
		if w := b.get(query); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", query[:20], w.Code)
		}
	}
	if n := d.audits() - before; n != 0 {
		t.Errorf("refused forms left %d audit entries", n)
	}
}

func manyFields() url.Values {
	out := url.Values{"text": {"x"}}
	for i := range 3 * maxFields {
		out.Set(fmt.Sprint("f", i), "x")
	}
	return out
}

func TestBack_NeverLeavesOurPages(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	b := &browser{d: d, lang: "en"}
	for referer, target := range map[string]string{
		"": "/", "http://example.com/cases?q=a": "/cases?q=a", "https://evil.example/x": "/x", "http://example.com//evil.example": "/", "javascript:alert(1)": "/", "::": "/",
		"http://example.com/%5Cevil.example": "/%5Cevil.example", "http://example.com/%09/evil.example": "/%09/evil.example", // a browser makes // of what they stand for
	} {
		if w := b.post("/language", url.Values{"language": {"en"}}, "Referer", referer); w.Header().Get("Location") != target {
			t.Errorf("from %q to %q, want %q", referer, w.Header().Get("Location"), target)
		}
	}
}
