package sparkplug

// Limits of one message.
const (
	MaxPayload  = 256 << 10 // bytes, before anything is parsed
	MaxInflated = 1 << 20   // bytes of a compressed payload
	maxDepth    = 16        // templates and property sets inside each other
	maxElements = 10_000    // metrics, properties, rows and cells of one message
	maxArray    = 1 << 16   // elements of one array
)

// Datatype is the number of a datatype of Sparkplug B.
type Datatype uint32

// The datatypes; the numbers are on the wire.
const (
	Unknown Datatype = iota
	Int8
	Int16
	Int32
	Int64
	UInt8
	UInt16
	UInt32
	UInt64
	Float
	Double
	Boolean
	String
	DateTime
	Text
	UUID
	DataSetType
	Bytes
	File
	TemplateType
	PropertySet
	PropertySetList
	Int8Array
	Int16Array
	Int32Array
	Int64Array
	UInt8Array
	UInt16Array
	UInt32Array
	UInt64Array
	FloatArray
	DoubleArray
	BooleanArray
	StringArray
	DateTimeArray
)

//nolint:gochecknoglobals // a list, never written
var datatypeNames = [...]string{"Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double", "Boolean",
	"String", "DateTime", "Text", "UUID", "DataSet", "Bytes", "File", "Template", "PropertySet", "PropertySetList", "Int8Array", "Int16Array",
	"Int32Array", "Int64Array", "UInt8Array", "UInt16Array", "UInt32Array", "UInt64Array", "FloatArray", "DoubleArray", "BooleanArray",
	"StringArray", "DateTimeArray"}

func (d Datatype) String() string {
	if int(d) < len(datatypeNames) {
		return datatypeNames[d]
	}
	return "no datatype of Sparkplug B"
}

// Kind says which field of the wire's oneof a value came in.
type Kind uint8

// The fields of a metric's value.
const (
	None Kind = iota
	IntValue
	LongValue
	FloatValue
	DoubleValue
	BooleanValue
	StringValue
	BytesValue
	DataSetValue
	TemplateValue
	ExtensionValue
)

// Value is a value as the wire has it. What it means is told by its datatype,
// which a later message need not repeat.
type Value struct {
	Kind     Kind
	Bits     uint64  // int, long and boolean values
	Number   float64 // float and double values
	Text     string
	Bytes    []byte // shares memory with the payload
	Set      *DataSet
	Template *Template
}

// Metric is one metric of a payload.
type Metric struct {
	Name       string
	Alias      uint64
	Timestamp  uint64 // Unix ms
	Datatype   Datatype
	Value      Value
	Properties []Property
	Offset     int // of the metric in the payload

	HasName, HasAlias, HasTimestamp, HasDatatype bool
	Historical, Transient, Null                  bool
}

// Property is a named value that a metric carries. Sets in sets are read and not kept.
type Property struct {
	Key   string
	Type  Datatype
	Value Value
	Null  bool
}

// DataSet is a table. Columns and Types have the same length as each row.
type DataSet struct {
	Columns []string
	Types   []Datatype
	Rows    [][]Value
}

// Template is a metric that has metrics. A definition says what instances look
// like and carries no values of a machine.
type Template struct {
	Metrics    []Metric
	Reference  string
	Definition bool
}

// Payload is one message, inflated.
type Payload struct {
	Timestamp  uint64 // Unix ms
	Seq        uint64
	UUID       string
	Body       []byte
	Metrics    []Metric
	Compressed string // algorithm, "" where it was not

	HasTimestamp, HasSeq bool
}

// Metric returns the first metric of a name.
func (p *Payload) Metric(name string) (*Metric, bool) {
	for i := range p.Metrics {
		if p.Metrics[i].Name == name {
			return &p.Metrics[i], true
		}
	}
	return nil, false
}

// BdSeq is the number of the connection that a birth or death belongs to.
func (p *Payload) BdSeq() (uint64, bool) {
	m, ok := p.Metric(bdSeqName)
	if !ok || m.Null || m.Value.Kind != IntValue && m.Value.Kind != LongValue {
		return 0, false
	}
	return m.Value.Bits, true
}

// Names that the standard gives a meaning.
const (
	bdSeqName   = "bdSeq"
	RebirthName = "Node Control/Rebirth"
)
