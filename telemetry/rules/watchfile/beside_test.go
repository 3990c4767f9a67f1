package watchfile

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/bundle"
)

const fleetRows = 1200

// fleet is eight machines that are there at the same time, a row a minute: warm is how
// much warmer one of them is than it was.
func fleet(machines int, warm func(machine, row int) float64) [][]string {
	rows := make([][]string, machines)
	for m := range rows {
		random := rand.New(rand.NewPCG(uint64(m), 9))
		for row := range fleetRows {
			at := time.Date(2026, 6, 1, 0, row, 0, 0, time.UTC).Format("2006-01-02 15:04:05")
			rows[m] = append(rows[m], fmt.Sprintf("m%d,%s,%.2f,%.3f\n", m, at, 40+float64(m)+random.NormFloat64()/2+warm(m, row), 6+0.1*random.NormFloat64()))
		}
	}
	return rows
}

const fleetHeader = "unit,time,temp,pressure\n"

// besideOneAnother has the rows by time, as a logger writes them; else they come machine
// by machine.
func besideOneAnother(rows [][]string) string {
	var b strings.Builder
	b.WriteString(fleetHeader)
	for row := range fleetRows {
		for m := range rows {
			b.WriteString(rows[m][row])
		}
	}
	return b.String()
}

func severities(s Summary) (list []string) {
	for _, e := range s.Episodes {
		list = append(list, e.Machine+" "+string(e.Severity))
	}
	slices.Sort(list)
	return list
}

// Among sisters, the one that drifts is farther away than the others; and its bundle is
// verified with what it was told of them.
func TestRun_TheOneThatLeavesItsSistersIsFound(t *testing.T) {
	t.Parallel()
	drift := func(m, row int) float64 {
		if m != 3 {
			return 0
		}
		return 0.02 * math.Max(0, float64(row-600))
	}
	var reports []bundle.Report
	var bundles [][]byte
	s, _ := watch(t, besideOneAnother(fleet(8, drift)), Options{Group: "unit", Bundle: func(_ string, data []byte) error {
		r, err := bundle.Verify(data)
		reports, bundles = append(reports, r), append(bundles, data)
		return err
	}})
	loud := slices.DeleteFunc(slices.Clone(s.Episodes), func(e Episode) bool { return e.Severity == rules.Info })
	if len(loud) != 1 || loud[0].Machine != "m3" || len(reports) != len(s.Episodes) {
		t.Fatalf("%v, %d bundles", severities(s), len(reports))
	}
	e := loud[0].Evidence
	if e.Sisters == nil || e.Sisters.Machines != 8 || e.SisterPercentile == nil || *e.SisterPercentile != 100 || e.Sisters.Alike() {
		t.Errorf("%+v", e)
	}
	if why := strings.Join(words{false, true}.why(e), " "); !strings.Contains(why, "Beside 8 machines") {
		t.Error(why)
	}
	if why := strings.Join(words{true, true}.why(e), ""); !strings.Contains(why, "与 8 台设备相比") {
		t.Error(why)
	}
	if i := slices.IndexFunc(reports, func(r bundle.Report) bool { return r.Finding.Machine == "m3" }); !strings.Contains(string(bundles[i]), `"cohort":{"version":1`) {
		t.Error("the bundle does not say what the machine was told of its sisters")
	}
}

// A heat wave warms all of them: worth a note on each, and no more, except on the one that
// stays warm when it is over.
func TestRun_WhatAllDoIsANote(t *testing.T) {
	t.Parallel()
	wave := func(_, row int) float64 { return 6 * math.Max(0, math.Min(1, float64(row-600)/120)) }
	alone, _ := watch(t, besideOneAnother(fleet(4, wave)), Options{Group: "unit"})
	if list := severities(alone); len(list) < 4 || !slices.Contains(list, "m0 warning") {
		t.Errorf("with three sisters each is warned of: %v", list)
	}
	all, _ := watch(t, besideOneAnother(fleet(8, wave)), Options{Group: "unit"})
	if list := severities(all); len(list) < 8 || slices.ContainsFunc(list, func(s string) bool { return !strings.HasSuffix(s, "info") }) {
		t.Errorf("what all do is more than a note: %v", list)
	}
	stays, _ := watch(t, besideOneAnother(fleet(8, func(m, row int) float64 {
		if m != 5 && row > 900 {
			return 6 * math.Max(0, 1-float64(row-900)/120)
		}
		return wave(m, row)
	})), Options{Group: "unit"})
	loud := slices.DeleteFunc(severities(stays), func(s string) bool { return strings.HasSuffix(s, "info") })
	if !slices.Equal(loud, []string{"m5 warning"}) {
		t.Errorf("the one that stays warm is m5: %v", severities(stays))
	}
}

// Machines that follow one another in the file, each with all of its life, were never
// there together: each is what it is alone.
func TestRun_MachinesOneAfterAnotherAreNotCompared(t *testing.T) {
	t.Parallel()
	rows := fleet(8, func(m, row int) float64 { return 0.02 * math.Max(0, float64(row-500-50*m)) })
	var lives strings.Builder
	lives.WriteString(fleetHeader)
	var alone []string
	for _, life := range rows {
		text := strings.Join(life, "")
		lives.WriteString(text)
		s, _ := watch(t, fleetHeader+text, Options{Group: "unit"})
		alone = append(alone, severities(s)...)
	}
	s, _ := watch(t, lives.String(), Options{Group: "unit"})
	slices.Sort(alone)
	if list := severities(s); !slices.Equal(list, alone) || len(list) == 0 {
		t.Errorf("%v, alone %v", list, alone)
	}
	for _, e := range s.Episodes {
		if e.Evidence.Sisters != nil {
			t.Errorf("%+v", e.Evidence)
		}
	}
}
