package datasets

import (
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/thirdstate/thirdstate/telemetry/rules/prognosis"
)

func TestNASA_IsHarderOnWhatIsSaidTooLate(t *testing.T) {
	t.Parallel()
	// 13 early costs e-1, 10 late costs e-1 (Saxena 2008).
	early, late := nasa([]guess{{said: 7, truth: 20}}), nasa([]guess{{said: 30, truth: 20}})
	if math.Abs(early-(math.E-1)) > 1e-12 || math.Abs(late-(math.E-1)) > 1e-12 {
		t.Errorf("early %v, late %v", early, late)
	}
	list := []guess{{said: 23, low: 10, high: 21, truth: 20}, {said: 24, low: 21, high: 30, truth: 20}}
	if got := rmse(list); math.Abs(got-math.Sqrt(12.5)) > 1e-12 {
		t.Errorf("error %v", got)
	}
	if covered(list) != 50 || width(list) != 10 {
		t.Errorf("covered %v, width %v", covered(list), width(list))
	}
}

func TestCuts_AreTheSameEachTimeAndWhereTheOfficialOnesAre(t *testing.T) {
	t.Parallel()
	l := &prognosis.Life{Machine: "7", Rows: make([]prognosis.Row, 200)}
	cuts, again := cutsOf(l), cutsOf(l)
	if !maps.Equal(cuts, again) || len(cuts) < 20 {
		t.Errorf("cuts %v, then %v", cuts, again)
	}
	for at := range cuts {
		if left := 199 - at; left < lifeLeast || left > lifeMost || at < lifeFlown {
			t.Errorf("a cut with %d flights left, after %d", left, at)
		}
	}
}

func TestMeasure_NamesFleetsThatAreTooSmallToLearnFrom(t *testing.T) {
	t.Parallel()
	result := measured(t, fstest.MapFS{"jets/train_FD001.txt": {Data: []byte(jets(3))}})
	if len(result.Lives) != 0 || !strings.Contains(fmt.Sprint(result.Missing), "remaining life of C-MAPSS FD001 (3 engines, 14 are needed)") {
		t.Errorf("%v, missing %q", result.Lives, result.Missing)
	}
}
