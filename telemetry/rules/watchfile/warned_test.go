package watchfile

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// A burst of rows is a note; a level that stays away is a warning, from the row on from which
// it is more than a note.
func TestRun_TellsNotesFromWarnings(t *testing.T) {
	t.Parallel()
	table := func(away int) string {
		random := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // noise, no secrets
		b := strings.Builder{}
		b.WriteString("heat\n")
		for row := 1; row <= 900; row++ {
			v := 50 + random.NormFloat64()
			if row > 600 && row <= 600+away {
				v += 25
			}
			fmt.Fprintf(&b, "%.3f\n", v)
		}
		return b.String()
	}
	for away, warns := range map[int]bool{1: false, 300: true} {
		s, _ := watch(t, table(away), Options{Time: "none"})
		var found *Episode
		for i := range s.Episodes {
			if e := &s.Episodes[i]; e.Opened > 600 && found == nil {
				found = e
			}
		}
		switch {
		case found == nil:
			t.Errorf("%d rows away: nothing is found in %+v", away, s.Episodes)
		case warns && (found.Severity == rules.Info || found.Warned < found.Opened || found.Warned > 610):
			t.Errorf("%d rows away: %+v, want a warning", away, found)
		case !warns && (found.Severity != rules.Info || found.Warned != 0):
			t.Errorf("%d rows away: %+v, want a note", away, found)
		}
	}
}
