package sparkplug

import "fmt"

// Decode reads a payload, a compressed one too. The bytes of the result share
// memory with b.
func Decode(b []byte) (*Payload, *Fault) {
	if len(b) > MaxPayload {
		return nil, &Fault{Reason: TooLarge, Detail: fmt.Sprintf("message has %d bytes, limit %d", len(b), MaxPayload)}
	}
	outer, fault := decode(b)
	if fault != nil || outer.UUID != compressedUUID {
		return outer, fault
	}
	inner, algorithm, fault := inflate(outer)
	if fault != nil {
		return nil, fault
	}
	p, fault := decode(inner)
	if fault != nil {
		return nil, fault
	}
	if p.UUID == compressedUUID {
		return nil, &Fault{Reason: Inflate, Detail: "a compressed payload holds a compressed payload"}
	}
	p.Compressed = algorithm
	return p, nil
}

func decode(b []byte) (*Payload, *Fault) {
	d := &decoder{b: b}
	p := &Payload{}
	if n := metricsIn(b); n > 0 {
		p.Metrics = make([]Metric, 0, n)
	}
	for s := (&scanner{d: d, end: len(b)}); s.next(); {
		switch s.field {
		case 1:
			p.Timestamp, p.HasTimestamp = s.varint("timestamp"), true
		case 2:
			if !d.count(s.at) {
				break
			}
			p.Metrics = append(p.Metrics, d.metric(s, 0))
		case 3:
			p.Seq, p.HasSeq = s.varint("seq"), true
		case 4:
			p.UUID = s.text("uuid")
		case 5:
			p.Body = s.bytes("body")
		default:
			s.skip()
		}
	}
	if d.fault != nil {
		return nil, d.fault
	}
	return p, nil
}

// metricsIn counts the metrics of a payload, as far as it can be read: a list of
// them that grows is copied again and again.
func metricsIn(b []byte) (n int) {
	for s := (&scanner{d: &decoder{b: b}, end: len(b)}); s.next() && n < maxElements; s.skip() {
		if s.field == 2 {
			n++
		}
	}
	return n
}

func (d *decoder) metric(outer *scanner, depth int) Metric {
	m := Metric{Offset: outer.at}
	for s := outer.message("metric"); s.next(); {
		switch s.field {
		case 1:
			m.Name, m.HasName = s.text("metric name"), true
		case 2:
			m.Alias, m.HasAlias = s.varint("alias"), true
		case 3:
			m.Timestamp, m.HasTimestamp = s.varint("metric timestamp"), true
		case 4:
			m.Datatype, m.HasDatatype = s.datatype("datatype"), true
		case 5:
			m.Historical = s.bool("is_historical")
		case 6:
			m.Transient = s.bool("is_transient")
		case 7:
			m.Null = s.bool("is_null")
		case 9:
			m.Properties = d.properties(s, depth+1)
		default:
			d.metricValue(s, &m.Value, depth)
		}
	}
	return m
}

func (s *scanner) datatype(what string) Datatype {
	v := s.varint(what)
	if v > uint64(DateTimeArray) {
		return DateTimeArray + 1
	}
	return Datatype(v)
}

func (d *decoder) metricValue(s *scanner, v *Value, depth int) {
	switch s.field {
	case 10, 11, 12, 13, 14, 15:
		s.scalar(v, Kind(s.field-9)) //nolint:gosec // six fields
	case 16:
		*v = Value{Kind: BytesValue, Bytes: s.bytes("bytes_value")}
	case 17:
		*v = Value{Kind: DataSetValue, Set: d.dataSet(s)}
	case 18:
		*v = Value{Kind: TemplateValue, Template: d.template(s, depth+1)}
	case 19:
		*v = Value{Kind: ExtensionValue}
		s.skip()
	default:
		s.skip()
	}
}

// scalar reads a field of the oneof that metrics, properties and cells share.
func (s *scanner) scalar(v *Value, kind Kind) {
	*v = Value{Kind: kind}
	switch kind {
	case IntValue:
		v.Bits = s.varint("int_value")
	case LongValue:
		v.Bits = s.varint("long_value")
	case FloatValue:
		v.Number = s.float32("float_value")
	case DoubleValue:
		v.Number = s.float64("double_value")
	case BooleanValue:
		if s.bool("boolean_value") {
			v.Bits = 1
		}
	default:
		v.Text = s.text("string_value")
	}
}

func (d *decoder) deeper(s *scanner, depth int) bool {
	if depth > maxDepth {
		d.fail(Depth, s.at, "nested more than %d deep", maxDepth)
	}
	return d.fault == nil
}

