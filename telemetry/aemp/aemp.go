// Package aemp reads and writes fleet documents of ISO/TS 15143-3 (AEMP 2.0), in
// the dialects that makers send: XML and JSON, with any namespace, by local name.
// It is pure: no network, no machine file, no clock.
package aemp

import "time"

// Namespace is that of the documents that are written; any is read.
const Namespace = "http://standards.iso.org/iso/15143/-3"

// PageSize is how many machines a page of a fleet has.
const PageSize = 100

// Fleet is a document: a snapshot of many machines, or a series of one.
type Fleet struct {
	SnapshotTime time.Time // zero where the document has none
	Links        []Link
	Equipment    []Equipment
	Faults       []Fault // parts that were left out
	More         int     // faults beyond the bound
}

// Link leads to another page: self, next, prev, last or first.
type Link struct{ Rel, Href string }

// Link gives the address behind a word, "" where there is none.
func (f *Fleet) Link(rel string) string {
	for _, l := range f.Links {
		if l.Rel == rel {
			return l.Href
		}
	}
	return ""
}

// Header says which machine it is. In a series it may be empty: the address that
// was asked for says it.
type Header struct {
	OEMName, Model, EquipmentID, SerialNumber, PIN string
	InstalledAt                                    time.Time // of the telematics unit; zero where unknown
}

// Equipment is what a document says of one machine.
type Equipment struct {
	Header
	Values []Value
	Codes  []Code
}

// Value is one quantity at one instant, in the signal's canonical unit.
type Value struct {
	Element string // of the standard, as in CumulativeOperatingHours
	Signal  string
	At      time.Time // zero where the element has no time
	Value   float64
}

// Code is a FaultCode element: a trouble code in the maker's own words.
type Code struct {
	Identifier, Description, Severity, Source string
	At                                        time.Time
}

// Fault says why a part of a document was left out.
type Fault struct{ Path, Detail string }

const maxFaults = 8

func (f *Fleet) refuse(path, detail string) {
	if len(f.Faults) == maxFaults {
		f.More++
		return
	}
	f.Faults = append(f.Faults, Fault{path, detail})
}
