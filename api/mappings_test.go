package api

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

func TestMappings_AreMadePreviewedAndEnded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.withLog(t)
	machine := h.w.A.Machine
	if err := h.s.History.Write(identity.With(t.Context(), maintenancetest.Program), []history.Point{{Machine: machine.Key, MachineNo: machine.No, At: h.s.Clock.Now(), Values: []observation.Value{{Signal: "HydraulicOilTemp", Value: 212}}}}); err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, body string, status int) string {
		t.Helper()
		w := h.ask(identity.ServiceManager, method, path, body)
		if w.Code != status {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		return w.Body.String()
	}
	of := "machineId=" + machine.ID.String()
	if raw := ask(http.MethodGet, "/raw-signals?"+of, "", http.StatusOK); !strings.Contains(raw, `"raw":"HydraulicOilTemp"`) || !strings.Contains(raw, `"suggested":"hydraulic_oil_temp"`) {
		t.Errorf("%s", raw)
	}
	var p telemetry.MappingPreview
	preview := "/signal-mappings/preview?" + of + "&raw=HydraulicOilTemp&signal=hydraulic_oil_temp&unit="
	if err := json.Unmarshal([]byte(ask(http.MethodGet, preview+url.QueryEscape("[degF]"), "", http.StatusOK)), &p); err != nil || len(p.Samples) != 1 || math.Abs(p.Samples[0].Converted-100) > 1e-9 {
		t.Errorf("%+v, %v", p, err)
	}
	if no := ask(http.MethodGet, preview+url.QueryEscape("[psi]"), "", http.StatusBadRequest); !strings.Contains(no, "unit [psi] cannot become Cel") {
		t.Errorf("%s", no)
	}
	body := fmt.Sprintf(`{"machineId":%q,"raw":"HydraulicOilTemp","signal":"hydraulic_oil_temp","unit":"[degF]"}`, machine.ID)
	var m telemetry.Mapping
	if err := json.Unmarshal([]byte(ask(http.MethodPut, "/signal-mappings", body, http.StatusOK)), &m); err != nil || m.Canonical != "Cel" {
		t.Errorf("%+v, %v", m, err)
	}
	if list := ask(http.MethodGet, "/signal-mappings?"+of, "", http.StatusOK); !strings.Contains(list, m.ID.String()) {
		t.Errorf("%s", list)
	}
	ask(http.MethodDelete, "/signal-mappings/"+m.ID.String(), "", http.StatusNoContent)
	ask(http.MethodDelete, "/signal-mappings/"+m.ID.String(), "", http.StatusNotFound)
	ask(http.MethodGet, "/signal-mappings", "", http.StatusBadRequest)
}
