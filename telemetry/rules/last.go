package rules

// Last tells the newest trusted value of each signal that has one, also of rows
// that still wait for the watermark, in no order.
func (m *Machine) Last(tell func(signal string, value float64)) {
	values := make([]float64, len(m.row.held))
	copy(values, m.row.held)
	for _, e := range m.waiting.entries[m.waiting.head:] {
		for _, c := range e.cells {
			if c.plausible {
				values[c.number] = c.value
			}
		}
	}
	for n, v := range values {
		if v == v {
			tell(m.row.names[n], v)
		}
	}
}
