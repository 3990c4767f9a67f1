package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// CodeSeen is that a trouble code came up on a machine.
type CodeSeen struct {
	Machine string
	At      time.Time
	Code    string
}

// Failed is that a machine failed.
type Failed struct {
	Machine string
	At      time.Time
}

// Learning says what signs are learnt for. All of it is stated before the log is
// looked at.
type Learning struct {
	Window  time.Duration // codes of one sign came within it
	Horizon time.Duration // a failure within it after a sign was announced by it
	Least   time.Duration // shortest useful lead: a failure earlier than that was not announced
	Recall  float64       // share of the failures that are to be announced, 0 to 1
	AnyHour bool          // the hour of the day tells nothing
}

// Learnt is what a fleet's log of codes says of failures.
type Learnt struct {
	Signs     []Sign  // the strongest first
	Limit     float64 // share from which on a sign counts
	Failures  int     // in the log
	Announced int     // of them, by a sign that counts where it is judged by the rest of the log
	Moments   int     // at which a code came
	Base      float64 // share of all times after which a failure came
}

// Learn counts, for each code, each pair of codes within the window and each of these at
// its hour of the day, how often a failure followed, and takes the strongest; what it has
// told of is told, and the rest is counted again, so that a code that means something only
// beside another is not taken by itself. The signs that count are those above the
// highest share at which enough of the failures are announced, where every moment is judged by
// the counts of the rest of the log, without itself. The same log in any order gives the
// same.
//
// The share rises with the log-likelihood ratio of a sign, ln(P(sign | failure
// ahead)/P(sign | none)), under a Beta(1, 20) prior; below the base rate the ratio is negative.
func Learn(seen []CodeSeen, failures []Failed, how Learning) Learnt {
	ends := failuresOf(failures)
	moments := momentsOf(seen, ends, how)
	out := Learnt{Moments: len(moments)}
	for _, list := range ends {
		out.Failures += len(list)
	}
	if len(moments) == 0 || out.Failures == 0 {
		return out
	}
	out.Base = baseOf(seen, out.Failures, how.Horizon)
	signs := cover(moments)
	if out.Limit, out.Announced = limitOf(moments, out.Failures, how.Recall); out.Announced > 0 {
		out.Limit = max(out.Limit, out.Base)
		out.Signs = slices.DeleteFunc(signs, func(s Sign) bool { return s.Share() < out.Limit })
	}
	return out
}

// baseOf is the share of all times of all machines that have a failure ahead.
func baseOf(seen []CodeSeen, failures int, horizon time.Duration) float64 {
	machines := map[string]bool{}
	first, last := seen[0].At, seen[0].At
	for _, s := range seen {
		machines[s.Machine] = true
		if s.At.Before(first) {
			first = s.At
		}
		if s.At.After(last) {
			last = s.At
		}
	}
	observed := float64(len(machines)) * max(last.Sub(first), horizon).Hours()
	return min(1, float64(failures)*horizon.Hours()/observed)
}

// signKey is a sign as it is counted.
type signKey struct {
	a, b string // b "" = one code
	hour int    // -1 = any
}

type count struct{ failed, of int }

// moment is a row of the log: the signs that a code of it has completed, which failures
// follow, and, once a sign has told of it, how often those follow by the rest of the log.
type moment struct {
	signs []signKey
	ahead []failure
	told  bool
	share float64
}

type failure struct {
	machine string
	at      int64
}

func failuresOf(list []Failed) map[string][]int64 {
	out := map[string][]int64{}
	for _, f := range list {
		out[f.Machine] = append(out[f.Machine], f.At.UnixNano())
	}
	for m, times := range out {
		slices.Sort(times)
		out[m] = slices.Compact(times)
	}
	return out
}

// momentsOf goes through the log as an evaluator would.
func momentsOf(seen []CodeSeen, ends map[string][]int64, how Learning) []moment {
	seen = slices.Clone(seen)
	slices.SortFunc(seen, func(a, b CodeSeen) int {
		return cmp.Or(cmp.Compare(a.Machine, b.Machine), a.At.Compare(b.At), cmp.Compare(a.Code, b.Code))
	})
	var moments []moment
	last, machine := map[string]int64{}, ""
	for i := 0; i < len(seen); {
		at := seen[i].At.UnixNano()
		if seen[i].Machine != machine {
			machine = seen[i].Machine
			clear(last)
		}
		var fresh []string
		for ; i < len(seen) && seen[i].Machine == machine && seen[i].At.UnixNano() == at; i++ {
			last[seen[i].Code] = at
			fresh = append(fresh, seen[i].Code)
		}
		m := moment{signs: completed(fresh, last, at, how)}
		for _, end := range ends[machine] {
			if lead := time.Duration(end - at); lead >= how.Least && lead <= how.Horizon {
				m.ahead = append(m.ahead, failure{machine, end})
			}
		}
		moments = append(moments, m)
	}
	return moments
}

