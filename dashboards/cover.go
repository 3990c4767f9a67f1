package dashboards

import "github.com/thirdstate/thirdstate/machines"

// cover says whether the machine as a whole is still under warranty, by months and
// by hours; "" where nothing is agreed.
func (v view) cover(m machines.Machine) string {
	covered, known := m.UnderWarranty(v.Now)
	if !known {
		return ""
	}
	meter, until := "–", "–"
	if m.OperatingHours != nil {
		meter = v.Number(*m.OperatingHours, 0)
	}
	if ends, ok := m.WarrantyEnds(); ok {
		until = v.Day(ends)
	}
	key := "cover.ended"
	if covered {
		key = "cover.holds"
	}
	return v.T(key, m.WarrantyMonths, m.WarrantyHours, until, meter)
}
