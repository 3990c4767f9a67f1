package scoring

// Named is the share of events whose root was among the first so many causes; of records
// with one event each.
func Named(records []Record, within int) float64 {
	named := 0
	for _, r := range records {
		if r.Named > 0 && r.Named <= within {
			named++
		}
	}
	return share(named, len(records))
}
