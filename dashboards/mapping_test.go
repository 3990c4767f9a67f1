package dashboards

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// A service manager maps what a machine sends: he sees the value, a suggestion and
// what his choice would make of it, and why a unit cannot be.
func TestSignals_AreMappedWithAPreview(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	log, err := intakelog.Open(t.TempDir(), intakelog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	d.site.IntakeLog = log
	point := history.Point{Machine: d.a.Machine.Key, MachineNo: d.a.Machine.No, Model: "BC56", At: maintenancetest.Now, Values: []observation.Value{{Signal: "HydraulicOilTemp", Value: 212}}}
	if err := d.site.History.Write(identity.With(t.Context(), maintenancetest.Program), []history.Point{point}); err != nil {
		t.Fatal(err)
	}
	b := d.signIn(d.person(identity.ServiceManager), "en")
	page := "/machines/" + d.a.Machine.ID.String() + "/signals"
	if got := visible(text(b.get(page))); !strings.Contains(text(b.get(page)), "HydraulicOilTemp") || !strings.Contains(text(b.get(page)), "Most like hydraulic_oil_temp") {
		t.Fatalf("%s", got)
	}
	for unit, says := range map[string]string{"[degF]": "212 [degF] → 100 ℃", "[psi]": "E_UNIT_MISMATCH: unit [psi] cannot become Cel", "psi": "is no UCUM unit"} {
		query := url.Values{"raw": {"HydraulicOilTemp"}, "signal": {"hydraulic_oil_temp"}, "unit": {unit}}
		if w := b.get(page+"/preview?"+query.Encode(), "HX-Request", "true"); w.Code != http.StatusOK || !strings.Contains(text(w), says) || strings.Contains(text(w), "<html") {
			t.Errorf("%s: %d %s", unit, w.Code, text(w))
		}
	}
	to := "/machines/" + d.a.Machine.ID.String() + "/mapping"
	form := url.Values{"raw": {"HydraulicOilTemp"}, "signal": {"hydraulic_oil_temp"}, "unit": {"[psi]"}}
	if said := b.said(page, b.post(to, form, "Referer", page)); strings.Count(said, "unit [psi] cannot become Cel") != 1 {
		t.Errorf("%s", said)
	}
	form.Set("unit", "[degF]")
	if said := b.said(page, b.post(to, form, "Referer", page)); !strings.Contains(said, "It holds for what comes from now on") {
		t.Errorf("%s", said)
	}
	var list []telemetry.Mapping
	read := func() {
		d.do(func(ctx context.Context, tx pgx.Tx) (err error) {
			list, err = telemetry.Mappings(ctx, tx, &d.a.Machine.ID, nil)
			return err
		})
	}
	if read(); len(list) != 1 || list[0].Unit != "[degF]" || list[0].Canonical != "Cel" || list[0].ModelID != nil {
		t.Fatalf("%+v", list)
	}
	if !strings.Contains(text(b.get(page)), "hydraulic_oil_temp in [degF]") {
		t.Error("the page does not say what the name means")
	}
	if w := b.post("/mappings/"+list[0].ID.String()+"/delete", nil, "Referer", page); w.Code != http.StatusSeeOther {
		t.Errorf("%d", w.Code)
	}
	form.Set("signal", ignoreSignal)
	form.Set("model", "1")
	b.post(to, form, "Referer", page)
	if read(); len(list) != 1 || !list[0].Ignored || list[0].ModelID == nil {
		t.Fatalf("%+v", list)
	}
}
