package postgres

// MappedConstraints are the names that Translate knows.
func MappedConstraints() []string {
	var names []string
	for _, m := range meanings {
		names = append(names, m.constraint)
	}
	return names
}
