package aemp

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"
)

// item is an element as it is written: fields in order, and when it was so.
type item struct {
	name   string
	at     time.Time
	fields []field
}

type field struct {
	name  string
	value any // string, float64 or bool
}

// items arranges values and codes as the elements of the standard.
func items(e Equipment) (list []item) {
	for i := range quantities {
		q := &quantities[i]
		if i > 0 && quantities[i-1].element == q.element {
			continue // its line has been written with the first
		}
		list = append(list, q.items(e.Values)...)
	}
	for _, c := range e.Codes {
		one := item{name: "FaultCode", at: c.At, fields: []field{{"CodeIdentifier", c.Identifier}, {"CodeDescription", c.Description}, {"CodeSeverity", c.Severity}}}
		if c.Source != "" {
			one.fields = append(one.fields, field{"CodeSource", c.Source})
		}
		list = append(list, one)
	}
	return list
}

// items of one element: one for each instant (and engine or switch) of its values.
func (q *quantity) items(values []Value) (list []item) {
	type place struct {
		at  time.Time
		per string
	}
	at := map[place]int{}
	for i := range quantities {
		line := &quantities[i]
		if line.element != q.element || line.field == "OdometerKilometre" {
			continue
		}
		for _, v := range values {
			per, ok := line.carries(v)
			if !ok {
				continue
			}
			k, again := at[place{v.At, per}]
			if !again {
				k = len(list)
				at[place{v.At, per}] = k
				list = append(list, item{name: q.element, at: v.At})
				if q.per != "" {
					list[k].fields = append(list[k].fields, field{q.per, per})
				}
			}
			list[k].fields = append(list[k].fields, line.fields(v.Value)...)
		}
	}
	sort.SliceStable(list, func(i, k int) bool { return list[i].at.Before(list[k].at) })
	return list
}

// carries says whether a value is of this line, and of which engine or switch.
func (q *quantity) carries(v Value) (per string, ok bool) {
	if v.Signal == q.signal {
		return "1", true
	}
	per, ok = strings.CutPrefix(v.Signal, q.signal+"_")
	return per, ok && q.per != ""
}

func (q *quantity) fields(v float64) []field {
	value := any(v)
	if q.element == "EngineStatus" || q.element == "SwitchStatus" {
		value = v > 0.5
	}
	switch {
	case q.written == "":
		return []field{{q.field, value}}
	case q.element == "Location": // the altitude stands before its unit
		return []field{{q.field, value}, {q.units[0], q.written}}
	}
	return []field{{q.units[0], q.written}, {q.field, value}}
}

func (h Header) fields() []field {
	list := []field{}
	if !h.InstalledAt.IsZero() {
		list = append(list, field{"UnitInstallDateTime", stamp(h.InstalledAt)})
	}
	for _, f := range []field{{"OEMName", h.OEMName}, {"Model", h.Model}, {"EquipmentID", h.EquipmentID}, {"SerialNumber", h.SerialNumber}, {"PIN", h.PIN}} {
		if f.value != "" {
			list = append(list, f)
		}
	}
	return list
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// XML writes a snapshot as a Fleet element, one machine's values as a series
// document: <CumulativeOperatingHoursMessages> and so on.
func (f *Fleet) XML(series string) ([]byte, error) {
	w := &writer{}
	w.b.WriteString(xml.Header)
	root := "Fleet"
	if series != "" {
		root = series + "Messages"
	}
	fmt.Fprintf(&w.b, `<%s xmlns="%s" version="1" snapshotTime="%s">`, root, Namespace, stamp(f.SnapshotTime))
	for _, l := range f.Links {
		w.element("Links", "", []field{{"rel", l.Rel}, {"href", l.Href}})
	}
	for _, e := range f.Equipment {
		if series == "" {
			w.b.WriteString("<Equipment>")
		}
		w.element("EquipmentHeader", "", e.Header.fields())
		for _, one := range items(e) {
			w.element(one.name, stamp(one.at), one.fields)
		}
		if series == "" {
			w.b.WriteString("</Equipment>")
		}
	}
	fmt.Fprintf(&w.b, "</%s>\n", root)
	return w.b.Bytes(), w.err
}

type writer struct {
	b   bytes.Buffer
	err error
}

func (w *writer) element(name, at string, fields []field) {
	w.b.WriteString("<" + name)
	if at != "" {
		w.b.WriteString(` datetime="` + at + `"`)
	}
	w.b.WriteString(">")
	for _, f := range fields {
		w.b.WriteString("<" + f.name + ">")
		if err := xml.EscapeText(&w.b, []byte(text(f.value))); err != nil && w.err == nil {
			w.err = fmt.Errorf("write %s: %w", f.name, err)
		}
		w.b.WriteString("</" + f.name + ">")
	}
	w.b.WriteString("</" + name + ">")
}

func text(value any) string {
	switch v := value.(type) {
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	}
	return fmt.Sprint(value)
}

// JSON writes the same document as the JSON of the same names: {"Fleet":{...}} for
// a snapshot, the bare members for a series.
func (f *Fleet) JSON(series string) ([]byte, error) {
	links := make([]object, 0, len(f.Links))
	for _, l := range f.Links {
		links = append(links, object{{"rel", l.Rel}, {"href", l.Href}})
	}
	doc := object{{"version", "1"}, {"snapshotTime", stamp(f.SnapshotTime)}, {"Links", links}}
	if series != "" {
		for _, e := range f.Equipment {
			doc = append(append(doc, field{"EquipmentHeader", object(e.Header.fields())}), members(e, true)...)
		}
		return json.Marshal(doc)
	}
	equipment := make([]object, 0, len(f.Equipment))
	for _, e := range f.Equipment {
		equipment = append(equipment, append(object{{"EquipmentHeader", object(e.Header.fields())}}, members(e, false)...))
	}
	return json.Marshal(object{{"Fleet", append(doc, field{"Equipment", equipment})}})
}

// members are the elements of a machine; what can be there more than once is a list.
func members(e Equipment, lists bool) object {
	elements := items(e)
	times := map[string]int{}
	for _, one := range elements {
		times[one.name]++
	}
	var out object
	list := []object{}
	for i, one := range elements { // those of one name stand together
		o := append(object{}, one.fields...)
		list = append(list, append(o, field{"datetime", stamp(one.at)}))
		if i+1 < len(elements) && elements[i+1].name == one.name {
			continue
		}
		if lists || times[one.name] > 1 || one.name == "FaultCode" || one.name == "SwitchStatus" {
			out = append(out, field{one.name, list})
		} else {
			out = append(out, field{one.name, list[0]})
		}
		list = []object{}
	}
	return out
}

// object is a JSON object whose members keep their order.
type object []field

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(f.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(f.value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
