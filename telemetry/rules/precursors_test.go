package rules

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// codeLog is a fleet in which a failure follows where a and b come within hours, seldom
// where one of them comes alone, and never follows c.
func codeLog() (seen []CodeSeen, failures []Failed) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for m := range 10 {
		machine := string(rune('A' + m))
		for day := range 90 {
			at := start.AddDate(0, 0, day).Add(time.Duration(m+day%13) * time.Hour)
			switch (day*7 + m*3) % 30 {
			case 0:
				seen = append(seen, CodeSeen{machine, at, "dtc.a"}, CodeSeen{machine, at.Add(2 * time.Hour), "dtc.b"})
				failures = append(failures, Failed{machine, at.Add(20 * time.Hour)})
			case 5, 11:
				seen = append(seen, CodeSeen{machine, at, "dtc.a"})
			case 8, 21:
				seen = append(seen, CodeSeen{machine, at, "dtc.b"})
			case 14, 15, 25:
				seen = append(seen, CodeSeen{machine, at, "dtc.c"})
			}
		}
	}
	return seen, failures
}

func TestLearn_FindsThePairAfterWhichMachinesFail(t *testing.T) {
	t.Parallel()
	seen, failures := codeLog()
	how := Learning{Window: 24 * time.Hour, Horizon: 24 * time.Hour, Least: time.Hour, Recall: 0.8}
	learnt := Learn(seen, failures, how)
	if len(learnt.Signs) != 1 || !slices.Equal(learnt.Signs[0].Codes, []string{"dtc.a", "dtc.b"}) || learnt.Signs[0].Hour != nil {
		t.Fatalf("learnt %+v, want the pair of a and b alone", learnt)
	}
	if s := learnt.Signs[0]; s.Failed != len(failures) || s.Of != s.Failed || learnt.Announced < len(failures)*8/10 {
		t.Errorf("sign %+v, %d announced of %d failures", s, learnt.Announced, len(failures))
	}
	shuffled := rand.New(rand.NewPCG(1, 2))
	shuffled.Shuffle(len(seen), func(i, j int) { seen[i], seen[j] = seen[j], seen[i] })
	shuffled.Shuffle(len(failures), func(i, j int) { failures[i], failures[j] = failures[j], failures[i] })
	if again := Learn(seen, failures, how); !reflect.DeepEqual(again, learnt) {
		t.Errorf("in another order it learns %+v", again)
	}
}

func TestLearn_OfNothingLearnsNothing(t *testing.T) {
	t.Parallel()
	seen, failures := codeLog()
	how := Learning{Window: 24 * time.Hour, Horizon: 24 * time.Hour, Recall: 0.8}
	if l := Learn(nil, failures, how); len(l.Signs) != 0 {
		t.Errorf("without codes it learns %+v", l.Signs)
	}
	if l := Learn(seen, nil, how); len(l.Signs) != 0 {
		t.Errorf("without failures it learns %+v", l.Signs)
	}
}

// What was seen twice says little, however often a failure followed.
func TestSign_ShareIsTheMeanOfTheBetaDistribution(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sign Sign
		want float64
	}{{Sign{Failed: 2, Of: 2}, 3. / 23}, {Sign{Failed: 0, Of: 0}, 1. / 21}, {Sign{Failed: 58, Of: 64}, 59. / 85}} {
		if got := c.sign.Share(); got != c.want {
			t.Errorf("%d of %d: %v, want %v", c.sign.Failed, c.sign.Of, got, c.want)
		}
	}
}
