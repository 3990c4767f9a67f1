package machines_test

import (
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/machines"
)

func TestUnderWarranty_EndsWithMonthsOrHoursWhicheverComesFirst(t *testing.T) {
	t.Parallel()
	handed := time.Date(2025, 1, 8, 0, 0, 0, 0, time.UTC)
	hours := func(h float64) *float64 { return &h }
	for _, c := range []struct {
		machine        machines.Machine
		at             time.Time
		covered, known bool
	}{
		{machines.Machine{HandedOverOn: &handed, WarrantyMonths: 12, WarrantyHours: 2000, OperatingHours: hours(1999)}, handed.AddDate(0, 11, 0), true, true},
		{machines.Machine{HandedOverOn: &handed, WarrantyMonths: 12, WarrantyHours: 2000, OperatingHours: hours(1999)}, handed.AddDate(0, 12, 0), false, true},
		{machines.Machine{HandedOverOn: &handed, WarrantyMonths: 12, WarrantyHours: 2000, OperatingHours: hours(2000)}, handed.AddDate(0, 1, 0), false, true},
		{machines.Machine{HandedOverOn: &handed, WarrantyMonths: 12, WarrantyHours: 2000}, handed, true, true},
		{machines.Machine{WarrantyMonths: 12, WarrantyHours: 2000, OperatingHours: hours(10)}, handed, true, true},
		{machines.Machine{WarrantyMonths: 12}, handed, false, false},
		{machines.Machine{HandedOverOn: &handed}, handed, false, false},
	} {
		if covered, known := c.machine.UnderWarranty(c.at); covered != c.covered || known != c.known {
			t.Errorf("%+v at %v: %v %v", c.machine, c.at, covered, known)
		}
	}
}
