package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
	"github.com/thirdstate/thirdstate/telemetry/aemp"
	"github.com/thirdstate/thirdstate/telemetry/aemp/pull"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// working lets both customers' machines say something in the last hour.
func (h *house) working(t *testing.T) {
	t.Helper()
	for _, a := range []*maintenancetest.Tenant{h.a, h.b} {
		var points []history.Point
		for i := range 3 {
			points = append(points, history.Point{Machine: a.Machine.Key, MachineNo: a.Machine.No, At: maintenancetest.Now.Add(time.Duration(i-3) * time.Minute),
				Values: []observation.Value{{Signal: "fuel_level", Value: float64(50 - i)}, {Signal: "latitude", Value: 26.86}, {Signal: "longitude", Value: 112.6}}})
		}
		ctx := identity.With(t.Context(), maintenancetest.Program)
		if err := h.s.History.Write(ctx, points); err != nil {
			t.Fatal(err)
		}
		hours, seen := 4211.5, maintenancetest.Now.Add(-time.Minute)
		err := postgres.As(ctx, h.w.Pool, maintenancetest.Program, func(tx pgx.Tx) error {
			return machines.SetSeen(ctx, tx, []machines.Seen{{MachineID: a.Machine.ID, At: seen, First: &seen, Hours: &hours}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (h *house) fleet(token, path string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodGet, fleetPrefix+path, http.NoBody)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.e.ServeHTTP(w, req)
	return w
}

func (h *house) nameplate(a *maintenancetest.Tenant) string {
	return "/Fleet/Equipment/MakeModelSerial/" + url.PathEscape(a.Machine.Manufacturer) + "/" + url.PathEscape(h.w.Model.Name) + "/" + url.PathEscape(a.Machine.Serial)
}

// Every role reads, nobody else does, and a customer reads his own machines only:
// another's is not told from one that does not exist.
func TestFleet_EachSeesHisOwn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.working(t)
	series := "/cumulativeOperatingHours/2026-06-04T00:00:00Z/2026-06-05T00:00:00Z/1"
	paths := func(a *maintenancetest.Tenant) []string {
		return []string{"/Fleet/1", h.nameplate(a), h.nameplate(a) + series, "/Fleet/Equipment/ID/" + a.Machine.Serial, "/Fleet/Equipment/ID/" + a.Machine.Key + series, h.nameplate(a) + strings.Replace(series, "cumulativeOperatingHours", "faults", 1)}
	}
	for _, path := range paths(h.a) {
		for _, token := range []string{"", "ts_no_such_token"} {
			if w := h.fleet(token, path); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" || strings.Contains(changed(w), h.a.Mark) {
				t.Errorf("%s by nobody: %d %s", path, w.Code, w.Body)
			}
		}
		for _, role := range identity.Roles {
			if w := h.fleet(h.token(role, false), path); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), h.a.Machine.Serial) {
				t.Errorf("%s by %s: %d %s\n%s", path, role, w.Code, w.Body, h.logs)
			}
		}
	}
	for _, role := range []identity.Role{identity.OwnerAdmin, identity.OwnerViewer, identity.CustomerRepresentative} {
		for _, path := range paths(h.b) {
			w := h.fleet(h.token(role, false), path)
			if strings.Contains(changed(w), h.b.Mark) {
				t.Errorf("%s by another's %s: %s", path, role, w.Body)
			}
			if path == "/Fleet/1" {
				continue
			}
			none := h.fleet(h.token(role, false), strings.ReplaceAll(strings.ReplaceAll(path, h.b.Machine.Serial, "NONE"), h.b.Machine.Key, "NONE"))
			if w.Code != http.StatusNotFound || changed(w) != changed(none) {
				t.Errorf("%s by another's %s is told from nothing: %d %s / %s", path, role, w.Code, w.Body, none.Body)
			}
		}
	}
}

// changed is an answer without what differs between any two requests.
func changed(w *httptest.ResponseRecorder) string {
	var kept []string
	for _, part := range strings.Split(w.Body.String(), ",") {
		if !strings.Contains(part, "instance") && !strings.Contains(part, "request_id") {
			kept = append(kept, part)
		}
	}
	return fmt.Sprint(w.Code, kept)
}

func TestFleet_IsReadInBothForms(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.working(t)
	owner := h.token(identity.OwnerViewer, false)
	for accept, contentType := range map[string]string{"": "application/xml", "application/xml": "application/xml", "*/*": "application/xml",
		"application/json": "application/json", "application/iso15143-snapshot+json": "application/json"} {
		w := h.fleet(owner, "/fleet/1", "Accept", accept)
		f, err := aemp.Read(w.Body.Bytes())
		if err != nil || w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), contentType) {
			t.Fatalf("%q: %d %s %v", accept, w.Code, w.Header(), err)
		}
		if len(f.Equipment) != 2 || f.Link("self") != "/aemp/v2/fleet/1" || f.Link("next") != "" || f.Link("last") != "/aemp/v2/fleet/1" {
			t.Errorf("%q: %+v", accept, f)
		}
		e := f.Equipment[0]
		got := map[string]float64{}
		for _, v := range e.Values {
			got[v.Signal] = v.Value
		}
		if e.SerialNumber != h.a.Machine.Serial || got["fuel_level"] != 48 || got["latitude"] != 26.86 || got["operating_hours"] != 4211.5 {
			t.Errorf("%q: %+v", accept, e)
		}
		if len(e.Codes) != 1 || e.Codes[0].Identifier != "SPN110-FMI0" || e.Codes[0].Severity != "High" {
			t.Errorf("%q: %+v", accept, e.Codes)
		}
	}
	req := httptest.NewRequest(http.MethodGet, fleetPrefix+"/FLEET/1", http.NoBody)
	req.SetBasicAuth("anybody", owner)
	w := httptest.NewRecorder()
	if h.e.ServeHTTP(w, req); w.Code != http.StatusOK {
		t.Errorf("Basic: %d %s", w.Code, w.Body)
	}
}

