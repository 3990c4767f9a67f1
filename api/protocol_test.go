package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestETag_SavesTheSecondReading(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, path := range []string{"/machines/" + h.a.Machine.ID.String(), "/cases/" + h.a.Case.ID.String(), "/work-orders/" + h.a.Order.ID.String(),
		"/callbacks/" + h.a.Callback.String(), "/findings/" + h.a.Finding.ID.String(), "/customers/" + h.a.Customer.ID.String()} {
		first := h.ask(manager, get, path, "")
		etag := first.Header().Get("ETag")
		if first.Code != 200 || !strings.HasPrefix(etag, `"`) {
			t.Errorf("%s: %d, ETag %q: %s", path, first.Code, etag, first.Body)
			continue
		}
		if w := h.ask(manager, get, path, "", "If-None-Match", etag); w.Code != http.StatusNotModified || w.Body.Len() != 0 || w.Header().Get("ETag") != etag {
			t.Errorf("%s: %d with %q, ETag %q", path, w.Code, w.Body, w.Header().Get("ETag"))
		}
		if w := h.ask(manager, get, path, "", "If-None-Match", `"other", W/`+etag); w.Code != http.StatusNotModified {
			t.Errorf("%s among others: %d", path, w.Code)
		}
		if w := h.ask(manager, get, path, "", "If-None-Match", `"0-0"`); w.Code != 200 {
			t.Errorf("%s: an old ETag gives %d", path, w.Code)
		}
	}
	path := "/cases/" + h.a.Request.ID.String()
	before := h.ask(manager, get, path, "").Header().Get("ETag")
	if w := h.ask(engineer, post, path+"/comments", `{"text":"x"}`); w.Code != http.StatusNoContent {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := h.ask(manager, get, path, "", "If-None-Match", before); w.Code != 200 {
		t.Errorf("a new comment is not seen: %d", w.Code)
	}
	if w := h.ask(manager, post, path+"/transitions", `{"to":"triaged"}`, "If-Match", before); w.Code != 200 {
		t.Errorf("a comment makes the version stale: %d %s", w.Code, w.Body)
	}
}

func TestCursor_WalksTheWholeListOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i := range 5 {
		body := `{"manufacturer":"Beichen","serial":"CURSOR` + string(rune('A'+i)) + `","customerId":"` + h.a.Customer.ID.String() + `"}`
		if w := h.ask(manager, post, "/machines", body); w.Code != http.StatusCreated {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	for _, path := range []string{"/machines?limit=2", "/cases?limit=1", "/findings?limit=1", "/work-orders?limit=1"} {
		all := list(t, h.ask(manager, get, strings.Split(path, "?")[0]+"?limit=500", ""))
		seen := map[string]bool{}
		next, pages := path, 0
		for next != "" && pages < 20 {
			w := h.ask(manager, get, next, "")
			page := list(t, w)
			for _, id := range page.ids {
				if seen[id] {
					t.Errorf("%s: %s twice", path, id)
				}
				seen[id] = true
			}
			if (page.next == "") != !strings.Contains(w.Header().Get("Link"), `rel="next"`) || !strings.Contains(w.Header().Get("Link"), `rel="first"`) {
				t.Errorf("%s: Link %q with next %q", path, w.Header().Get("Link"), page.next)
			}
			next = nextLink(w)
			pages++
		}
		if len(seen) != len(all.ids) || pages < 2 {
			t.Errorf("%s: %d things on %d pages, %d in all", path, len(seen), pages, len(all.ids))
		}
	}
}

type pageSeen struct {
	ids  []string
	next string
}

func list(t *testing.T, w *httptest.ResponseRecorder) pageSeen {
	t.Helper()
	var body struct {
		Items []struct {
			ID string `json:"id"`
		} `json:"items"`
		Next string `json:"next"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != 200 {
		t.Fatalf("%d %v %s", w.Code, err, w.Body)
	}
	out := pageSeen{next: body.Next}
	for _, i := range body.Items {
		out.ids = append(out.ids, i.ID)
	}
	return out
}

func nextLink(w *httptest.ResponseRecorder) string {
	for part := range strings.SplitSeq(w.Header().Get("Link"), ", ") {
		target, rel, _ := strings.Cut(part, "; ")
		if rel == `rel="next"` {
			return strings.TrimPrefix(strings.Trim(target, "<>"), prefix)
		}
	}
	return ""
}

func TestIdempotencyKey_OpensOneCase(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	body := `{"machineId":"` + h.a.Machine.ID.String() + `","down":true,"pouringNow":false,"operatorPhone":"+8613800000009","description":"漏油","failureMode":"leak"}`
	first := h.ask(owner, post, "/cases", body, "Idempotency-Key", `"k1"`)
	if first.Code != http.StatusCreated {
		t.Fatalf("%d %s", first.Code, first.Body)
	}
	before := h.audits(t)
	again := h.ask(owner, post, "/cases", body, "Idempotency-Key", "k1")
	if again.Code != first.Code || again.Body.String() != first.Body.String() || again.Header().Get("ETag") != first.Header().Get("ETag") {
		t.Errorf("another answer: %d %s / %d %s", first.Code, first.Body, again.Code, again.Body)
	}
	if w := h.ask(owner, post, "/cases", strings.Replace(body, "漏油", "漏水", 1), "Idempotency-Key", "k1"); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("another body: %d %s", w.Code, w.Body)
	}
	if w := h.askAs(h.token(owner, true), post, "/cases", body, "Idempotency-Key", "k1"); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), h.a.Mark) {
		t.Errorf("another caller gets the kept answer: %d %s", w.Code, w.Body)
	}
	if n := h.audits(t) - before; n != 0 {
		t.Errorf("the replays wrote %d audit entries", n)
	}
}

func TestBody_IsBounded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.run(t, []scenario{
		{"too large", manager, false, post, "/customers", `{"name":"` + strings.Repeat("x", maxBody) + `"}`, nil, 413, []string{"larger than the limit"}, nil, 0},
		{"a field too long", manager, false, post, "/customers", `{"name":"` + strings.Repeat("字", 201) + `"}`, nil, 400, []string{`"/name"`}, nil, 0},
		{"a form instead of JSON", manager, false, post, "/customers", `name=x`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, nil, nil, 0},
	})
}
