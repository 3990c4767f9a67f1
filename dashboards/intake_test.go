package dashboards

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/identity"
)

func TestIntake_SaysOfAnEdgeWhatWaitsForTheCentre(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	centre := CentreStatus{URL: "mqtts://centre:8883", Edge: "EDGE1", At: 70, Waiting: 29, Trouble: "no route to host", Oldest: d.clock.Now().Add(-time.Hour)}
	d.site.Intake = func() IntakeStatus { return IntakeStatus{Centre: &centre} }
	look := func(lang string, wanted ...string) {
		t.Helper()
		w := d.signIn(d.w.Staff[identity.ServiceManager], lang).get("/intake")
		page := visible(text(w))
		for _, text := range wanted {
			if w.Code != http.StatusOK || !strings.Contains(page, text) {
				t.Errorf("%d, the page does not say %q: %s", w.Code, text, page)
			}
		}
	}
	look("en", "mqtts://centre:8883 · EDGE1", "not reached; everything is kept", "no route to host", "up to record 70; 29 wait", "the oldest came")
	look("zh", "连不上，数据都留着", "已到第 70 条，29 条在等")
	centre.Trouble, centre.Waiting, centre.Oldest = "", 0, time.Time{}
	look("en", "connected", "0 wait")
}
