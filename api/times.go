package api

import (
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Years that a time may lie in. RFC 3339 knows the years 0 to 9999, and an offset
// leads out of them: such a time can be stored and never be written as JSON again.
const (
	firstYear = 1900
	lastYear  = 2199
)

// badTimes names each time of an operation's input that lies outside of all years
// that machines are about. A zero time is one that was not given.
func badTimes(in any) []Fault {
	var faults []Fault
	walkTimes(reflect.ValueOf(in), "", "", func(f Fault) {
		if len(faults) < maxFaults {
			faults = append(faults, f)
		}
	})
	return faults
}

func walkTimes(v reflect.Value, in, pointer string, bad func(Fault)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			walkTimes(v.Elem(), in, pointer, bad)
		}
	case reflect.Slice:
		for i := range v.Len() {
			if v.Type().Elem().Kind() == reflect.Uint8 {
				return
			}
			walkTimes(v.Index(i), in, pointer+"/"+strconv.Itoa(i), bad)
		}
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			if year := t.UTC().Year(); !t.IsZero() && (year < firstYear || year > lastYear) {
				bad(Fault{In: in, Pointer: pointer, Detail: "must lie between 1900 and 2200"})
			}
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				where, below := placeOf(f, in, pointer)
				walkTimes(v.Field(i), where, below, bad)
			}
		}
	}
}

// placeOf says where a field of an operation's input stands in the request.
func placeOf(f reflect.StructField, in, pointer string) (where, below string) {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	switch query := f.Tag.Get("query"); {
	case query != "":
		return "query", "/" + query
	case f.Anonymous || f.Name == "Body":
		return in, pointer
	case name == "":
		name = f.Name
	}
	return in, pointer + "/" + name
}
