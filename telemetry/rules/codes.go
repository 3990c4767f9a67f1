package rules

import (
	"slices"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// maxOccurrences bounds how often a code is counted, and maxCounted how many codes.
const (
	maxOccurrences = 64
	maxCounted     = 64
)

// codes: trouble codes that came so often within a window. A code that stays is one
// occurrence; one that clears and is back is another. Codes need not be declared: a
// control unit says what it likes. What comes too late for its place counts at its
// own time.
type codes struct {
	rule  *Rule
	names []string
	match []bool       // by number
	known []countedOne // in the order of names
	came  []occurrence // in order of time, the newest maxOccurrences
	now   int64
}

// countedOne is a code as it was told last.
type countedOne struct {
	name   string
	active bool
	heard  int64
}

type occurrence struct {
	at   int64
	name string
}

func newCodes(r *Rule, _ Numbers) Evaluator { return &codes{rule: r} }

func (c *codes) Observe(row *Row) Judgement {
	c.learn(row.names)
	for _, n := range row.set {
		if c.match[n] && row.now[n] == row.now[n] {
			c.hear(row.at, row.names[n], row.now[n] > 0)
		}
	}
	c.now = max(c.now, row.at)
	return c.judge()
}

// learn finds the wanted codes among the names of the machine's signals.
func (c *codes) learn(names []string) {
	for n := len(c.names); n < len(names); n++ {
		c.match = append(c.match, isCode(names[n]) && wanted(c.rule.Codes, names[n]))
	}
	c.names = names
}

// wanted says whether a name is one of the patterns: itself, or what ends in a star.
func wanted(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		begin, open := strings.CutSuffix(p, "*")
		return open && strings.HasPrefix(name, begin) || p == name
	})
}

// late takes what came after its place in time, and says whether it was news.
func (c *codes) late(at int64, names []string, cells []cell) bool {
	c.learn(names)
	news := false
	for _, x := range cells {
		if c.match[x.number] && x.plausible {
			news = c.hear(at, names[x.number], x.value > 0) || news
		}
	}
	return news
}

// hear takes what was said of a code, and says whether it is newer than what was known.
func (c *codes) hear(at int64, name string, active bool) bool {
	i, there := slices.BinarySearchFunc(c.known, name, func(k countedOne, name string) int { return strings.Compare(k.name, name) })
	if !there {
		if len(c.known) == maxCounted {
			return false
		}
		c.known = slices.Insert(c.known, i, countedOne{name: name})
	}
	k := &c.known[i]
	if there && at <= k.heard {
		return false
	}
	if active && !k.active {
		c.count(occurrence{at, name})
	}
	k.active, k.heard = active, at
	return true
}

func (c *codes) count(o occurrence) {
	i, _ := slices.BinarySearchFunc(c.came, o, func(a, b occurrence) int {
		if a.at != b.at {
			return int(min(max(a.at-b.at, -1), 1))
		}
		return strings.Compare(a.name, b.name)
	})
	c.came = slices.Insert(c.came, i, o)
	if len(c.came) > maxOccurrences {
		c.came = slices.Delete(c.came, 0, 1)
	}
}

// judge forgets what is before the window.
func (c *codes) judge() Judgement {
	old := 0
	for old < len(c.came) && c.came[old].at <= c.now-int64(c.rule.Window) {
		old++
	}
	if old > 0 {
		c.came = slices.Delete(c.came, 0, old)
	}
	near := float64(len(c.came)) / float64(c.rule.Count)
	if len(c.came) >= c.rule.Count {
		return Judgement{State: Trouble, Nearness: 1}
	}
	return Judgement{State: Calm, Nearness: near * 0.9}
}

func (c *codes) Tick(time.Time, bool) Judgement { return Judgement{} }

func (c *codes) Evidence(e *Evidence) {
	e.Observed, e.Limit, e.Unit = float64(len(c.came)), float64(c.rule.Count), "1"
	if len(c.came) == 0 {
		return
	}
	e.Since, e.Signal = unix(c.came[0].at), c.came[len(c.came)-1].name
	for _, k := range c.known {
		n := 0
		for _, o := range c.came {
			if o.name == k.name {
				n++
			}
		}
		if n > 0 && len(e.Causes) < maxCauses {
			e.Causes = append(e.Causes, Cause{Signal: k.name, Share: float64(n) / float64(len(c.came))})
		}
	}
	slices.SortStableFunc(e.Causes, func(a, b Cause) int {
		switch {
		case a.Share > b.Share:
			return -1
		case a.Share < b.Share:
			return 1
		}
		return 0
	})
}

func (c *codes) Snapshot(dst []byte) []byte {
	w := snapshot.Writer{B: dst}
	w.Uint(uint64(len(c.known)))
	for _, k := range c.known {
		w.Text(k.name)
		w.Bool(k.active)
		w.Int(k.heard)
	}
	w.Uint(uint64(len(c.came)))
	for _, o := range c.came {
		w.Int(o.at)
		w.Text(o.name)
	}
	w.Int(c.now)
	return w.B
}

func (c *codes) Restore(_ int, b []byte) error {
	r := snapshot.Reader{B: b}
	c.known, c.came = nil, nil
	for range r.Count(maxCounted) {
		c.known = append(c.known, countedOne{r.Text(), r.Bool(), r.Int()})
	}
	for range r.Count(maxOccurrences) {
		c.came = append(c.came, occurrence{r.Int(), r.Text()})
	}
	c.now = r.Int()
	return r.Err
}