func TestFleet_SeriesAndWhatIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.working(t)
	manager := h.token(identity.ServiceManager, false)
	day := "/2026-06-04T00:00:00Z/2026-06-05T00:00:00Z/1"
	for metric, want := range map[string]int{"/fuelRemainingRatio": 3, "/FUELREMAINING": 3, "/locations": 6, "/Distance": 0} {
		w := h.fleet(manager, h.nameplate(h.a)+metric+day, "Accept", "application/json")
		f, err := aemp.Read(w.Body.Bytes())
		if err != nil || len(f.Equipment) != 1 || len(f.Equipment[0].Values) != want {
			t.Errorf("%s: %d %v %s", metric, w.Code, err, w.Body)
		}
	}
	for path, status := range map[string]int{
		"/Fleet/0": 404, "/Fleet/2": 404, "/Fleet/x": 404, "/Fleet/1/2": 404, "/": 404, "/Other": 404, "/Fleet/Equipment": 404, "/Fleet/Equipment/ID": 404, "/Fleet/Equipment/ID/%00": 404,
		"/Fleet/Equipment/ID/NONE": 404, h.nameplate(h.a) + "/passwords" + day: 404, h.nameplate(h.a) + "/faults/yesterday/today/1": 400, h.nameplate(h.a) + "/faults/2026-06-05T00:00:00Z/2026-06-04T00:00:00Z/1": 400,
		h.nameplate(h.a) + "/faults/2026-01-05T00:00:00Z/2026-06-04T00:00:00Z/1": 400, h.nameplate(h.a) + "/locations" + strings.TrimSuffix(day, "1") + "2": 404, h.nameplate(h.a) + "/faults": 404,
	} {
		if w := h.fleet(manager, path); w.Code != status || !strings.Contains(w.Header().Get("Content-Type"), "problem+json") {
			t.Errorf("%s: %d %s, want %d", path, w.Code, w.Body, status)
		}
	}
}