// completed lists the signs that codes coming at an instant have completed.
func completed(fresh []string, last map[string]int64, at int64, how Learning) []signKey {
	var out []signKey
	add := func(a, b string) {
		out = append(out, signKey{a, b, -1})
		if !how.AnyHour {
			out = append(out, signKey{a, b, unix(at).Hour()})
		}
	}
	for _, a := range slices.Compact(fresh) {
		add(a, "")
		for b, came := range last {
			if b == a || came <= at-int64(how.Window) || came == at && b < a { // of two at once, one tells
				continue
			}
			add(min(a, b), max(a, b))
		}
	}
	return out
}

// cover takes the strongest sign of what is not told yet, again and again, and gives the
// signs in that order.
func cover(moments []moment) []Sign {
	counts := map[signKey]count{}
	for _, m := range moments {
		m.count(counts, 1)
	}
	var out []Sign
	for len(out) < maxSigns {
		best, found := signKey{}, false
		for k, c := range counts {
			if c.failed > 0 && (!found || stronger(k, c, best, counts[best])) {
				best, found = k, true
			}
		}
		if !found {
			break
		}
		c := counts[best]
		out = append(out, best.sign(c))
		for i := range moments {
			m := &moments[i]
			if m.told || !slices.Contains(m.signs, best) {
				continue
			}
			rest := count{c.failed, c.of - 1}
			if len(m.ahead) > 0 {
				rest.failed--
			}
			m.told, m.share = true, shareOf(rest.failed, rest.of)
			m.count(counts, -1)
		}
	}
	return out
}

// count adds a moment to the counts of its signs, or takes it off.
func (m *moment) count(counts map[signKey]count, by int) {
	for _, s := range m.signs {
		c := counts[s]
		c.of += by
		if len(m.ahead) > 0 {
			c.failed += by
		}
		counts[s] = c
	}
}

// stronger orders signs: by share, then the simpler one, then by name.
func stronger(a signKey, of count, b signKey, than count) bool {
	return cmp.Or(
		cmp.Compare(shareOf(than.failed, than.of), shareOf(of.failed, of.of)),
		cmp.Compare(a.hour, b.hour), cmp.Compare(a.b, b.b), cmp.Compare(a.a, b.a)) < 0
}

func (k signKey) sign(c count) Sign {
	s := Sign{Codes: []string{k.a}, Failed: c.failed, Of: c.of}
	if k.b != "" {
		s.Codes = append(s.Codes, k.b)
	}
	if k.hour >= 0 {
		s.Hour = &k.hour
	}
	return s
}

// limitOf is the highest share at which so many of the failures are announced.
func limitOf(moments []moment, failures int, recall float64) (limit float64, announced int) {
	best := map[failure]float64{}
	for _, m := range moments {
		for _, f := range m.ahead {
			if m.told {
				best[f] = max(best[f], m.share)
			}
		}
	}
	shares := make([]float64, 0, len(best))
	for _, share := range best {
		shares = append(shares, share)
	}
	slices.SortFunc(shares, func(a, b float64) int { return cmp.Compare(b, a) })
	for announced < len(shares) && float64(announced) < recall*float64(failures) {
		limit = shares[announced]
		announced++
	}
	return limit, announced
}

// Rule is a rule of kind precursors in the text of a pack; "" where no sign counts.
func (l Learnt) Rule(id string, how Learning) string {
	if len(l.Signs) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  - id: %s\n    kind: precursors\n    title: Codes after which machines have failed\n    title_zh: 出现后曾发生故障的故障码\n", id)
	fmt.Fprintf(&b, "    severity: advice\n    window: %s\n    pf_days: %s\n    signs:\n", words(how.Window), number(how.Horizon.Hours()/24))
	for _, s := range l.Signs {
		hour := ""
		if s.Hour != nil {
			hour = fmt.Sprintf(", hour: %d", *s.Hour)
		}
		fmt.Fprintf(&b, "      - {codes: [%q", s.Codes[0])
		for _, c := range s.Codes[1:] {
			fmt.Fprintf(&b, ", %q", c)
		}
		fmt.Fprintf(&b, "]%s, failed: %d, of: %d}\n", hour, s.Failed, s.Of)
	}
	return b.String()
}
