package gate

import (
	"math"
	"testing"
)

// Beta(4, 1+n) is below x with the probability of four or more successes in n+4
// trials. At x = 0.2 that is, by hand, 0.0016, 0.0067, 0.0170, 0.0333 and 0.0563 for
// none to four false flags: the fourth brings the 5 % quantile below 0.2.
func TestTrust_FallsBelowItsLimitWithTheFourthFalseFlag(t *testing.T) {
	t.Parallel()
	byHand := []float64{0.0016, 0.00672, 0.01696, 0.03334, 0.05628}
	for n, want := range byHand {
		if got := betaBelow(0.2, priorTrue, priorFalse+n); math.Abs(got-want) > 0.00001 {
			t.Errorf("after %d false flags %v are below 0.2, by hand %v", n, got, want)
		}
		if got := trustIn(Verdicts{False: n, Unclear: 9}); (got.Low < 0.2) != (n >= 4) {
			t.Errorf("after %d false flags the trust is %+v", n, got)
		}
	}
	first := trustIn(Verdicts{})
	if math.Abs(first.Low-math.Pow(0.05, 0.25)) > 1e-9 || math.Abs(first.Mean-0.8) > 1e-9 || math.Abs(first.High-math.Pow(0.95, 0.25)) > 1e-9 {
		t.Errorf("Beta(4, 1): %+v", first)
	}
	if many := trustIn(Verdicts{True: 3000, False: 1000}); math.Abs(many.Mean-0.75) > 0.001 || many.Low < 0.73 || many.High > 0.77 {
		t.Errorf("after 4,000 flags %+v", many)
	}
}
