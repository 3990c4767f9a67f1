package detection

import (
	"strings"
	"testing"

	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// TestRunner_ReloadsItsRulesBetweenTwoBatches is a restart with other packs, without
// the restart: the changed rule's finding ends, its case goes on, other rules do not
// notice, and after a kill it is the same.
func TestRunner_ReloadsItsRulesBetweenTwoBatches(t *testing.T) {
	t.Parallel()
	w := newWorks(t, intakelog.Options{})
	last := w.scenario()
	at := last * 5 / 12 // while M1 is too hot
	changed, err := rules.Parse("test.yaml", []byte(strings.Replace(packText, "above: 90", "above: 120", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for name, killed := range map[string]bool{"goes on": false, "is killed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := w.records(t)
			j.fleet = NewFleet(w.fleet.Packs()) // of this run alone
			j.every = 1 << 30
			source := &upTo{j.log, at}
			r := j.runner(source)
			j.until(r, at)
			if n := j.count(`SELECT count(*) FROM finding WHERE rule = 'oil-hot' AND state = 'open'`); n != 1 {
				t.Fatalf("%d findings are open where the rule is changed", n)
			}
			if n := r.Reload(j.fleet.Packs()); n != 0 {
				t.Errorf("the same packs change %d machines", n)
			}
			if n := r.Reload(map[string]*rules.Pack{changed.Model: changed}); n != 4 {
				t.Errorf("rules of %d machines are changed, want those of the model", n)
			}
			if killed {
				j.run(last, false)
			} else {
				source.last = last
				j.until(r, last)
				if len(j.snapshots()) == 0 {
					t.Error("no snapshot was taken with the new rules")
				}
			}
			if n := j.ledger.changes("oil-hot", machines.FindingClosed); n < 1 {
				t.Error("the changed rule's finding is not closed")
			}
			if n := j.count(`SELECT count(*) FROM finding WHERE rule = 'oil-hot' AND close_reason = 'rule_changed'`); n != 1 {
				t.Errorf("%d findings ended because the rule has changed", n)
			}
			if n := j.count(`SELECT count(*) FROM finding WHERE rule <> 'oil-hot' AND close_reason = 'rule_changed'`); n != 0 {
				t.Errorf("%d findings of other rules ended with it", n)
			}
			if n := j.count(`SELECT count(*) FROM service_case WHERE failure_mode = 'overheating' AND state = 'open'`); n != 1 {
				t.Errorf("%d cases go on", n)
			}
		})
	}
}
