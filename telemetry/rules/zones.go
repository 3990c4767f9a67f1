package rules

// zones: vibration by the zones of ISO 20816, or a site's own: A as new, B well, C
// not for long, D does damage. The limit of the first zone that is trouble is a
// threshold like any other; the evidence names the zone.
type zones struct{ threshold }

func newZones(r *Rule, numbers Numbers) Evaluator {
	return &zones{makeThreshold(r, numbers)}
}

func (z *zones) Evidence(e *Evidence) {
	z.threshold.Evidence(e)
	zone := 0
	for zone < len(z.rule.Limits) && z.last > z.rule.Limits[zone] {
		zone++
	}
	e.Sign = zoneNames[zone : zone+1]
}
