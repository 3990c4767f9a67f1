package watcher

import (
	"math"

	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// How signals are looked at together; see docs/detection.md for how the figures came about.
const (
	groupMost  = 16   // signals of a group
	groupYoung = 5    // rows a signal before a group has an energy
	groupKnown = 50   // energies before one surprises
	groupLoose = 0.1  // of each signal's variance is its own: two that always went together need not for ever
	groupWild  = 8    // times the usual: no row says more
	wanders    = 15.0 // a run-in worth fewer independent elements than that shows no level: only its steps are looked at
)

// group looks at several signals together: what each does may be usual, and that they
// do it at once not. Its statistic is the energy of a row (square of Mahalanobis'
// distance), smoothed, and judged by what it was in rows of which the covariance had not
// been learnt yet: each row is measured first and learnt then.
type group struct {
	members []member
	fresh   int       // values since the last row
	n       float64   // rows learnt
	inverse []float64 // of the sum of the members' products, row after row
	usual   average   // of the cube root of the energy, which is nearly normal (Wilson and Hilferty 1931)
	ratio   float64   // of the energy to its usual
	strain  float64   // surprise that it adds, shared out among its members
}

// member is one signal of a group.
type member struct {
	channel int
	steps   bool    // it wanders: its distance from its own EWMA counts
	now     float64 // of the row, in sigma
	slow    float64 // EWMA of now
	square  float64 // sum of the squares of what counts
	share   float64 // of the energy
}

// average is a mean and variance learnt value by value.
type average struct{ n, mean, variance float64 }

func (m *average) learn(x float64) {
	m.n++
	d := x - m.mean
	m.mean += d / m.n
	m.variance += (d*(x-m.mean) - m.variance) / m.n
}

// gathersAt is the row at which the groups are made: of those that are stated to be healthy
// at least half are theirs to learn.
func (w *Watcher) gathersAt() int64 {
	if w.learn.Rows > 0 {
		return min(longestRunIn, int64(w.learn.Rows)/2) + 1
	}
	return longestRunIn + 1
}

// gather makes the groups, of equal size, once the run-ins should be over.
func (w *Watcher) gather() {
	var list []int
	for i := range w.channels {
		if w.channels[i].state == watching {
			list = append(list, i)
		}
	}
	n := (len(list) + groupMost - 1) / groupMost
	for i := range n {
		if part := list[i*len(list)/n : (i+1)*len(list)/n]; len(part) > 1 {
			w.seat(newGroup(w.channels, part))
		}
	}
}

// seat tells the members where they are.
func (w *Watcher) seat(g *group) {
	w.groups = append(w.groups, g)
	for i := range g.members {
		c := &w.channels[g.members[i].channel]
		c.group, c.seat = g, i
	}
}

func newGroup(channels []channel, list []int) *group {
	p := len(list)
	g := &group{members: make([]member, p), inverse: make([]float64, p*p)}
	for i, at := range list {
		g.members[i] = member{channel: at, steps: channels[at].wanders}
		g.inverse[i*p+i] = 2 / float64(p) // half a variance for each signal: gone after few rows
	}
	g.rest()
	return g
}

// rest is a group whose energy is as expected.
func (g *group) rest() {
	for i := range g.members {
		g.members[i].share = 1 / float64(len(g.members))
	}
	g.ratio, g.strain = 1, 0
}

// take notes a member's value, in sigma.
func (g *group) take(seat int, z float64) {
	g.members[seat].now = z
	g.fresh++
}

// together moves the groups that have as many new values as members.
func (w *Watcher) together() {
	learn := w.stated || w.quiet()
	for _, g := range w.groups {
		if g.fresh >= len(g.members) {
			g.fresh = 0
			g.step(w.lambda, learn)
			g.shareOut(w.channels, w.at)
		}
	}
}

// step measures a row, and learns it.
func (g *group) step(lambda float64, learn bool) {
	var row, along [groupMost]float64
	p := len(g.members)
	for i := range g.members {
		m := &g.members[i]
		m.slow += lambda * (m.now - m.slow)
		if row[i] = m.now; m.steps {
			row[i] -= m.slow
		}
	}
	distance := 0.0
	for i := range p {
		for j, s := range g.inverse[i*p : (i+1)*p] {
			along[i] += s * row[j]
		}
		distance += along[i] * row[i]
	}
	if g.n >= float64(groupYoung*p) {
		g.measure(&row, &along, distance, lambda, learn)
	}
	if learn {
		g.n++
		g.add(&along, 1/(1+distance))
		g.loosen(&row)
	}
}

// measure moves the energy. That of a row that was not learnt is on average 1, whatever
// the number of rows and signals.
func (g *group) measure(row, along *[groupMost]float64, distance, lambda float64, learn bool) {
	p := len(g.members)
	scale := (g.n - float64(p) - 1) / float64(p)
	scale *= min(1, groupWild/(scale*distance+math.SmallestNonzeroFloat32))
	energy := 0.0
	for i := range g.members {
		m := &g.members[i]
		m.share += lambda * (scale*row[i]*along[i] - m.share)
		energy += m.share
	}
	root := math.Cbrt(max(energy, 0))
	g.strain, g.ratio = 0, 1
	if u := &g.usual; u.n >= groupKnown {
		g.ratio = energy / (u.mean * u.mean * u.mean)
		if root > u.mean {
			g.strain = max(0, min(student((root-u.mean)/math.Sqrt(u.variance), u.n*lambda)-unsurprising, surprising))
		}
	}
	if learn {
		g.usual.learn(root)
	}
}

// student is the surprise of a distance in standard deviations that n independent values
// have shown (Student's t): with few, it takes more to surprise.
func student(z, n float64) float64 {
	return (n + 1) / 2 * math.Log1p(z*z/(n+1))
}

// add changes the inverse as the sum of products changes by one row (Sherman and Morrison 1950).
func (g *group) add(along *[groupMost]float64, by float64) {
	p := len(g.members)
	for i := range p {
		a := by * along[i]
		for j := range g.inverse[i*p : (i+1)*p] {
			g.inverse[i*p+j] -= a * along[j]
		}
	}
}

// loosen adds to the variance of one member, each in turn, what none of the others explains.
func (g *group) loosen(row *[groupMost]float64) {
	p := len(g.members)
	for i := range g.members {
		g.members[i].square += row[i] * row[i]
	}
	i := int(math.Mod(g.n, float64(p)))
	own := groupLoose * float64(p) * g.members[i].square / g.n
	var along [groupMost]float64
	copy(along[:], g.inverse[i*p:(i+1)*p])
	g.add(&along, own/(1+own*along[i]))
}

// shareOut gives the group's strain to its members, by what they bring to its energy.
func (g *group) shareOut(channels []channel, at int64) {
	sum := math.SmallestNonzeroFloat64
	for i := range g.members {
		sum += max(g.members[i].share, 0)
	}
	for i := range g.members {
		c := &channels[g.members[i].channel]
		c.joint = g.strain * max(g.members[i].share, 0) / sum
		c.date(at)
	}
}

func (m *average) figures() []*float64 { return []*float64{&m.n, &m.mean, &m.variance} }

func (g *group) figures() []*float64 {
	list := append(g.usual.figures(), &g.n, &g.ratio, &g.strain)
	for i := range g.members {
		m := &g.members[i]
		list = append(list, &m.now, &m.slow, &m.square, &m.share)
	}
	return list
}

func (g *group) snapshot(w *snapshot.Writer) {
	w.Uint(uint64(len(g.members)))
	for i := range g.members {
		w.Int(int64(g.members[i].channel))
		w.Bool(g.members[i].steps)
	}
	w.Int(int64(g.fresh))
	w.Floats(g.inverse)
	for _, f := range g.figures() {
		w.Float(*f)
	}
}

func (g *group) restore(r *snapshot.Reader, channels int) {
	g.members = make([]member, r.Count(groupMost))
	for i := range g.members {
		m := &g.members[i]
		if m.channel, m.steps = int(r.Int()), r.Bool(); m.channel < 0 || m.channel >= channels {
			r.Take(-1)
			m.channel = 0
		}
	}
	g.fresh = int(r.Int())
	if g.inverse = r.Floats(groupMost * groupMost); len(g.inverse) != len(g.members)*len(g.members) {
		r.Take(-1)
	}
	for _, f := range g.figures() {
		*f = r.Float()
	}
}