func (d *decoder) template(outer *scanner, depth int) *Template {
	t := &Template{}
	if !d.deeper(outer, depth) {
		return t
	}
	for s := outer.message("template"); s.next(); {
		switch s.field {
		case 2:
			if d.count(s.at) {
				t.Metrics = append(t.Metrics, d.metric(s, depth))
			}
		case 4:
			t.Reference = s.text("template_ref")
		case 5:
			t.Definition = s.bool("is_definition")
		default: // version and parameters
			s.skip()
		}
	}
	return t
}

func (d *decoder) dataSet(outer *scanner) *DataSet {
	t := &DataSet{}
	columns := uint64(0)
	for s := outer.message("dataset"); s.next(); {
		switch s.field {
		case 1:
			columns = s.varint("num_of_columns")
		case 2:
			if d.count(s.at) {
				t.Columns = append(t.Columns, s.text("column"))
			}
		case 3:
			d.columnTypes(s, t)
		case 4:
			if d.count(s.at) {
				t.Rows = append(t.Rows, d.row(s))
			}
		default:
			s.skip()
		}
	}
	d.checkDataSet(outer, t, columns)
	return t
}

// columnTypes are packed in one field or come one by one: the schema leaves it to
// the sender.
func (d *decoder) columnTypes(s *scanner, t *DataSet) {
	if s.wire == wireVarint {
		if d.count(s.at) {
			t.Types = append(t.Types, s.datatype("type"))
		}
		return
	}
	packed := s.message("types")
	for d.fault == nil && packed.pos < packed.end && d.count(packed.pos) {
		packed.wire = wireVarint
		t.Types = append(t.Types, packed.datatype("type"))
	}
}

func (d *decoder) checkDataSet(s *scanner, t *DataSet, columns uint64) {
	if d.fault != nil {
		return
	}
	n := len(t.Columns)
	if len(t.Types) != n || columns != 0 && columns != uint64(n) {
		d.fail(BadType, s.at, "a data set says %d columns, names %d and has types for %d", columns, n, len(t.Types))
		return
	}
	for i := range t.Rows {
		if len(t.Rows[i]) != n {
			d.fail(BadType, s.at, "row %d of a data set has %d cells, expected %d", i, len(t.Rows[i]), n)
			return
		}
	}
}

func (d *decoder) row(outer *scanner) []Value {
	var row []Value
	for s := outer.message("row"); s.next(); {
		if s.field != 1 {
			s.skip()
			continue
		}
		if !d.count(s.at) {
			break
		}
		var v Value
		for cell := s.message("cell"); cell.next(); {
			if cell.field >= 1 && cell.field <= 6 {
				cell.scalar(&v, Kind(cell.field)) //nolint:gosec // six fields
			} else {
				cell.skip()
			}
		}
		row = append(row, v)
	}
	return row
}

// properties reads a property set: keys and values stand in two lists.
func (d *decoder) properties(outer *scanner, depth int) []Property {
	if !d.deeper(outer, depth) {
		return nil
	}
	var keys []string
	var values []Property
	for s := outer.message("properties"); s.next(); {
		switch s.field {
		case 1:
			if d.count(s.at) {
				keys = append(keys, s.text("property key"))
			}
		case 2:
			if d.count(s.at) {
				values = append(values, d.property(s, depth))
			}
		default:
			s.skip()
		}
	}
	n := min(len(keys), len(values)) // one without the other says nothing
	for i := range n {
		values[i].Key = keys[i]
	}
	return values[:n]
}

func (d *decoder) property(outer *scanner, depth int) Property {
	p := Property{}
	for s := outer.message("property"); s.next(); {
		switch {
		case s.field == 1:
			p.Type = s.datatype("property type")
		case s.field == 2:
			p.Null = s.bool("is_null")
		case s.field >= 3 && s.field <= 8:
			s.scalar(&p.Value, Kind(s.field-2)) //nolint:gosec // six fields
		case s.field == 9:
			d.properties(s, depth+1)
		case s.field == 10:
			d.propertySets(s, depth+1)
		default:
			s.skip()
		}
	}
	return p
}

func (d *decoder) propertySets(outer *scanner, depth int) {
	if !d.deeper(outer, depth) {
		return
	}
	for s := outer.message("property sets"); s.next(); {
		if s.field == 1 && d.count(s.at) {
			d.properties(s, depth+1)
		} else if s.field != 1 {
			s.skip()
		}
	}
}
