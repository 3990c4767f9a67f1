package intake

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var updateList = flag.Bool("update-mqtt", false, "write docs/mqtt.md anew")

// A conformCase is one thing that the standards say, tried on the wire.
type conformCase struct {
	versions string // "4", "5" or "45"
	says     string
	run      func(t *testing.T, e *Embedded, version byte)
}

// dial connects a client with a clean session.
func enter(t *testing.T, e *Embedded, version byte, client string) *wire {
	t.Helper()
	w := dialWire(t, e.local(), version)
	w.enter(t, knock{client: client})
	return w
}

const passList = "../../docs/mqtt.md"

// Each case has a broker of its own, and each version is a case. What passes is
// listed in docs/mqtt.md, which this test writes with -update-mqtt.
func TestEmbedded_ConformsAsPublished(t *testing.T) {
	t.Parallel()
	var list strings.Builder
	for _, group := range conformCases() {
		fmt.Fprintf(&list, "\n### %s\n\n| MQTT | case |\n|---|---|\n", group.name)
		for _, c := range group.cases {
			fmt.Fprintf(&list, "| %s | %s |\n", map[string]string{"4": "3.1.1", "5": "5", "45": "3.1.1, 5"}[c.versions], c.says)
			for _, version := range []byte(c.versions) {
				t.Run(fmt.Sprintf("%s/%s/%c", group.name, c.says, version), func(t *testing.T) {
					t.Parallel()
					c.run(t, startEmbedded(t, EmbeddedConfig{}), version-'0')
				})
			}
		}
	}
	page, err := os.ReadFile(filepath.FromSlash(passList))
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- passes: begin -->\n", "<!-- passes: end -->\n"
	head, rest, ok := strings.Cut(string(page), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no marks for the list", passList)
	}
	fresh := head + begin + list.String() + "\n" + end + tail
	switch {
	case *updateList:
		if err := os.WriteFile(filepath.FromSlash(passList), []byte(fresh), 0o644); err != nil { //nolint:gosec // a page of the repository
			t.Fatal(err)
		}
	case !bytes.Equal([]byte(fresh), page):
		t.Errorf("%s does not have the list of what passes; go test ./telemetry -run ConformsAsPublished -update-mqtt", passList)
	}
}

type conformGroup struct {
	name  string
	cases []conformCase
}

func conformCases() []conformGroup {
	return []conformGroup{
		{"Connecting", connectCases()}, {"Messages", messageCases()}, {"Sessions", sessionCases()},
		{"Retained messages and last wills", keptCases()}, {"Malformed and forbidden", forbiddenCases()}, {"MQTT 5 alone", freshCases()},
	}
}
