package telemetrytest

import (
	"github.com/thirdstate/thirdstate/telemetry/sparkplug"
)

// Metric is a number of an edge node, by its name, its alias or both.
func Metric(name string, alias uint64, v float64) sparkplug.Metric {
	m := sparkplug.Metric{Name: name, HasName: name != "", Alias: alias, HasAlias: alias > 0, Value: sparkplug.Value{Kind: sparkplug.DoubleValue, Number: v}}
	if name != "" {
		m.Datatype, m.HasDatatype = sparkplug.Double, true
	}
	return m
}

// BirthDeath is the metric that joins a birth and its death.
func BirthDeath(n uint64) sparkplug.Metric {
	return sparkplug.Metric{Name: "bdSeq", HasName: true, Datatype: sparkplug.Int64, HasDatatype: true, Value: sparkplug.Value{Kind: sparkplug.LongValue, Bits: n}}
}
