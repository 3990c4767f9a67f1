package datasets

import (
	"strconv"
	"strings"

	"github.com/thirdstate/thirdstate/telemetry/rules/scoring"
)

// spans collects the labelled rows of a file as events.
type spans struct{ events []scoring.Event }

// row takes a row's label; rows come in order.
func (s *spans) row(n int, labelled bool) {
	if !labelled {
		return
	}
	if last := len(s.events) - 1; last >= 0 && s.events[last].To == n-1 {
		s.events[last].To, s.events[last].At = n, n
		return
	}
	s.events = append(s.events, scoring.Event{From: n, To: n, At: n})
}

// isOne says whether a label is set, however it is written.
func isOne(text string) bool {
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	return err == nil && v == 1
}
