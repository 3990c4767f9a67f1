package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

func form(t *testing.T, name, content string) (body, contentType string) {
	t.Helper()
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	if err := w.WriteField("note", "before the photo"); err != nil {
		t.Fatal(err)
	}
	part, err := w.CreateFormFile("photo", name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String(), w.FormDataContentType()
}

func TestAttachments_ArePhotosOfOnesOwn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	photo := string(maintenancetest.PNG())
	inForm, formType := form(t, "C:\\fins.png", photo)
	emptyForm, emptyType := form(t, "fins.png", "")
	own, others := "/attachments?entity=machine&entityId="+h.a.Machine.ID.String(), "/attachments?entity=machine&entityId="+h.b.Machine.ID.String()
	picture := []string{"Content-Type", "image/png"}
	h.run(t, []scenario{
		{"as it is", owner, false, post, own + "&name=fins.png", photo, picture, 201, []string{`"fins.png"`, `"mediaType":"image/png"`, `"entity":"machine"`}, []string{`"bytes"`}, 1},
		{"in a form", engineer, false, post, own, inForm, []string{"Content-Type", formType}, 201, []string{`"fins.png"`}, []string{"C:"}, 1},
		{"of another's machine", owner, false, post, others, photo, picture, 404, nil, []string{h.b.Mark}, 0},
		{"by a viewer", viewer, false, post, own, photo, picture, 403, nil, nil, 0},
		{"no picture", owner, false, post, own, "<svg/>", picture, 400, nil, nil, 0},
		{"nothing", owner, false, post, own, "", picture, 400, nil, nil, 0},
		{"another kind", owner, false, post, own, "{}", nil, 415, nil, nil, 0},
		{"a form without a file", owner, false, post, own, "--x--", []string{"Content-Type", "multipart/form-data; boundary=x"}, 400, nil, nil, 0},
		{"a form without an end", owner, false, post, own, inForm[:200], []string{"Content-Type", formType}, 400, nil, nil, 0},
		{"an empty file", owner, false, post, own, emptyForm, []string{"Content-Type", emptyType}, 400, nil, nil, 0},
		{"a form without a boundary", owner, false, post, own, inForm, []string{"Content-Type", "multipart/form-data"}, 400, []string{"/photo"}, nil, 0},
		{"too large", owner, false, post, own, photo + strings.Repeat("x", maxPhoto), picture, 413, nil, nil, 0},
		{"too large for anything", owner, false, post, own, strings.Repeat("x", maxForm+1), picture, 413, nil, nil, 0},
		{"of nothing", owner, false, post, "/attachments", photo, picture, 400, []string{"/entity", "/entityId"}, nil, 0},
		{"another's is not there", owner, false, get, "/attachments/" + h.b.Photo.ID.String(), "", nil, 404, nil, []string{h.b.Mark}, 0},
	})
	w := h.ask(owner, post, own, photo, picture...)
	var added maintenance.Attachment
	if err := json.Unmarshal(w.Body.Bytes(), &added); err != nil {
		t.Fatal(err)
	}
	for _, role := range []identity.Role{viewer, agent} {
		w := h.ask(role, get, "/attachments/"+added.ID.String(), "")
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "image/png" || w.Body.String() != photo || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", role, w.Code, w.Header())
		}
	}
}

func TestAttachments_SameKeySamePhoto(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	own := "/attachments?entity=machine&entityId=" + h.a.Machine.ID.String()
	once := []string{"Content-Type", "image/png", "Idempotency-Key", "photo-1"}
	first, second := h.ask(owner, post, own, string(maintenancetest.PNG()), once...), h.ask(owner, post, own, string(maintenancetest.PNG()), once...)
	if first.Code != 201 || second.Code != 201 || first.Body.String() != second.Body.String() {
		t.Errorf("%d %s, then %d %s", first.Code, first.Body, second.Code, second.Body)
	}
}

