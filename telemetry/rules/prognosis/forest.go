package prognosis

// forest is a sum of trees, each grown on what those before it left (Friedman 2001), with
// the health index that its trees look at.
type forest struct {
	index index
	base  float64
	trees []tree
}

func (f *forest) predict(features []float32) float64 {
	sum := f.base
	for i := range f.trees {
		sum += f.trees[i].predict(features)
	}
	return sum
}

// plant grows a forest on some rows of a table.
func plant(t *table, target []float64, rows []int32) forest {
	f := forest{base: mean(target, rows)}
	g := &grower{table: t, rest: make([]float64, len(target)), gathered: make([]float64, len(rows))}
	for _, r := range rows {
		g.rest[r] = target[r] - f.base
	}
	var chance dice
	for range treesPerFold {
		g.features = g.features[:0]
		for i := range t.bin {
			if len(t.limit[i]) > 0 && chance.within(columnShare) {
				g.features = append(g.features, i)
			}
		}
		seen := make([]int32, 0, len(rows))
		for _, r := range rows {
			if chance.within(rowShare) {
				seen = append(seen, r)
			}
		}
		if len(g.features) == 0 || len(seen) < 2*leastRows {
			continue
		}
		grown := g.grow(seen)
		g.learn(&grown, rows)
		f.trees = append(f.trees, grown)
	}
	return f
}

func mean(values []float64, rows []int32) float64 {
	sum := 0.0
	for _, r := range rows {
		sum += values[r]
	}
	return sum / float64(len(rows))
}

// dice are numbers that look like chance and are the same each time (splitmix64).
type dice uint64

func (d *dice) next() uint64 {
	*d += 0x9e3779b97f4a7c15
	z := uint64(*d)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// within is true in a share of all throws.
func (d *dice) within(share float64) bool { return float64(d.next()>>11) < share*(1<<53) }
