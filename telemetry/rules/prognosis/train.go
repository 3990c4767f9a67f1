package prognosis

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Life is one machine from new until it failed. Rows are in order.
type Life struct {
	Machine string
	Rows    []Row
}

// Row is what a machine said at one age. Values are those of the signals, then of the
// contexts; NaN = it did not say.
type Row struct {
	Age    float64
	Values []float64
}

// Options of a training. Cap is what remains at most: beyond it nothing is told apart,
// since what is to fail has not begun; 0 = most of a typical life.
type Options struct {
	Signals  []string
	Contexts []string
	Age      string // name of what says a row's age; "" = it is counted from the first row
	Unit     string // of ages; default Rows
	Cap      float64

	For       string   // model of machines that the lives are of
	Component string   // code of the component that failed; "" = the machine as a whole
	Units     []string // of the signals, then of the contexts, in UCUM; "" = not said; nil = none is
	Every     float64  // seconds from row to row; 0 = nobody knows
}

// What ages are counted in, where nothing says them.
const (
	Hours = "hour"
	Rows  = "row"
)

// Bounds of a training.
const (
	leastLives   = 10
	maxLives     = 10_000
	maxSignals   = 240
	maxCells     = 24 << 20 // features of all rows that are fitted
	leastLife    = 10       // rows
	folds        = 5
	treesPerFold = 50
	capShare     = 0.6 // of a typical life
	freshShare   = 1.0 / shareInitial
	flattening   = 1e-2
)

// Train learns a model from lives. Each life is in one of five folds. A forest is grown
// on each four of them and judged on the fifth, so that intervals and accuracy come from
// machines that it has not seen; what the model says is the mean of the five forests.
func Train(lives []Life, o Options) (*Model, error) {
	if err := check(lives, o); err != nil {
		return nil, err
	}
	m := &Model{Signals: o.Signals, Contexts: o.Contexts, Age: o.Age, Unit: cmp.Or(o.Unit, Rows), Cap: o.Cap, Lives: len(lives),
		For: o.For, Component: o.Component, Units: o.Units, Every: o.Every}
	if m.Units == nil {
		m.Units = make([]string, len(o.Signals)+len(o.Contexts))
	}
	rows, ages := make([]float64, len(lives)), make([]float64, len(lives))
	for i := range lives {
		rows[i], ages[i] = float64(len(lives[i].Rows)), lives[i].last()
		m.Rows += len(lives[i].Rows)
		m.Fresh = math.Max(m.Fresh, lives[i].Rows[0].Age)
	}
	slices.Sort(rows)
	slices.Sort(ages)
	m.Typical = ages[len(ages)/2]
	m.Fresh = math.Max(m.Fresh, freshShare*m.Typical)
	m.Step = step(lives)
	if m.Cap == 0 {
		m.Cap = capShare * m.Typical
	}
	m.memory = remember(rows[len(rows)/2])
	m.normal = learnNormal(lives, len(o.Signals), len(o.Contexts))
	s := m.sample(lives, whole(lives))
	if !s.moves() {
		return nil, fmt.Errorf("no signal moves: there is nothing to learn from")
	}
	m.known = m.learn(s)
	late := m.sample(lives, heard(lives, m.Typical))
	if late.moves() && late.lives() >= leastLives {
		m.late = m.learn(late)
		m.outlook = learnOutlook(s, late)
	} else {
		m.outlook = learnOutlook(s)
	}
	m.Accuracy, m.Late = m.known.accuracy, m.late.accuracy
	return m, nil
}

// learn grows the forests of one way to know a machine.
func (m *Model) learn(s *sample) head {
	var h head
	var judged []said
	for k := range folds {
		f := m.grow(s, k)
		judged = append(judged, s.judge(&f, k, m.Cap, m.Typical)...)
		h.forests = append(h.forests, f)
	}
	h.margins = measureMargins(judged, m.Cap)
	h.accuracy = h.measure(judged, m.Cap)
	return h
}

