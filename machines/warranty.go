package machines

import "time"

// WarrantyEnds is when the months of a machine's warranty are over; ok is false
// where it has none or was not handed over.
func (m Machine) WarrantyEnds() (at time.Time, ok bool) {
	if m.HandedOverOn == nil || m.WarrantyMonths <= 0 {
		return time.Time{}, false
	}
	return m.HandedOverOn.AddDate(0, m.WarrantyMonths, 0), true
}

// UnderWarranty says whether the machine as a whole is covered at a time: until
// its months are over or its meter has reached its hours, whichever comes first.
// known is false where nothing is agreed or neither can be told.
func (m Machine) UnderWarranty(at time.Time) (covered, known bool) {
	covered = true
	if ends, ok := m.WarrantyEnds(); ok {
		covered, known = at.Before(ends), true
	}
	if m.WarrantyHours > 0 && m.OperatingHours != nil {
		covered, known = covered && *m.OperatingHours < float64(m.WarrantyHours), true
	}
	return covered && known, known
}
