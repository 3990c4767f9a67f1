package telemetry

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/thirdstate/thirdstate/machines"
)

// lookalikes are letters of other scripts that are taken for Latin ones.
var lookalikes = strings.NewReplacer("а", "a", "в", "b", "с", "c", "е", "e", "н", "h", "і", "i", "ј", "j", "к", "k", "м", "m", "о", "o", "р", "p", "ѕ", "s", "т", "t", "х", "x", "у", "y",
	"α", "a", "β", "b", "ε", "e", "ι", "i", "κ", "k", "ν", "v", "ο", "o", "ρ", "p", "τ", "t", "υ", "u", "χ", "x")

// fold makes names alike that differ in case, signs between words, width of letters
// and look-alike letters.
func fold(name string) string {
	if len(name) > 4*maxRawName {
		return ""
	}
	name = lookalikes.Replace(strings.ToLower(norm.NFKC.String(name)))
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, name)
}

// Nearest is the signal that a name most likely means, "" where it is like none:
// the same but for its spelling, with few letters mistaken, or with words before or
// behind it. The first in the order of the model wins.
func Nearest(name string, signals []machines.Signal) string {
	folded := []rune(fold(name))
	if len(folded) == 0 {
		return ""
	}
	best, distance := "", len(folded)/4+1
	for i := range signals {
		s := &signals[i]
		for _, text := range []string{s.Name, s.Label, s.LabelEN} {
			if d := apart(folded, []rune(fold(text))); d < distance {
				best, distance = s.Name, d
			}
		}
	}
	if best == "" {
		best = heldIn(string(folded), signals)
	}
	return best
}

// shortest is the length from which a name inside another one counts as like it.
const shortest = 6

func heldIn(folded string, signals []machines.Signal) string {
	for i := range signals {
		known := fold(signals[i].Name)
		if min(len(known), len(folded)) >= shortest && (strings.Contains(folded, known) || strings.Contains(known, folded)) {
			return signals[i].Name
		}
	}
	return ""
}

// apart is the number of letters to change, add or leave out; names of very
// different length are simply far.
func apart(a, b []rune) int {
	if len(b) == 0 || len(a) > 2*len(b) || len(b) > 2*len(a) {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for k := range row {
		row[k] = k
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for k := range b {
			cost := diagonal
			if a[i] != b[k] {
				cost++
			}
			diagonal = row[k+1]
			row[k+1] = min(cost, row[k]+1, row[k+1]+1)
		}
	}
	return row[len(b)]
}
