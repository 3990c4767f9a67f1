package prognosis

// tree is a regression tree. A node sends a row to one of two nodes, or to leaf ^n where
// that is negative. The first node is the root; a tree of one leaf has none.
type tree struct {
	nodes  []node
	leaves []float32
}

type node struct {
	limit       float32 // left goes what is not above it, and what is unknown
	feature     uint16
	left, right int16
}

func (t *tree) predict(features []float32) float64 {
	i := int16(0)
	if len(t.nodes) == 0 {
		i = ^i
	}
	for i >= 0 {
		if n := &t.nodes[i]; features[n.feature] > n.limit {
			i = n.right
		} else {
			i = n.left
		}
	}
	return float64(t.leaves[^i])
}
