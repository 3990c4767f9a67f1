package datasets

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/thirdstate/thirdstate/telemetry/rules/prognosis"
)

// How remaining life is judged, stated beforehand: each engine by a model that was learnt
// from engines of the other parts, at flights with as much left as the official test
// engines have, and over all its flights.
const (
	lifeParts   = 4
	lifeCuts    = 50  // of each engine
	lifeCap     = 125 // flights, as published
	lifeFlown   = 30  // flights at least before a cut
	lifeLeast   = 7   // flights left at a cut
	lifeMost    = 145
	leastInPart = 14 // engines, so that a model has ten to learn from
)

// guess is what was said of an engine's flight and what was true.
type guess struct{ said, low, high, truth float64 }

// judgement is what three ways to say what remains came to.
type judgement struct {
	cut, all []guess
	unlike   int // flights of engines that are held to be unlike those of the fleet
}

// measureLives learns what remains of the fleets that ran to failure, and judges it.
func measureLives(ctx context.Context, d *folder) (lines []Line, small []string, err error) {
	var fleets []livesOf
	for _, f := range d.files {
		if !strings.HasPrefix(f.name(), "train") || !numbers(f.head, cmapssColumns) {
			continue
		}
		name := "C-MAPSS " + strings.TrimPrefix(f.name(), "train_")
		lives, err := cmapssLives(d, f)
		if err != nil {
			return nil, nil, err
		}
		if len(lives) < leastInPart {
			small = append(small, fmt.Sprintf("remaining life of %s (%d engines, %d are needed)", name, len(lives), leastInPart))
			continue
		}
		fleets = append(fleets, livesOf{name, lives})
		model, byAge, constant, err := judgeLives(ctx, lives)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.path, err)
		}
		for _, l := range lifeLines(strings.TrimPrefix(name, "C-MAPSS ")) {
			l.Set = name
			l.Watcher, l.Clock, l.Always = l.of(model), l.of(byAge), l.of(constant)
			lines = append(lines, l.Line)
		}
	}
	strange, err := judgeStrangers(ctx, fleets)
	return append(lines, strange...), small, err
}

// livesOf are those of one table.
type livesOf struct {
	name  string
	lives []prognosis.Life
}

// longLife is what must not be said of an engine at its last flight.
const longLife = 40

// judgeStrangers asks the model of the first fleet about the last flights of the others,
// which have faults and circumstances that it has not seen.
func judgeStrangers(ctx context.Context, fleets []livesOf) (lines []Line, err error) {
	if len(fleets) < 2 || ctx.Err() != nil {
		return nil, ctx.Err()
	}
	m, err := prognosis.Train(fleets[0].lives, cmapssRoles())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", fleets[0].name, err)
	}
	for _, other := range fleets[1:] {
		long, nothing := 0, 0
		for i := range other.lives {
			f := m.Follow()
			var last prognosis.Estimate
			said := false
			for j := range other.lives[i].Rows {
				last, said = f.Observe(&other.lives[i].Rows[j])
			}
			switch {
			case !said:
				nothing++
			case last.Remaining > longLife:
				long++
			}
		}
		set, share := fmt.Sprintf("%s by the model of %s", other.name, strings.TrimPrefix(fleets[0].name, "C-MAPSS ")), 100/float64(len(other.lives))
		lines = append(lines,
			Line{Set: set, Figure: "engines given more than 40 flights at their last, %", Watcher: share * float64(long), Clock: math.NaN(), Always: math.NaN()},
			Line{Set: set, Figure: "engines of which nothing is said at their last, %", Watcher: share * float64(nothing), Clock: math.NaN(), Always: math.NaN()})
	}
	return lines, nil
}

// cmapssLives reads the engines of a table, in its order. A flight's age is the flights so
// far; the last one is the failure.
func cmapssLives(d *folder, f file) ([]prognosis.Life, error) {
	var lives []prognosis.Life
	err := d.lines(f.path, func(_ int, line string) error {
		fields := strings.Fields(line)
		if !numbers(line, cmapssColumns) {
			return fmt.Errorf("is not %d numbers", cmapssColumns)
		}
		if n := len(lives); n == 0 || lives[n-1].Machine != fields[0] {
			lives = append(lives, prognosis.Life{Machine: fields[0]})
		}
		if len(lives) > maxEngines {
			return fmt.Errorf("more than %d engines", maxEngines)
		}
		l := &lives[len(lives)-1]
		row := prognosis.Row{Age: float64(len(l.Rows) + 1)}
		for _, text := range append(fields[5:], fields[2:5]...) {
			v, _ := strconv.ParseFloat(text, 64) // looked at above
			row.Values = append(row.Values, v)
		}
		l.Rows = append(l.Rows, row)
		return nil
	})
	return lives, err
}

func cmapssRoles() prognosis.Options {
	o := prognosis.Options{Cap: lifeCap}
	for i := range cmapssColumns {
		switch name := "c" + strconv.Itoa(i+1); {
		case i >= 5:
			o.Signals = append(o.Signals, name)
		case i >= 2:
			o.Contexts = append(o.Contexts, name)
		}
	}
	return o
}

