package formats

// longestUnit is what is read of a unit, in bytes; a longer text is none.
const longestUnit = 64

// unitIn reads a unit, "" for what cannot be one.
func (d *Decoded) unitIn(text []byte) string {
	if len(text) == 0 || len(text) > longestUnit {
		return ""
	}
	return d.name(text)
}

// giveUnits says in which units the values are of the readings since the first of
// them, by signal.
func (d *Decoded) giveUnits(first int, unit func(signal string) string) {
	for i := first; i < len(d.Readings); i++ {
		r := &d.Readings[i]
		for k := range r.Values {
			if u := unit(r.Values[k].Signal); u != "" {
				if r.Units == nil {
					r.Units = make([]string, len(r.Values))
				}
				r.Units[k] = u
			}
		}
	}
}
