package prognosis

import "math"

// How trees are grown; docs/detection.md says where the figures come from.
const (
	mostLeaves  = 15
	leastRows   = 20  // in a leaf
	shrink      = 1.0 // rows that are added to a leaf: one of few rows says less
	pace        = 0.2 // of what a tree would add, what it adds
	rowShare    = 0.5 // of the rows that one tree sees (Friedman 2002)
	columnShare = 0.5 // of the features
)

// grower grows trees on a table, leaf by leaf, the most telling first.
type grower struct {
	table    *table
	features []int     // that the present tree looks at
	rest     []float64 // by row: what is left to explain
	gathered []float64
	cuts     []uint8 // of the present tree's nodes: the last bin that goes left
	spare    [][]cell
}

// cell is a bin of a histogram.
type cell struct{ sum, n float64 }

// histogram is of one feature. Where it is worked on it is a copy, which costs little, and
// most of the work under the race detector otherwise.
type histogram [bins]cell

// branch is a leaf of a tree that grows.
type branch struct {
	rows      []int32
	sum       float64 // of their rests
	histogram []cell  // of all features, bins each
	best      split
	on        int // node that it hangs on, -1 = root
	right     bool
}

func (b *branch) of(feature int) *histogram { return (*histogram)(b.histogram[feature*bins:]) }

type split struct {
	gain    float64
	feature int
	bin     int // the last that goes left
}

func (g *grower) grow(rows []int32) tree {
	root := &branch{rows: rows, on: -1}
	for _, r := range rows {
		root.sum += g.rest[r]
	}
	g.count(root)
	g.look(root)
	var t tree
	g.cuts = g.cuts[:0]
	open := []*branch{root}
	for len(open) < mostLeaves {
		at := 0
		for i := range open {
			if open[i].best.gain > open[at].best.gain {
				at = i
			}
		}
		b := open[at]
		if !(b.best.gain > 0) {
			break
		}
		n := len(t.nodes)
		t.hang(b, n)
		t.nodes = append(t.nodes, node{feature: uint16(b.best.feature), limit: g.limit(b.best)}) //nolint:gosec // bounded by maxSignals
		g.cuts = append(g.cuts, uint8(b.best.bin))                                               //nolint:gosec // below bins
		left, right := g.cut(b)
		left.on, right.on, right.right = n, n, true
		open[at] = left
		open = append(open, right)
	}
	for i, b := range open {
		t.hang(b, ^i)
		t.leaves = append(t.leaves, float32(pace*b.sum/(float64(len(b.rows))+shrink)))
		g.spare = append(g.spare, b.histogram)
	}
	return t
}

// limit is the greatest value that goes left; where only what is unknown does, none is.
func (g *grower) limit(s split) float32 {
	if s.bin == 0 {
		return float32(math.Inf(-1))
	}
	return g.table.limit[s.feature][s.bin-1]
}

// hang puts what has become of a branch in its place.
func (t *tree) hang(b *branch, n int) {
	switch {
	case b.on < 0:
	case b.right:
		t.nodes[b.on].right = int16(n) //nolint:gosec // fewer than leaves
	default:
		t.nodes[b.on].left = int16(n) //nolint:gosec // fewer than leaves
	}
}

// cut divides a branch. The larger part's histogram is what the smaller one leaves.
func (g *grower) cut(b *branch) (left, right *branch) {
	bin, n := g.table.bin[b.best.feature], 0
	for _, r := range b.rows {
		if int(bin[r]) <= b.best.bin {
			n++
		}
	}
	rows := make([]int32, len(b.rows))
	left, right = &branch{rows: rows[:0:n]}, &branch{rows: rows[n:n]}
	for _, r := range b.rows {
		if int(bin[r]) <= b.best.bin {
			left.rows, left.sum = append(left.rows, r), left.sum+g.rest[r]
		} else {
			right.rows = append(right.rows, r)
		}
	}
	right.sum = b.sum - left.sum
	small, large := left, right
	if len(left.rows) > len(right.rows) {
		small, large = right, left
	}
	g.count(small)
	large.histogram = b.histogram
	for _, f := range g.features {
		rest, less := *large.of(f), *small.of(f)
		for i, c := range &less {
			rest[i].sum -= c.sum
			rest[i].n -= c.n
		}
		*large.of(f) = rest
	}
	g.look(left)
	g.look(right)
	return left, right
}

// count makes a branch's histogram.
func (g *grower) count(b *branch) {
	if n := len(g.spare); n > 0 {
		b.histogram, g.spare = g.spare[n-1], g.spare[:n-1]
	} else {
		b.histogram = make([]cell, bins*len(g.table.bin))
	}
	rest := g.gathered[:len(b.rows)]
	for i, r := range b.rows {
		rest[i] = g.rest[r]
	}
	for _, f := range g.features {
		var h histogram
		bin := g.table.bin[f]
		for i, r := range b.rows {
			c := &h[bin[r]%bins]
			c.sum += rest[i]
			c.n++
		}
		*b.of(f) = h
	}
}

// look finds the best split of a branch, by how much it lowers the squared error.
func (g *grower) look(b *branch) {
	all := float64(len(b.rows))
	whole := b.sum * b.sum / (all + shrink)
	least := 1e-9 * whole // differences of rounding are none
	for _, f := range g.features {
		var left cell
		h := *b.of(f)
		for i := range len(g.table.limit[f]) + 1 {
			left.sum += h[i].sum
			left.n += h[i].n
			if left.n < leastRows {
				continue
			}
			if all-left.n < leastRows {
				break
			}
			rest := b.sum - left.sum
			gain := left.sum*left.sum/(left.n+shrink) + rest*rest/(all-left.n+shrink) - whole
			if gain > b.best.gain+least {
				b.best = split{gain, f, i}
			}
		}
	}
}

// learn takes from what is left to explain what the tree that was grown last says of rows.
func (g *grower) learn(t *tree, rows []int32) {
	type fork struct {
		bin         []uint8 // of the feature, by row
		cut         uint8
		left, right int16
	}
	var forks [mostLeaves]fork
	var leaves [mostLeaves]float64
	for i, n := range t.nodes {
		forks[i] = fork{g.table.bin[n.feature], g.cuts[i], n.left, n.right}
	}
	for i, v := range t.leaves {
		leaves[i] = float64(v)
	}
	root := int16(0)
	if len(t.nodes) == 0 {
		root = ^root
	}
	for _, r := range rows {
		i := root
		for i >= 0 {
			if n := &forks[i]; n.bin[r] <= n.cut {
				i = n.left
			} else {
				i = n.right
			}
		}
		g.rest[r] -= leaves[^i]
	}
}
