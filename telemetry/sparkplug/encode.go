package sparkplug

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Encode is the opposite of Decode, without compression.
func Encode(p *Payload) []byte {
	var b []byte
	if p.HasTimestamp {
		b = number(b, 1, p.Timestamp)
	}
	for i := range p.Metrics {
		b = part(b, 2, encodeMetric(&p.Metrics[i]))
	}
	if p.HasSeq {
		b = number(b, 3, p.Seq)
	}
	if p.UUID != "" {
		b = part(b, 4, []byte(p.UUID))
	}
	if p.Body != nil {
		b = part(b, 5, p.Body)
	}
	return b
}

func number(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func part(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func mark(b []byte, field protowire.Number, on bool) []byte {
	if on {
		return number(b, field, 1)
	}
	return b
}

func encodeMetric(m *Metric) []byte {
	var b []byte
	if m.HasName {
		b = part(b, 1, []byte(m.Name))
	}
	if m.HasAlias {
		b = number(b, 2, m.Alias)
	}
	if m.HasTimestamp {
		b = number(b, 3, m.Timestamp)
	}
	if m.HasDatatype {
		b = number(b, 4, uint64(m.Datatype))
	}
	b = mark(mark(mark(b, 5, m.Historical), 6, m.Transient), 7, m.Null)
	if len(m.Properties) > 0 {
		b = part(b, 9, encodeProperties(m.Properties))
	}
	switch v := &m.Value; v.Kind {
	case BytesValue:
		b = part(b, 16, v.Bytes)
	case DataSetValue:
		b = part(b, 17, encodeDataSet(v.Set))
	case TemplateValue:
		b = part(b, 18, encodeTemplate(v.Template))
	default:
		b = encodeScalar(b, 9, v)
	}
	return b
}

// encodeScalar writes a value of the oneof whose first field comes after base.
func encodeScalar(b []byte, base protowire.Number, v *Value) []byte {
	field := base + protowire.Number(v.Kind)
	switch v.Kind {
	case IntValue, LongValue, BooleanValue:
		return number(b, field, v.Bits)
	case FloatValue:
		return protowire.AppendFixed32(protowire.AppendTag(b, field, protowire.Fixed32Type), math.Float32bits(float32(v.Number)))
	case DoubleValue:
		return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), math.Float64bits(v.Number))
	case StringValue:
		return part(b, field, []byte(v.Text))
	}
	return b
}

func encodeProperties(list []Property) []byte {
	var b []byte
	for i := range list {
		b = part(b, 1, []byte(list[i].Key))
	}
	for i := range list {
		p := number(nil, 1, uint64(list[i].Type))
		b = part(b, 2, encodeScalar(mark(p, 2, list[i].Null), 2, &list[i].Value))
	}
	return b
}

func encodeDataSet(t *DataSet) []byte {
	b := number(nil, 1, uint64(len(t.Columns)))
	for _, name := range t.Columns {
		b = part(b, 2, []byte(name))
	}
	for _, datatype := range t.Types {
		b = number(b, 3, uint64(datatype))
	}
	for _, row := range t.Rows {
		var cells []byte
		for i := range row {
			cells = part(cells, 1, encodeScalar(nil, 0, &row[i]))
		}
		b = part(b, 4, cells)
	}
	return b
}

func encodeTemplate(t *Template) []byte {
	var b []byte
	for i := range t.Metrics {
		b = part(b, 2, encodeMetric(&t.Metrics[i]))
	}
	if t.Reference != "" {
		b = part(b, 4, []byte(t.Reference))
	}
	return mark(b, 5, t.Definition)
}

// RebirthCommand is the payload of an NCMD that asks an edge node for its births.
func RebirthCommand(now time.Time) []byte {
	at := uint64(now.UnixMilli()) //nolint:gosec // after 1970
	return Encode(&Payload{Timestamp: at, HasTimestamp: true, Metrics: []Metric{{
		Name: RebirthName, HasName: true, Timestamp: at, HasTimestamp: true, Datatype: Boolean, HasDatatype: true,
		Value: Value{Kind: BooleanValue, Bits: 1},
	}}})
}

// HostState is what a host application says of itself.
type HostState struct {
	Online    bool  `json:"online"`
	Timestamp int64 `json:"timestamp"` // Unix ms
}

// StatePayload is the payload of a STATE message.
func StatePayload(online bool, at time.Time) []byte {
	return fmt.Appendf(nil, `{"online":%t,"timestamp":%d}`, online, at.UnixMilli())
}

// ParseState reads a STATE message; ok is false for one that is none.
func ParseState(payload []byte) (s HostState, ok bool) {
	if len(payload) > 1<<10 {
		return s, false
	}
	return s, json.Unmarshal(payload, &s) == nil
}