// judgeLives asks a model, the mean life less the age, and a constant.
func judgeLives(ctx context.Context, lives []prognosis.Life) (model, byAge, constant judgement, err error) {
	for part := range lifeParts {
		if ctx.Err() != nil {
			return model, byAge, constant, ctx.Err()
		}
		var fit, judged []prognosis.Life
		for i, l := range lives {
			if i%lifeParts == part {
				judged = append(judged, l)
			} else {
				fit = append(fit, l)
			}
		}
		m, err := prognosis.Train(fit, cmapssRoles())
		if err != nil {
			return model, byAge, constant, err
		}
		life, left := typical(fit)
		for i := range judged {
			l := &judged[i]
			f := m.Follow()
			cuts := cutsOf(l)
			for j := range l.Rows {
				e, ok := f.Observe(&l.Rows[j])
				truth := math.Min(lifeCap, float64(len(l.Rows)-1-j))
				if !ok { // too young to say anything
					e = prognosis.Estimate{Remaining: lifeCap, Low: 0, High: lifeCap}
				}
				if f.Why() == prognosis.Unlike {
					model.unlike++
				}
				model.add(guess{e.Remaining, e.Low, e.High, truth}, cuts[j])
				byAge.add(blind(math.Max(0, math.Min(lifeCap, life-float64(j+1))), truth), cuts[j])
				constant.add(blind(left, truth), cuts[j])
			}
		}
	}
	return model, byAge, constant, nil
}

// blind is a guess without an interval.
func blind(said, truth float64) guess { return guess{said, math.NaN(), math.NaN(), truth} }

func (g *judgement) add(one guess, times int) {
	g.all = append(g.all, one)
	for range times {
		g.cut = append(g.cut, one)
	}
}

// typical is the mean life, and the mean of what is left of it at a flight.
func typical(lives []prognosis.Life) (life, left float64) {
	rows := 0.0
	for i := range lives {
		n := len(lives[i].Rows)
		life += float64(n) / float64(len(lives))
		for j := range n {
			rows++
			left += (math.Min(lifeCap, float64(n-1-j)) - left) / rows
		}
	}
	return life, left
}

// cutsOf draws flights of an engine at which it is judged, the same each time.
func cutsOf(l *prognosis.Life) map[int]int {
	unit, _ := strconv.Atoi(l.Machine)
	chance := rand.New(rand.NewPCG(uint64(unit), uint64(len(l.Rows)))) //nolint:gosec // to be the same each time
	cuts := map[int]int{}
	for range lifeCuts {
		if at := len(l.Rows) - 1 - (lifeLeast + chance.IntN(lifeMost-lifeLeast+1)); at >= lifeFlown {
			cuts[at]++
		}
	}
	return cuts
}

// lifeLine is a line with how its figure is worked out.
type lifeLine struct {
	Line
	of func(judgement) float64
}

func lifeLines(fleet string) []lifeLine {
	cut := Line{Figure: "error (RMSE up to 125 flights), cut at random, flights"}
	if known, is := map[string]struct {
		published string
		goal      float64
	}{"FD001": {"10.61", 10.0}, "FD002": {"13.47", 10.3}, "FD003": {"10.71", 9.9}, "FD004": {"15.87", 10.8}}[fleet]; is {
		cut.Published, cut.Goal, cut.aim = known.published, known.goal, atMost
	}
	return []lifeLine{
		{cut, func(j judgement) float64 { return rmse(j.cut) }},
		{Line{Figure: "error (RMSE up to 125 flights), all flights"}, func(j judgement) float64 { return rmse(j.all) }},
		{Line{Figure: "NASA score of an engine, cut at random, mean"}, func(j judgement) float64 { return nasa(j.cut) }},
		{Line{Figure: "truth in the 80 % interval, all flights, %"}, func(j judgement) float64 { return covered(j.all) }},
		{Line{Figure: "width of the interval, all flights, mean"}, func(j judgement) float64 { return width(j.all) }},
		{Line{Figure: "the same with 50 flights or fewer left"}, func(j judgement) float64 { return width(late(j.all)) }},
		{Line{Figure: "flights of engines held to be unlike the fleet, %"}, func(j judgement) float64 { return 100 * float64(j.unlike) / float64(max(1, len(j.all))) }},
	}
}

func late(list []guess) []guess {
	var few []guess
	for _, g := range list {
		if g.truth <= 50 {
			few = append(few, g)
		}
	}
	return few
}

func over(list []guess, of func(guess) float64) float64 {
	sum := 0.0
	for _, g := range list {
		sum += of(g) / float64(len(list))
	}
	return sum
}

func rmse(list []guess) float64 {
	return math.Sqrt(over(list, func(g guess) float64 { return (g.said - g.truth) * (g.said - g.truth) }))
}

// nasa is the score of Saxena 2008: late is worse than early.
func nasa(list []guess) float64 {
	return over(list, func(g guess) float64 {
		if g.said < g.truth {
			return math.Expm1((g.truth - g.said) / 13)
		}
		return math.Expm1((g.said - g.truth) / 10)
	})
}

func covered(list []guess) float64 {
	return over(list, func(g guess) float64 {
		switch {
		case g.low != g.low:
			return math.NaN()
		case g.truth >= g.low && g.truth <= g.high:
			return 100
		}
		return 0
	})
}

func width(list []guess) float64 {
	return over(list, func(g guess) float64 { return g.high - g.low })
}