func TestObservations_AreSeriesOfOnesOwn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var points []history.Point
	for minute := range 120 {
		at := maintenancetest.Now.Add(-time.Duration(minute+1) * time.Minute)
		for _, m := range []machines.Machine{h.a.Machine, h.b.Machine} {
			points = append(points, history.Point{Machine: m.Key, MachineNo: m.No, At: at, Values: []observation.Value{{Signal: "hydraulic_oil_temp", Value: 80}, {Signal: "load", Value: float64(minute)}}})
		}
	}
	if err := h.s.History.Write(identity.With(t.Context(), maintenancetest.Program), points); err != nil {
		t.Fatal(err)
	}
	own, others := "/observations?machineId="+h.a.Machine.ID.String(), "/observations?machineId="+h.b.Machine.ID.String()
	hour := "&from=" + maintenancetest.Now.Add(-time.Hour).Format(time.RFC3339)
	h.run(t, []scenario{
		{"all signals", viewer, false, get, own, "", nil, 200, []string{`"signal":"load"`, `"signal":"hydraulic_oil_temp"`, `"mean":[80`}, nil, 0},
		{"one", viewer, false, get, own + "&signals=load", "", nil, 200, []string{`"signal":"load"`}, []string{"hydraulic"}, 0},
		{"an unknown one", viewer, false, get, own + "&signals=nothing", "", nil, 200, []string{`"items":[]`}, nil, 0},
		{"another's", viewer, false, get, others, "", nil, 404, nil, []string{"load"}, 0},
		{"for staff", manager, false, get, others + hour, "", nil, 200, []string{"load"}, nil, 0},
		{"backwards", manager, false, get, own + "&to=" + maintenancetest.Now.Add(-48*time.Hour).Format(time.RFC3339) + hour, "", nil, 400, []string{"/from"}, nil, 0},
		{"too many points", manager, false, get, own + "&points=5001", "", nil, 400, []string{"/points"}, nil, 0},
		{"no time", manager, false, get, own + "&from=yesterday", "", nil, 400, []string{"/from"}, nil, 0},
		{"no machine", manager, false, get, "/observations", "", nil, 400, []string{"/machineId"}, nil, 0},
	})
	w := h.ask(viewer, get, own+"&points=10"+hour, "")
	var page Items[Series]
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
		t.Fatal(err)
	}
	for _, s := range page.Items {
		if len(s.At) == 0 || len(s.At) > 10 || len(s.Mean) != len(s.At) || len(s.Low) != len(s.At) || len(s.High) != len(s.At) || s.Low[0] > s.Mean[0] || s.High[0] < s.Mean[0] {
			t.Errorf("%s: %+v", s.Signal, s)
		}
	}
}

func TestAudits_TellWhoChangedWhat(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.a.Machine.ID.String()
	if w := h.ask(owner, post, "/machines/"+id+"/operating-status", `{"status":"stored","note":"冬停"}`); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	h.run(t, []scenario{
		{"of a machine", owner, false, get, "/audits?machineId=" + id + "&limit=1", "", nil, 200, []string{`"action":"operating status"`, `"status":"working"`, `"status":"stored"`, `"next"`}, []string{h.b.Mark}, 0},
		{"of a thing", manager, false, get, "/audits?entity=case&entityId=" + h.a.Case.ID.String(), "", nil, 200, []string{h.a.Case.ID.String()}, []string{h.b.Case.ID.String()}, 0},
		{"another's", owner, false, get, "/audits?machineId=" + h.b.Machine.ID.String(), "", nil, 200, []string{`"items":[]`}, nil, 0},
		{"everything of one's own", owner, false, get, "/audits?limit=500", "", nil, 200, []string{id}, []string{h.b.Machine.ID.String()}, 0},
		{"not for a viewer", viewer, false, get, "/audits", "", nil, 403, nil, nil, 0},
		{"an odd cursor", manager, false, get, "/audits?cursor=x", "", nil, 400, []string{"/cursor"}, nil, 0},
	})
	seen, path := map[string]bool{}, "/audits?limit=7"
	for range 200 {
		w := h.ask(manager, get, path, "")
		var page Items[machines.AuditEntry]
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		for _, entry := range page.Items {
			if seen[entry.ID.String()] {
				t.Errorf("%s came twice", entry.ID)
			}
			seen[entry.ID.String()] = true
		}
		if page.Next == "" {
			break
		}
		path = fmt.Sprintf("/audits?limit=7&cursor=%s", page.Next)
	}
	if n := h.audits(t); len(seen) != n {
		t.Errorf("%d of %d entries came", len(seen), n)
	}
}
