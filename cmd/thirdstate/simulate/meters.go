package simulate

// meters are the counters of a machine, kept by day so that an instant costs a
// day's slots and not a life's.
type meters struct {
	first int64 // Unix time of the first day's begin
	days  []reading
	at    int64 // end of the last whole slot that was counted, and the stand then
	stand reading
}

// reading is a counter's stand at the begin of a day.
type reading struct{ hours, volume float64 }

// read gives operating hours and work done (load hours) since the start.
func (u *unit) read(at int64) reading {
	m := &u.meters
	if len(m.days) == 0 {
		m.first, m.days = u.start, []reading{{}}
	}
	if at < m.first {
		return reading{}
	}
	day := int((at - m.first) / 86400)
	for len(m.days) <= day {
		from := m.first + int64(len(m.days)-1)*86400
		m.days = append(m.days, u.count(m.days[len(m.days)-1], from, from+86400))
	}
	begin := m.first + int64(day)*86400
	if m.at < begin || m.at > at {
		m.at, m.stand = begin, m.days[day]
	}
	if whole := floorDiv(at, slotSeconds) * slotSeconds; whole > m.at {
		m.stand, m.at = u.count(m.stand, m.at, whole), whole
	}
	return u.count(m.stand, m.at, at)
}

// count goes on with a counter from one instant to another.
func (u *unit) count(r reading, from, to int64) reading {
	for from < to {
		end := min((floorDiv(from, slotSeconds)+1)*slotSeconds, to)
		if s := u.slot(from); s.on {
			hours := float64(end-from) / 3600
			r.hours += hours
			r.volume += hours * s.load
		}
		from = end
	}
	return r
}

// forget drops what was counted from an instant on.
func (m *meters) forget(at int64) {
	if len(m.days) == 0 {
		return
	}
	m.at = 0
	m.days = m.days[:max(1, min(len(m.days), int((at-m.first)/86400)+1))]
}