// step is how far apart rows are, the median over lives.
func step(lives []Life) float64 {
	steps := make([]float64, len(lives))
	for i := range lives {
		rows := lives[i].Rows
		steps[i] = (rows[len(rows)-1].Age - rows[0].Age) / float64(len(rows)-1)
	}
	slices.Sort(steps)
	return steps[len(steps)/2]
}

func (l *Life) last() float64 { return l.Rows[len(l.Rows)-1].Age }

func check(lives []Life, o Options) error {
	switch {
	case len(o.Signals) == 0 || len(o.Signals) > maxSignals:
		return fmt.Errorf("%d signals: 1 to %d can be learnt from", len(o.Signals), maxSignals)
	case len(o.Contexts) > maxContext:
		return fmt.Errorf("%d signals that explain others: at most %d", len(o.Contexts), maxContext)
	case len(lives) < leastLives || len(lives) > maxLives:
		return fmt.Errorf("%d machines that were followed until they failed: %d to %d are needed", len(lives), leastLives, maxLives)
	case len(o.Unit) > maxName || len(o.Age) > maxName:
		return fmt.Errorf("the name of the age or of its unit is longer than %d bytes", maxName)
	case len(o.For) > maxName || len(o.Component) > maxName:
		return fmt.Errorf("the name of the machines' model or of the component is longer than %d bytes", maxName)
	case o.Units != nil && len(o.Units) != len(o.Signals)+len(o.Contexts):
		return fmt.Errorf("%d units for %d signals", len(o.Units), len(o.Signals)+len(o.Contexts))
	case !(o.Every >= 0 && o.Every < math.MaxFloat32):
		return fmt.Errorf("rows that are %v s apart", o.Every)
	case !(o.Cap >= 0 && o.Cap < math.MaxFloat32):
		return fmt.Errorf("a cap of %v on what remains: it must be positive", o.Cap)
	}
	for i := range lives {
		l := &lives[i]
		if n := len(l.Rows); n < leastLife {
			return fmt.Errorf("machine %s: %d rows until it failed, at least %d are needed", l.Machine, n, leastLife)
		}
		age := 0.0
		for j := range l.Rows {
			if r := &l.Rows[j]; !(r.Age >= age && r.Age < math.MaxFloat32) || len(r.Values) != len(o.Signals)+len(o.Contexts) {
				return fmt.Errorf("machine %s: row %d has the age %v and %d values, after the age %v", l.Machine, j+1, r.Age, len(r.Values), age)
			}
			age = l.Rows[j].Age
		}
		if age == 0 {
			return fmt.Errorf("machine %s: its age is 0 when it fails", l.Machine)
		}
	}
	return nil
}

// grow makes the forest of all folds but one.
func (m *Model) grow(s *sample, fold int) forest {
	rows := s.fold(fold, false)
	x := m.learnIndex(s, rows)
	t := table{slices.Clone(s.table.bin), slices.Clone(s.table.limit)}
	for _, column := range s.indexed(&x) {
		t.add(column)
	}
	f := plant(&t, s.target, rows)
	f.index = x
	return f
}

// learnIndex fits what remains to what the signals are lately.
func (m *Model) learnIndex(s *sample, rows []int32) index {
	fit, x := newLeast(len(m.Signals)), make([]float64, len(m.Signals))
	for _, r := range rows {
		for i := range x {
			x[i] = s.tracks[r][i].fast
		}
		fit.add(x, s.target[r])
	}
	var g index
	g.slope, g.level = fit.solve(flattening)
	return g
}

// measure says how good the forests were on lives that they had not seen, beside what
// could be said without looking at a signal.
func (h *head) measure(judged []said, most float64) Accuracy {
	var a Accuracy
	n := float64(len(judged))
	for _, s := range judged {
		low, high := h.margins.around(s.remaining, most)
		a.RMSE += s.rest * s.rest / n
		a.ByAge += s.byAge * s.byAge / n
		a.Width += (high - low) / n
		if truth := s.remaining + s.rest; truth >= low-1e-9 && truth <= high+1e-9 {
			a.Covered += 1 / n
		}
	}
	a.RMSE, a.ByAge = math.Sqrt(a.RMSE), math.Sqrt(a.ByAge)
	return a
}
