package pull

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/aemp"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

var now = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// maker is a maker's server, which is an outside service: it serves what makers
// send, by path, and notes what it was asked.
type maker struct {
	*httptest.Server
	mu    sync.Mutex
	pages map[string]string
	guard func(*http.Request) bool
	asked []string
}

func newMaker(t *testing.T, pages map[string]string) *maker {
	t.Helper()
	m := &maker{pages: pages}
	m.Server = httptest.NewServer(http.HandlerFunc(m.answer))
	t.Cleanup(m.Close)
	return m
}

func (m *maker) answer(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	m.asked = append(m.asked, r.URL.EscapedPath())
	body, found := m.pages[r.URL.EscapedPath()]
	m.mu.Unlock()
	switch {
	case r.URL.Path == "/token":
		_ = r.ParseForm()
		if r.Form.Get("grant_type") == "password" && r.Form.Get("password") != "pw" {
			http.Error(w, `{"error":"invalid_grant","error_description":"pw-leak"}`, http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"tok","token_type":"Bearer","expires_in":3600}`)
	case m.guard != nil && !m.guard(r):
		w.WriteHeader(http.StatusUnauthorized)
	case body == "429":
		w.Header().Set("Retry-After", "1800")
		w.WriteHeader(http.StatusTooManyRequests)
	case !found:
		w.WriteHeader(http.StatusNotFound)
	default:
		fmt.Fprint(w, body)
	}
}

func (m *maker) times(path string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.asked {
		if p == path {
			n++
		}
	}
	return n
}

func sample(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// pulled polls a source once and gives its status, the wait and the records.
func pulled(t *testing.T, s Source) (Status, time.Duration, []intakelog.Record) {
	t.Helper()
	log, err := intakelog.Open(t.TempDir(), intakelog.Options{SegmentBytes: 1 << 20, MaxBytes: 64 << 20, CommitDelay: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	if s.Name == "" {
		s.Name = "maker"
	}
	s.PlainHTTP = true
	if err := s.check(); err != nil {
		t.Fatal(err)
	}
	p := New(Config{Sources: []Source{s}, Log: log, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)})
	wait := p.feeds[0].poll(t.Context())
	var records []intakelog.Record
	if _, last := log.Bounds(); last > 0 {
		if records, err = log.Read(t.Context(), 0, 100, nil); err != nil {
			t.Fatal(err)
		}
	}
	return p.Sources()[0], wait, records
}

func page(links, inner string) string {
	return `<Fleet version="1" snapshotTime="2026-03-01T08:00:00Z">` + links + inner + `</Fleet>`
}

func link(rel, href string) string {
	return "<Links><rel>" + rel + "</rel><href>" + href + "</href></Links>"
}

const machine = `<Equipment><EquipmentHeader><OEMName>EX &amp; Co</OEMName><Model>M/1</Model><SerialNumber>S 1</SerialNumber></EquipmentHeader></Equipment>`

func TestPuller_FollowsPagesAndKeepsAnswersAsTheyCame(t *testing.T) {
	t.Parallel()
	m := newMaker(t, map[string]string{
		"/aemp/Fleet/1": page(link("Self", "/aemp/Fleet/1")+link("Next", "2"), machine),
		"/aemp/Fleet/2": page(link("self", "/aemp/Fleet/2")+link("next", "/aemp/Fleet/3")+link("last", "/aemp/Fleet/3"), machine),
		"/aemp/Fleet/3": sample(t, "quirks.xml"),
	})
	m.pages["/aemp/Fleet/3"] = strings.ReplaceAll(m.pages["/aemp/Fleet/3"], "https://oem.example/Telematics/Fleet/0", m.URL+"/aemp/Fleet/3")
	status, wait, records := pulled(t, Source{URL: m.URL + "/aemp"})
	if status.Trouble != "" || status.Pages != 3 || wait != 15*time.Minute || len(records) != 3 {
		t.Fatalf("%+v %v %d records", status, wait, len(records))
	}
	for i, r := range records {
		if r.Topic != "aemp/maker" || r.Source != "aemp" || string(r.Payload) != m.pages[fmt.Sprintf("/aemp/Fleet/%d", i+1)] || !r.Received.Equal(now) {
			t.Errorf("record %d: %+v", i, r)
		}
	}
}

func TestPuller_LoopsEnd(t *testing.T) {
	t.Parallel()
	m := newMaker(t, map[string]string{
		"/Fleet/0": page(link("self", "/Fleet/0")+link("next", "/Fleet/0"), machine),
		"/Fleet/1": page(link("next", "/Fleet/2"), machine),
		"/Fleet/2": page(link("next", "/Fleet/1"), machine),
	})
	if status, _, records := pulled(t, Source{URL: m.URL, FirstPage: -1}); status.Trouble != "" || len(records) != 1 || m.times("/Fleet/0") != 1 {
		t.Errorf("page 0: %+v %d", status, len(records))
	}
	if status, _, records := pulled(t, Source{URL: m.URL}); status.Trouble != "" || len(records) != 2 {
		t.Errorf("a ring: %+v %d", status, len(records))
	}
}

func TestPuller_SignsInInEveryWay(t *testing.T) {
	m := newMaker(t, map[string]string{"/Fleet/1": page(link("next", "/Fleet/2"), machine), "/Fleet/2": page("", machine)})
	t.Setenv("AEMP_TEST_PASSWORD", "pw")
	t.Setenv("AEMP_TEST_TOKEN", "tok")
	t.Setenv("AEMP_TEST_WRONG", "wrong-secret")
	basic := func(r *http.Request) bool { u, p, _ := r.BasicAuth(); return u == "us" && p == "pw" }
	bearer := func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer tok" }
	for name, c := range map[string]struct {
		auth  Auth
		guard func(*http.Request) bool
		fails string
	}{
		"none":               {Auth{}, nil, ""},
		"basic":              {Auth{Kind: "basic", User: "us", Password: "env:AEMP_TEST_PASSWORD"}, basic, ""},
		"bearer":             {Auth{Kind: "bearer", Token: "env:AEMP_TEST_TOKEN"}, bearer, ""},
		"client credentials": {Auth{Kind: "oauth2", TokenURL: m.URL + "/token", Client: "c", Secret: "env:AEMP_TEST_PASSWORD", Scopes: []string{"api:aemp"}}, bearer, ""},
		"password grant":     {Auth{Kind: "oauth2", Grant: "password", TokenURL: m.URL + "/token", Client: "c", User: "us", Password: "env:AEMP_TEST_PASSWORD"}, bearer, ""},
		"a wrong password":   {Auth{Kind: "oauth2", Grant: "password", TokenURL: m.URL + "/token", Client: "c", User: "us", Password: "env:AEMP_TEST_WRONG"}, bearer, "the token server answers 400"},
		"a wrong token":      {Auth{Kind: "bearer", Token: "env:AEMP_TEST_WRONG"}, bearer, "401"},
		"no secret":          {Auth{Kind: "bearer", Token: "env:AEMP_TEST_NOTHING"}, bearer, "AEMP_TEST_NOTHING is empty"},
	} {
		m.guard = c.guard
		before := m.times("/token")
		status, _, records := pulled(t, Source{URL: m.URL, Auth: c.auth})
		if c.fails == "" && (status.Trouble != "" || len(records) != 2) || c.fails != "" && !strings.Contains(status.Trouble, c.fails) {
			t.Errorf("%s: %+v, %d records", name, status, len(records))
		}
		if strings.Contains(status.Trouble, "wrong-secret") || strings.Contains(status.Trouble, "pw-leak") {
			t.Errorf("%s: a secret is told: %s", name, status.Trouble)
		}
		if asked := m.times("/token") - before; c.fails == "" && c.auth.Kind == "oauth2" && asked != 1 {
			t.Errorf("%s: %d tokens for two pages", name, asked)
		}
	}
}

func TestPuller_WaitsWhenItIsTold(t *testing.T) {
	t.Parallel()
	m := newMaker(t, map[string]string{"/Fleet/1": "429"})
	if status, wait, _ := pulled(t, Source{URL: m.URL}); wait != 30*time.Minute || !strings.Contains(status.Trouble, "429") {
		t.Errorf("%+v %v", status, wait)
	}
	if got := retryAfter(now.Add(time.Hour).Format(http.TimeFormat), now); got != time.Hour {
		t.Errorf("a date: %v", got)
	}
	if got := retryAfter("soon", now); got != 0 {
		t.Errorf("nonsense: %v", got)
	}
}

func TestPuller_GoesNowhereElse(t *testing.T) {
	t.Parallel()
	other := newMaker(t, map[string]string{"/Fleet/2": page("", machine)})
	m := newMaker(t, map[string]string{"/Fleet/1": page(link("next", other.URL+"/Fleet/2"), machine)})
	if status, _, _ := pulled(t, Source{URL: m.URL}); !strings.Contains(status.Trouble, "another server") || len(other.asked) > 0 {
		t.Errorf("%+v %v", status, other.asked)
	}
	away := httptest.NewServer(http.RedirectHandler(other.URL+"/Fleet/2", http.StatusFound))
	t.Cleanup(away.Close)
	if status, _, _ := pulled(t, Source{URL: away.URL}); !strings.Contains(status.Trouble, "elsewhere") || len(other.asked) > 0 {
		t.Errorf("%+v %v", status, other.asked)
	}
}

func TestPuller_CutsWhatIsLongerThanAMessage(t *testing.T) {
	t.Parallel()
	f := aemp.Fleet{SnapshotTime: now}
	for i := range 3_000 {
		f.Equipment = append(f.Equipment, aemp.Equipment{Header: aemp.Header{SerialNumber: fmt.Sprint("S", i), OEMName: "EX", Model: strings.Repeat("M", 100)}})
	}
	body, err := f.XML("")
	if err != nil {
		t.Fatal(err)
	}
	m := newMaker(t, map[string]string{"/Fleet/1": string(body)})
	status, _, records := pulled(t, Source{URL: m.URL})
	n := 0
	for _, r := range records {
		part, err := aemp.Read(r.Payload)
		if err != nil || len(r.Payload) > 256<<10 {
			t.Fatal(len(r.Payload), err)
		}
		n += len(part.Equipment)
	}
	if status.Trouble != "" || len(records) < 2 || n != 3_000 {
		t.Errorf("%+v: %d machines in %d records", status, n, len(records))
	}
}

func TestPuller_AsksForSeriesOfAWeekAtMost(t *testing.T) {
	t.Parallel()
	var variants map[string]json.RawMessage
	if err := json.Unmarshal([]byte(sample(t, "variants.json")), &variants); err != nil {
		t.Fatal(err)
	}
	series := "/Fleet/Equipment/MakeModelSerial/EX%20&%20Co/M%2F1/S%201/Faults/2026-02-22T08:00:00Z/2026-03-01T08:00:00Z/1"
	m := newMaker(t, map[string]string{"/Fleet/1": page("", machine), series: string(variants["cat_timeseries_style"])})
	status, _, records := pulled(t, Source{URL: m.URL, Series: []string{"Faults", "Locations"}})
	if status.Trouble != "" || len(records) != 2 || records[1].Topic != "aemp/maker/S%201" {
		t.Errorf("%+v %d records, asked %v", status, len(records), m.asked)
	}
}

func TestPuller_KeepsWhatItCannotRead(t *testing.T) {
	t.Parallel()
	m := newMaker(t, map[string]string{"/Fleet/1": "<html>Sign in</html>"})
	status, _, records := pulled(t, Source{URL: m.URL})
	if len(records) != 1 || !strings.Contains(status.Trouble, "the answer") {
		t.Errorf("%+v %d", status, len(records))
	}
}

func TestReadSources_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"sources: []": "0 sources",
		"sources: [{name: A B, url: https://x.example}]":                                                                "small letters",
		"sources: [{name: a, url: http://x.example}]":                                                                   "must be https",
		"sources: [{name: a, url: https://u:p@x.example}]":                                                              "holds a password",
		"sources: [{name: a, url: https://x.example, every: often}]":                                                    "every is no time",
		"sources: [{name: a, url: https://x.example, auth: {kind: bearer, token: abc}}]":                                "holds a secret",
		"sources: [{name: a, url: https://x.example, auth: {kind: oauth2}}]":                                            "lacks something",
		"sources: [{name: a, url: https://x.example, auth: {kind: magic}}]":                                             "auth kind is",
		"sources: [{name: a, url: https://x.example, colour: red}]":                                                     "colour",
		"sources: [{name: a, url: https://x.example}, {name: a, url: https://y.example}]":                               "twice",
		"sources: [{name: a, url: https://x.example, every: 1h, series: [Faults], auth: {kind: none}, first_page: -1}]": "",
	} {
		path := filepath.Join(t.TempDir(), "sources.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadSources(path)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
