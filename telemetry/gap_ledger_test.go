package telemetry

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// account runs numbers through a ledger, one a second, and writes down what it
// holds: open gaps, then "|", then filled ones.
type sequence struct {
	l  *ledger
	id uuid.UUID
	at time.Time
}

func newSequence() *sequence {
	return &sequence{l: newLedger(), id: uuid.New(), at: start}
}

func (s *sequence) say(boot string, numbers ...uint64) *sequence {
	for _, n := range numbers {
		s.at = s.at.Add(time.Second)
		s.l.note(&LocatedNumber{MachineID: s.id, Boot: boot, Seq: n, At: s.at})
	}
	return s
}

func (s *sequence) String() string {
	var words []string
	c := s.l.machines[s.id]
	for _, list := range [][]seqGap{c.open, c.filled} {
		for _, g := range list {
			words = append(words, fmt.Sprintf("%s:%d-%d", g.boot, g.first, g.last))
		}
		words = append(words, "|")
	}
	return strings.TrimSpace(strings.TrimSuffix(strings.Join(words, " "), "|"))
}

func TestLedger_NamesWhatHasNotCome(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		about string
		say   func(*sequence)
		want  string
	}{
		{"nothing is missing", func(s *sequence) { s.say("a", 0, 1, 2, 3) }, "|"},
		{"numbers are missing", func(s *sequence) { s.say("a", 0, 1, 4, 5, 9) }, "a:2-3 a:6-8 |"},
		{"a late number splits its gap", func(s *sequence) { s.say("a", 0, 9, 5) }, "a:1-4 a:6-8 | a:5-5"},
		{"late numbers close it", func(s *sequence) { s.say("a", 0, 4, 3, 1, 2) }, "| a:1-3"},
		{"late numbers at its ends shorten it", func(s *sequence) { s.say("a", 0, 9, 1, 8, 2) }, "a:3-7 | a:1-2 a:8-8"},
		{"what comes twice is nothing new", func(s *sequence) { s.say("a", 0, 3, 3, 0, 2, 2, 1, 1) }, "| a:1-2"},
		{"shuffled numbers leave nothing open", func(s *sequence) { s.say("a", 3, 1, 0, 2) }, "| a:2-2"},
		{"what was before the first number of the first boot is unknown", func(s *sequence) { s.say("a", 7, 8) }, "|"},
		{"a boot begins a count of its own", func(s *sequence) { s.say("a", 0, 1, 2).say("b", 0, 1).say("a", 3) }, "|"},
		{"a device that began at 0 begins at 0", func(s *sequence) { s.say("a", 0, 1, 2).say("b", 4, 5) }, "b:0-3 |"},
		{"a device that began at 1 begins at 1", func(s *sequence) { s.say("a", 1, 2).say("b", 1).say("c", 3) }, "c:1-2 |"},
		{"a late start fills what was missed", func(s *sequence) { s.say("a", 0, 1).say("b", 2, 0, 1) }, "| b:0-1"},
		{"a device that counts on counts on", func(s *sequence) { s.say("a", 90, 91).say("b", 92).say("c", 97) }, "c:93-96 |"},
		{"a leap is a count begun anew", func(s *sequence) { s.say("a", 0, 1, 1<<40, 1<<40+2, 2) }, "a:1099511627777-1099511627777 |"},
		{"the highest number is one like any other", func(s *sequence) { s.say("a", 1<<63-3, 1<<63-1, 1<<63-2) }, "| a:9223372036854775806-9223372036854775806"},
	} {
		s := newSequence()
		c.say(s)
		if got := strings.TrimSpace(s.String()); got != c.want {
			t.Errorf("%s: %s, want %s", c.about, got, c.want)
		}
	}
}

// What is held of one machine is bounded, whatever its device says, and what goes
// beyond is counted.
func TestLedger_IsBounded(t *testing.T) {
	t.Parallel()
	s := newSequence()
	for n := uint64(0); n < 9_000; n += 2 {
		s.say("a", n)
	}
	c := s.l.machines[s.id]
	if len(c.open) != openKept || c.totals.missed != 4_499 || c.totals.unlisted != 4_499-openKept || s.l.open != openKept {
		t.Errorf("%d gaps listed, %+v", len(c.open), c.totals)
	}
	for n := uint64(1); n < 9_000; n += 2 {
		s.say("a", n)
	}
	if len(c.open) != 0 || len(c.filled) > filledKept || c.totals.filled != openKept {
		t.Errorf("%d open, %d filled, %+v", len(c.open), len(c.filled), c.totals)
	}
	for boot := range 100 {
		s.say(fmt.Sprint(boot), 0, 1)
	}
	if len(c.runs) != runsKept {
		t.Errorf("%d boots are followed", len(c.runs))
	}
	s.say("a", 50, 52) // forgotten, and back
	random := rand.New(rand.NewPCG(1, 2))
	for range 2_000 {
		s.say(fmt.Sprint(random.IntN(20)), random.Uint64N(5_000))
	}
	s.l.open = 2 * openAll // by other machines
	s.say("z", 5, 7)
	if len(c.runs) > runsKept || len(c.open) > openFew || len(c.filled) > filledKept || c.totals.filled+c.totals.unlisted > c.totals.missed {
		t.Errorf("%d boots, %d open, %d filled, %+v", len(c.runs), len(c.open), len(c.filled), c.totals)
	}
	seen := map[string]bool{}
	for _, list := range [][]seqGap{c.open, c.filled} {
		for _, g := range list {
			key := fmt.Sprintf("%s:%d", g.boot, g.first)
			if seen[key] || g.first > g.last {
				t.Errorf("gap %s stands there twice, or ends before it begins at %d", key, g.last)
			}
			seen[key] = true
		}
	}
}

// Three hundred times: some numbers are lost, the rest comes shuffled, some of it
// twice; exactly the lost ones are named.
func TestLedger_NamesExactlyWhatWasLost(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 7))
	for round := range 300 {
		var come, lost []uint64
		for n := range uint64(60) {
			if n > 0 && n < 59 && random.IntN(4) == 0 {
				lost = append(lost, n)
				continue
			}
			for range 1 + random.IntN(2) {
				come = append(come, n)
			}
		}
		random.Shuffle(len(come), func(i, j int) { come[i], come[j] = come[j], come[i] })
		s := newSequence().say("a", come...)
		c := s.l.machines[s.id]
		var named []uint64
		for _, g := range c.open {
			for n := g.first; n <= g.last; n++ {
				named = append(named, n)
			}
		}
		slices.Sort(named)
		if !reflect.DeepEqual(named, lost) || c.totals.missed-c.totals.filled != int64(len(lost)) {
			t.Fatalf("round %d: %v were lost, %v named, %+v", round, lost, named, c.totals)
		}
	}
}
