package dashboards

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

func TestEvidence_IsToldAsFinelyAsItMattersAndWithoutAUnitWhereThereIsNone(t *testing.T) {
	t.Parallel()
	texts, err := loadTexts()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 6, 4, 6, 0, 0, 0, time.UTC)
	v := view{texts: texts, Language: "en", Now: now}
	small := rules.Evidence{Signal: "vibration_1", Since: now.Add(-3 * time.Hour), Deviation: -0.00054, Low: 0.0261, High: 0.0274, Limit: 0.00063, Sigma: 0.0002}
	hot := rules.Evidence{Signal: "oil", Unit: "Cel", Since: now.Add(-3 * time.Hour), Deviation: 7.41, Low: 56.3, High: 64.5, Limit: 4.1, Sigma: 1, Regime: "load 0.5.."}
	days, stop := [2]float64{10.6, 14.7}, 85.0
	hot85 := hot
	hot85.DaysToLimit, hot85.StopAt, hot85.Limit = &days, &stop, 0
	hot85.Model = &rules.Model{Terms: []rules.Term{{Signal: "ambient"}, {Signal: "power"}}}
	for want, e := range map[string]rules.Evidence{
		"vibration_1 is 0.00054 below this machine's own normal, for 3 h. Its normal is 0.02610 to 0.02740. Below 0.00063 it would not have been raised.":                                                                                small,
		"At equal load, oil is 7.4 ℃ above this machine's own normal, for 3 h. Its normal is 56.3 to 64.5 ℃. Below 4.1 ℃ it would not have been raised.":                                                                                 hot,
		"At equal load, oil is 7.4 ℃ above this machine's own normal, for 3 h. Its normal is 56.3 to 64.5 ℃. The influence of ambient and power is removed. On this trend it reaches the 85 ℃ stop limit in 11–15 days (80 % interval).": hot85,
		"oil is at 3.0.": {Signal: "oil", Observed: 3},
		"oil has not come for 3 h, though the machine sends its other signals.": {Signal: "oil", Sign: "absent", Since: now.Add(-3 * time.Hour)},
		"oil stands at 70.5 ℃ and has not moved for 3 h.":                       {Signal: "oil", Unit: "Cel", Sign: "frozen", Observed: 70.5, Since: now.Add(-3 * time.Hour)},
	} {
		if got := strings.ReplaceAll(explained(v, e, labels{}), "\u00a0", " "); got != want {
			t.Errorf("%q\nwant %q", got, want)
		}
	}
}

// A bundle that cannot be made is refused on a page, in the reader's language; that one
// can be made is held where the whole product runs.
func TestEvidence_WhoMayNotHaveABundleIsToldWhy(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	bundle := "/findings/" + d.a.Finding.ID.String() + "/bundle"
	owner, other := d.signIn(d.a.People[identity.OwnerAdmin], "zh"), d.signIn(d.b.People[identity.OwnerAdmin], "zh")
	if page := text(owner.get("/machines/" + d.a.Machine.ID.String())); !strings.Contains(page, bundle) {
		t.Error("the machine's page does not offer it")
	}
	if w := owner.get(bundle); w.Code != http.StatusConflict || !strings.Contains(visible(text(w)), "无法复算") {
		t.Errorf("of the other rules' finding: %d %.300s", w.Code, visible(text(w)))
	}
	if w := other.get(bundle); w.Code != http.StatusNotFound {
		t.Errorf("of another customer's finding: %d", w.Code)
	}
}
