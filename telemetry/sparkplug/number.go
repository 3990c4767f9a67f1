package sparkplug

import (
	"encoding/binary"
	"fmt"
	"math"
)

// class says what a datatype is good for.
type class uint8

const (
	noClass class = iota
	signed
	unsigned
	floating
	boolean
	attribute // a text, a date, bytes: static facts and not measured values
	table
	nested
	array
)

func (d Datatype) class() class {
	switch d {
	case Int8, Int16, Int32, Int64:
		return signed
	case UInt8, UInt16, UInt32, UInt64:
		return unsigned
	case Float, Double:
		return floating
	case Boolean:
		return boolean
	case String, Text, UUID, DateTime, Bytes, File:
		return attribute
	case DataSetType:
		return table
	case TemplateType:
		return nested
	case Int8Array, Int16Array, Int32Array, Int64Array, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
		FloatArray, DoubleArray, BooleanArray, StringArray, DateTimeArray:
		return array
	}
	return noClass
}

// width is the size of an integer type in bits.
func (d Datatype) width() int {
	switch d {
	case Int8, UInt8:
		return 8
	case Int16, UInt16:
		return 16
	case Int32, UInt32:
		return 32
	}
	return 64
}

func unfit(d Datatype, why string, args ...any) *Fault {
	return &Fault{Reason: BadType, Detail: d.String() + " " + fmt.Sprintf(why, args...)}
}

// guess is the datatype of a value that comes without one. An integer may be
// signed or not: only a birth can tell.
func (v *Value) guess() Datatype {
	switch v.Kind {
	case FloatValue:
		return Float
	case DoubleValue:
		return Double
	case BooleanValue:
		return Boolean
	case StringValue:
		return String
	case BytesValue:
		return Bytes
	case DataSetValue:
		return DataSetType
	case TemplateValue:
		return TemplateType
	}
	return Unknown
}

// number reads a value of a numeric or boolean type.
func (v *Value) number(d Datatype) (float64, *Fault) {
	switch d.class() {
	case signed, unsigned:
		return v.integer(d)
	case floating:
		if v.Kind != FloatValue && v.Kind != DoubleValue {
			return 0, unfit(d, "does not come as a %s", v.Kind)
		}
		if math.IsNaN(v.Number) || math.IsInf(v.Number, 0) {
			return 0, &Fault{Reason: "E_NUM_RANGE", Detail: "not a finite number"}
		}
		return v.Number, nil
	case boolean:
		if v.Kind == BooleanValue || (v.Kind == IntValue || v.Kind == LongValue) && v.Bits <= 1 {
			return float64(v.Bits), nil
		}
	}
	return 0, unfit(d, "does not come as a %s", v.Kind)
}

// integer undoes what the wire does to integers: those below 64 bits travel as
// two's complement of 32 bits, by some clients as that of their own width.
func (v *Value) integer(d Datatype) (float64, *Fault) {
	if v.Kind != IntValue && v.Kind != LongValue {
		return 0, unfit(d, "does not come as a %s", v.Kind)
	}
	width := d.width()
	if width == 64 {
		if d.class() == signed {
			return float64(int64(v.Bits)), nil //nolint:gosec // two's complement
		}
		return float64(v.Bits), nil
	}
	limit := uint64(1) << width
	if v.Bits < limit {
		if d.class() == signed && v.Bits >= limit/2 {
			return float64(v.Bits) - float64(limit), nil
		}
		return float64(v.Bits), nil
	}
	if d.class() == signed {
		wide := int64(int32(uint32(v.Bits))) //nolint:gosec // two's complement
		if v.Bits > math.MaxUint32 {
			wide = int64(v.Bits) //nolint:gosec // two's complement of 64 bits
		}
		if half := int64(limit / 2); wide >= -half && wide < half { //nolint:gosec // at most 2^31
			return float64(wide), nil
		}
	}
	return 0, &Fault{Reason: "E_NUM_RANGE", Detail: fmt.Sprintf("%d does not fit %s", v.Bits, d)}
}

func (k Kind) String() string {
	names := [...]string{"missing value", "int_value", "long_value", "float_value", "double_value", "boolean_value", "string_value",
		"bytes_value", "dataset_value", "template_value", "extension_value"}
	return names[min(int(k), len(names)-1)]
}

// numbers reads an array, whose elements are packed little-endian. Texts and
// dates have none.
func (v *Value) numbers(d Datatype) ([]float64, *Fault) {
	if v.Kind != BytesValue {
		return nil, unfit(d, "does not come as a %s", v.Kind)
	}
	size := map[Datatype]int{
		Int8Array: 1, UInt8Array: 1, Int16Array: 2, UInt16Array: 2, Int32Array: 4, UInt32Array: 4, FloatArray: 4,
		Int64Array: 8, UInt64Array: 8, DoubleArray: 8, DateTimeArray: 8,
	}[d]
	switch {
	case d == StringArray:
		return nil, nil
	case d == BooleanArray:
		return booleans(v.Bytes)
	case len(v.Bytes)%size != 0:
		return nil, unfit(d, "has %d bytes, no multiple of %d", len(v.Bytes), size)
	case len(v.Bytes)/size > maxArray:
		return nil, &Fault{Reason: TooMany, Detail: fmt.Sprintf("an array of %d elements, limit %d", len(v.Bytes)/size, maxArray)}
	case d == DateTimeArray:
		return nil, nil
	}
	out := make([]float64, 0, len(v.Bytes)/size)
	for b := v.Bytes; len(b) > 0; b = b[size:] {
		n := element(d, b)
		if math.IsNaN(n) || math.IsInf(n, 0) {
			return nil, &Fault{Reason: "E_NUM_RANGE", Detail: "an element is not a finite number"}
		}
		out = append(out, n)
	}
	return out, nil
}

//nolint:gosec // two's complement
func element(d Datatype, b []byte) float64 {
	switch d {
	case Int8Array:
		return float64(int8(b[0]))
	case UInt8Array:
		return float64(b[0])
	case Int16Array:
		return float64(int16(binary.LittleEndian.Uint16(b)))
	case UInt16Array:
		return float64(binary.LittleEndian.Uint16(b))
	case Int32Array:
		return float64(int32(binary.LittleEndian.Uint32(b)))
	case UInt32Array:
		return float64(binary.LittleEndian.Uint32(b))
	case FloatArray:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case Int64Array:
		return float64(int64(binary.LittleEndian.Uint64(b)))
	case UInt64Array:
		return float64(binary.LittleEndian.Uint64(b))
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}

// booleans are packed with their number in front, the first in the highest bit.
func booleans(b []byte) ([]float64, *Fault) {
	if len(b) < 4 {
		return nil, unfit(BooleanArray, "has %d bytes, its number alone takes 4", len(b))
	}
	n := int(binary.LittleEndian.Uint32(b))
	if b = b[4:]; n > maxArray || (n+7)/8 != len(b) {
		return nil, unfit(BooleanArray, "says %d elements and has %d bytes of them", n, len(b))
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = float64(b[i/8] >> (7 - i%8) & 1)
	}
	return out, nil
}
