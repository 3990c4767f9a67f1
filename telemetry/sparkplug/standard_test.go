package sparkplug

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// plant is a session and a watch that see the same messages, a second apart.
type plant struct {
	session Session
	watch   *Watch
	now     time.Time
}

func newPlant() *plant {
	return &plant{watch: NewWatch(WatchConfig{Reorder: 2 * time.Second, AskMalformed: true}), now: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)}
}

func (p *plant) say(topic string, seq uint64, metrics ...Metric) (Change, Reading) {
	t, _, _ := ParseTopic(Namespace + topic)
	payload := &Payload{Seq: seq, HasSeq: t.Type != NDeath, Metrics: metrics}
	p.now = p.now.Add(time.Second)
	p.watch.See(t, payload, p.now)
	return p.session.Apply(t, payload), p.session.Read(t, payload)
}

// asks are the requests that go out after a while.
func (p *plant) asks(after time.Duration) int { return len(p.watch.Due(p.now.Add(after))) }

func double(name string, alias uint64) Metric {
	return Metric{Name: name, HasName: name != "", Alias: alias, HasAlias: alias > 0, Datatype: Double, HasDatatype: name != "", Value: Value{Kind: DoubleValue, Number: 5}}
}

func session(n uint64) Metric {
	return Metric{Name: "bdSeq", HasName: true, Datatype: Int64, HasDatatype: true, Value: Value{Kind: LongValue, Bits: n}}
}

// alive is a plant with a node that has a metric, and a device that has another.
func alive() *plant {
	p := newPlant()
	p.say("g/NBIRTH/e", 0, session(4), double("Voltage", 1))
	p.say("g/DBIRTH/e/d", 1, double("Speed", 2))
	return p
}

