package telemetry

import (
	"testing"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// BenchmarkMapping measures what decoding one message of four signals costs and
// what a machine's mappings add to it.
func BenchmarkMapping(b *testing.B) {
	log := benchedLog
	rows := []mappingRow{}
	for _, raw := range []string{"oil", "water", "pressure", "speed"} {
		rows = append(rows, mappingRow{Of: log, Raw: raw, Signal: raw + "_temp", Unit: "[degF]", Canonical: "Cel", FromLog: log})
	}
	mapped := meant(rows, log)[log]
	for _, c := range []struct {
		name string
		m    *knownMachine
	}{{"none", &knownMachine{Key: "PM1"}}, {"all", &knownMachine{Key: "PM1", own: mapped}}, {"model", &knownMachine{Key: "PM1", models: mapped}}} {
		b.Run(c.name, func(b *testing.B) {
			payload := []byte(`{"ts":1767225600000,"boot":"b1","seq":1,"values":{"oil":212.5,"water":80.1,"pressure":210,"speed":1500}}`)
			r := intakelog.Record{LSN: 7, Kind: intakelog.Message, Source: "embedded", Topic: "fleet/PM1/telemetry", Received: start, Payload: payload}
			d := &decoding{Batch: &Batch{}, stage: &Stage{}}
			var out formats.Decoded
			b.ReportAllocs()
			for b.Loop() {
				out.Reset()
				d.Observations, d.Numbers = d.Observations[:0], d.Numbers[:0]
				if _, err := formats.Decode(formats.Message{Topic: r.Topic, Received: r.Received, Payload: r.Payload}, &out); err != nil {
					b.Fatal(err)
				}
				d.observe(&r, &decodedRecord{}, c.m, &out.Readings[0], &RecordParts{})
			}
		})
	}
}

var benchedLog = uuid.MustParse("018f0000-0000-7000-8000-000000000001")