// Our own puller reads our own server: what we serve is what others can read.
func TestFleet_OurPullerReadsOurServer(t *testing.T) {
	h := newHouse(t)
	h.working(t)
	server := httptest.NewServer(h.e)
	t.Cleanup(server.Close)
	t.Setenv("AEMP_ROUND_TRIP", h.token(identity.ServiceManager, false))
	log, err := intakelog.Open(t.TempDir(), intakelog.Options{SegmentBytes: 1 << 20, MaxBytes: 64 << 20, CommitDelay: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	p := pull.New(pull.Config{Sources: []pull.Source{{Name: "us", URL: server.URL + "/aemp/v2", PlainHTTP: true, Every: "1h", Series: []string{"Faults", "Locations"}, Auth: pull.Auth{Kind: "bearer", Token: "env:AEMP_ROUND_TRIP"}}},
		Log: log, Now: h.clock.Now, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	for tick := time.NewTicker(5 * time.Millisecond); p.Sources()[0].Polls == 0 && ctx.Err() == nil; <-tick.C {
	}
	status := p.Sources()[0]
	cancel()
	if err := <-done; err != nil || status.Trouble != "" {
		t.Fatalf("%v %+v", err, status)
	}
	records, err := log.Read(t.Context(), 0, 1_000, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out formats.Decoded
	for _, r := range records {
		if _, err := formats.Decode(formats.Message{Topic: r.Topic, Received: r.Received, Payload: r.Payload}, &out); err != nil {
			t.Fatalf("%v\n%s", err, r.Payload)
		}
	}
	found, codes := map[string]bool{}, map[string]bool{}
	for _, r := range out.Readings {
		for _, v := range r.Values {
			found[r.Machine+" "+v.Signal] = true
		}
	}
	for _, c := range out.Troubles {
		codes[c.Machine] = c.Codes[0].Code == "SPN110-FMI0"
	}
	for _, a := range []*maintenancetest.Tenant{h.a, h.b} {
		if !found[a.Machine.Serial+" fuel_level"] || !found[a.Machine.Serial+" operating_hours"] || !found[a.Machine.Serial+" latitude"] || !codes[a.Machine.Serial] {
			t.Errorf("of %s came %v %v", a.Machine.Serial, found, codes)
		}
	}
	if len(out.Faults) > 0 || len(records) != 1+4*2 {
		t.Errorf("%d records, %+v", len(records), out.Faults)
	}
}

// A week of a machine that speaks each minute is more than is read at once: the
// links lead through all of it, and whoever counts pages himself is told.
func TestFleet_LinksLeadThroughALongSeries(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const values, step = 10_500, time.Minute
	begin := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	ctx := identity.With(t.Context(), maintenancetest.Program)
	var points []history.Point
	for i := range values {
		points = append(points, history.Point{Machine: h.a.Machine.Key, MachineNo: h.a.Machine.No, At: begin.Add(time.Duration(i) * step), Values: []observation.Value{{Signal: "fuel_level", Value: float64(i)}}})
	}
	for chunk := range slices.Chunk(points, 2_000) {
		if err := h.s.History.Write(ctx, chunk); err != nil {
			t.Fatal(err)
		}
	}
	manager := h.token(identity.ServiceManager, false)
	path := h.nameplate(h.a) + "/fuelRemainingRatio/2026-05-01T00:00:00Z/2026-06-01T00:00:00Z/"
	pages, next := 0, path+"1"
	for at := 0.0; next != ""; pages++ {
		w := h.fleet(manager, next, "Accept", "application/json")
		f, err := aemp.Read(w.Body.Bytes())
		if err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: %d %v %.300s", next, w.Code, err, w.Body)
		}
		for _, v := range f.Equipment[0].Values {
			if v.Value != at || !v.At.Equal(begin.Add(time.Duration(at)*step)) {
				t.Fatalf("%s: %v at %v, want %v", next, v.Value, v.At, at)
			}
			at++
		}
		if next = strings.TrimPrefix(f.Link("next"), fleetPrefix); next == "" && at != values {
			t.Fatalf("the links end after %v of %d values", at, values)
		}
	}
	if pages != 11 {
		t.Errorf("%d pages", pages)
	}
	for page, status := range map[string]int{"10": 200, "11": 400, "99": 400} {
		if w := h.fleet(manager, path+page); w.Code != status || status == 400 && !strings.Contains(w.Body.String(), "the link next") {
			t.Errorf("page %s: %d %.300s", page, w.Code, w.Body)
		}
	}
	short := strings.Replace(path, "2026-06-01", "2026-05-05", 1) // 5,760 values: all are counted
	for page, status := range map[string]int{"6": 200, "7": 404} {
		if w := h.fleet(manager, short+page); w.Code != status {
			t.Errorf("page %s: %d %.300s", page, w.Code, w.Body)
		}
	}
}

// A machine that speaks each second shows what it says now, and one with many
// trouble codes all of them.
func TestFleet_ShowsTheNewestAndAllCodes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx := identity.With(t.Context(), maintenancetest.Program)
	seen := maintenancetest.Now.Add(-time.Second)
	var points []history.Point
	for i := range 7_000 {
		points = append(points, history.Point{Machine: h.a.Machine.Key, MachineNo: h.a.Machine.No, At: seen.Add(time.Duration(i-6_999) * time.Second), Values: []observation.Value{{Signal: "fuel_level", Value: float64(i)}}})
	}
	if err := h.s.History.Write(ctx, points); err != nil {
		t.Fatal(err)
	}
	err := postgres.As(ctx, h.w.Pool, maintenancetest.Program, func(tx pgx.Tx) error {
		if err := machines.SetSeen(ctx, tx, []machines.Seen{{MachineID: h.a.Machine.ID, At: seen, First: &seen}}); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO trouble_code (id, machine_id, customer_id, protocol, code, description, description_en, severity, mil, red_stop, amber_warning, protect, occurrences, previous, first_seen_at, last_seen_at)
			SELECT gen_random_uuid(), @machine, @customer, 'oem', 'E' || n, '', '', 'warning', false, false, false, false, 1, false, @at, @at FROM generate_series(1, 1200) AS n`,
			pgx.NamedArgs{"machine": h.a.Machine.ID, "customer": h.a.Customer.ID, "at": seen})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	manager := h.token(identity.ServiceManager, false)
	w := h.fleet(manager, h.nameplate(h.a))
	f, err := aemp.Read(w.Body.Bytes())
	if err != nil || len(f.Equipment) != 1 || len(f.Equipment[0].Codes) != 1_201 {
		t.Fatalf("%d %v: %d codes", w.Code, err, len(f.Equipment[0].Codes))
	}
	if v := f.Equipment[0].Values; len(v) != 1 || v[0].Value != 6_999 {
		t.Errorf("%+v", v)
	}
	codes := 0
	for next := h.nameplate(h.a) + "/faults/2026-06-01T00:00:00Z/2026-06-30T00:00:00Z/1"; next != ""; {
		f, err := aemp.Read(h.fleet(manager, next).Body.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		codes += len(f.Equipment[0].Codes)
		next = strings.TrimPrefix(f.Link("next"), fleetPrefix)
	}
	if codes != 1_201 {
		t.Errorf("%d codes in pages", codes)
	}
}
