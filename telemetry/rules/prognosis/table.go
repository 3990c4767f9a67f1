package prognosis

import "slices"

// bins are what a feature's values are told apart in; the first is of what is unknown.
const bins = 64

// table is the features of rows, column by column, as numbers of their bins.
type table struct {
	bin   [][]uint8
	limit [][]float32 // upper end of each bin from the second on, but the last
}

// add tells a column's values apart in bins of as many rows each.
func (t *table) add(values []float32) {
	limit, bin := limits(values), make([]uint8, len(values))
	for i, v := range values {
		if v == v {
			above, _ := slices.BinarySearch(limit, v)
			bin[i] = uint8(1 + above) //nolint:gosec // below bins
		}
	}
	t.bin, t.limit = append(t.bin, bin), append(t.limit, limit)
}

func limits(values []float32) []float32 {
	sorted := make([]float32, 0, len(values))
	for _, v := range values {
		if v == v {
			sorted = append(sorted, v)
		}
	}
	slices.Sort(sorted)
	var list []float32
	for i := 1; i < bins-1 && len(sorted) > 0; i++ {
		v := sorted[(len(sorted)-1)*i/(bins-1)]
		if v < sorted[len(sorted)-1] && (len(list) == 0 || v > list[len(list)-1]) {
			list = append(list, v)
		}
	}
	return list
}