// The host's part of the standard that needs no broker, by the names that the
// Eclipse TCK gives its assertions.
func TestStandard_HoldsForTheHost(t *testing.T) {
	t.Parallel()
	die := func(p *plant) Change { c, _ := p.say("g/NDEATH/e", 0, session(4)); return c }
	for id, holds := range map[string]func() bool{
		"tck-id-topic-structure-namespace-a": func() bool { _, ok, _ := ParseTopic("spAv1.0/g/NBIRTH/e"); return !ok },
		"tck-id-topic-structure-namespace-valid-group-id": func() bool {
			_, _, fault := ParseTopic("spBv1.0/g+/NBIRTH/e")
			return fault != nil
		},
		"tck-id-topic-structure-namespace-device-id-associated-message-types": func() bool {
			_, _, fault := ParseTopic("spBv1.0/g/DDATA/e")
			return fault != nil
		},
		"tck-id-topic-structure-namespace-device-id-non-associated-message-types": func() bool {
			_, _, fault := ParseTopic("spBv1.0/g/NDATA/e/d")
			return fault != nil
		},
		"tck-id-host-topic-phid-birth-message": func() bool {
			return Topic{Type: State, Host: "h"}.String() == "spBv1.0/STATE/h" && string(StatePayload(true, time.UnixMilli(7))) == `{"online":true,"timestamp":7}`
		},
		"tck-id-payloads-sequence-num-always-included": func() bool { p := alive(); p.say("g/NDATA/e", 2, double("", 1)); return p.asks(time.Minute) == 0 },
		"tck-id-topics-nbirth-seq-num":                 func() bool { _, r := newPlant().say("g/NBIRTH/e", 3, session(4)); return r.Faults[0].Reason == BadSeq },
		"tck-id-topics-nbirth-bdseq-included":          func() bool { c, _ := newPlant().say("g/NBIRTH/e", 0); return c.Faults[0].Reason == BadBdSeq },
		"tck-id-payloads-alias-uniqueness": func() bool {
			c, _ := newPlant().say("g/NBIRTH/e", 0, session(4), double("a", 1), double("b", 1))
			return c.Faults[0].Reason == BadAlias
		},
		"tck-id-payloads-alias-birth-requirement": func() bool {
			c, _ := newPlant().say("g/NBIRTH/e", 0, session(4), double("", 1))
			return c.Faults[0].Reason == BadAlias
		},
		"tck-id-payloads-alias-data-cmd-requirement": func() bool {
			_, r := alive().say("g/DDATA/e/d", 2, double("", 2))
			return len(r.Points) == 1 && r.Points[0].Signal == "speed"
		},
		"tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-offline":    func() bool { c := die(alive()); return c.Node && !c.Online },
		"tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-offline": func() bool { c := die(alive()); return fmt.Sprint(c.Devices) == "[d]" },
		"tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-tags-stale": func() bool {
			p := alive()
			die(p)
			_, r := p.say("g/NDATA/e", 3, double("", 1))
			return len(r.Points) == 0 && r.Ask == NoBirth
		},
		"tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-tags-stale": func() bool {
			p := alive()
			die(p)
			_, r := p.say("g/DDATA/e/d", 3, double("", 2))
			return len(r.Points) == 0 && r.Ask == NoBirth
		},
		"tck-id-operational-behavior-edge-node-termination-host-action-ddeath-devices-offline": func() bool {
			c, _ := alive().say("g/DDEATH/e/d", 2)
			return !c.Online && !c.Node && fmt.Sprint(c.Devices) == "[d]"
		},
		"tck-id-operational-behavior-edge-node-termination-host-action-ddeath-devices-tags-stale": func() bool {
			p := alive()
			p.say("g/DDEATH/e/d", 2)
			_, r := p.say("g/DDATA/e/d", 3, double("", 2))
			return len(r.Points) == 0 && r.Ask != ""
		},
		"tck-id-payloads-ndeath-bdseq": func() bool { c, _ := alive().say("g/NDEATH/e", 0, session(3)); return c.Refused.Reason == BadBdSeq },
		"tck-id-operational-behavior-host-reordering-param": func() bool {
			p := alive()
			p.watch.config.Reorder = 0
			p.say("g/NDATA/e", 9)
			return p.asks(time.Hour) == 0
		},
		"tck-id-operational-behavior-host-reordering-start": func() bool {
			p := alive()
			p.say("g/NDATA/e", 3)
			return p.asks(1999*time.Millisecond) == 0 && p.asks(2*time.Second) == 1
		},
		"tck-id-operational-behavior-host-reordering-rebirth": func() bool { p := alive(); p.say("g/NDATA/e", 3); return p.asks(2*time.Second) == 1 },
		"tck-id-operational-behavior-host-reordering-success": func() bool {
			p := alive()
			p.say("g/NDATA/e", 3)
			p.say("g/NDATA/e", 2)
			return p.asks(time.Hour) == 0
		},
		"tck-id-operational-behavior-data-commands-ncmd-rebirth-action": func() bool {
			p := newPlant()
			p.say("g/NDATA/e", 3)
			asked := p.asks(0)
			p.say("g/NBIRTH/e", 0, session(1))
			p.say("g/NDATA/e", 1)
			return asked == 1 && p.asks(time.Hour) == 0
		},
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			if !holds() {
				t.Error("does not hold")
			}
		})
	}
}

// docs/sparkplug.md lists the assertions that are tested, and no other.
func TestStandard_IsListedAsItIsTested(t *testing.T) {
	t.Parallel()
	id, function := regexp.MustCompile(`tck-id-[a-z0-9-]+`), regexp.MustCompile(`^func (Test\w+)`)
	var rows []string
	for _, file := range []string{"standard_test.go", "../intake/sparkplug_host_test.go"} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		test := ""
		for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
			if m := function.FindStringSubmatch(lines.Text()); m != nil {
				test = m[1]
			}
			for _, one := range id.FindAllString(lines.Text(), -1) {
				if !strings.HasSuffix(one, "-") {
					rows = append(rows, fmt.Sprintf("%s | pass | %s |", one, test))
				}
			}
		}
	}
	slices.Sort(rows)
	rows = slices.Compact(rows)
	const doc, head = "../../docs/sparkplug.md", "| | assertion | | test |\n|---|---|---|---|\n"
	raw, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	before, listed, _ := strings.Cut(string(raw), head)
	var want strings.Builder
	for i, row := range rows {
		fmt.Fprintf(&want, "| %d | %s\n", i+1, row)
	}
	if *update {
		if err := os.WriteFile(doc, []byte(before+head+want.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if listed != want.String() || len(rows) < 50 {
		t.Errorf("%s does not list the %d assertions as they are tested; run this test with -update", doc, len(rows))
	}
}
