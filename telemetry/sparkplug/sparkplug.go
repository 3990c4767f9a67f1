// Package sparkplug is what an Eclipse Sparkplug B 3.0 host has to know: topics,
// payloads, what a birth says about the messages after it, and when an edge node
// has to be asked for its births again. It is liberal in what it reads and strict
// in what it writes. It knows no broker, no clock and no machine; times are
// arguments.
package sparkplug

import (
	"strings"
	"unicode/utf8"
)

// Namespace begins every topic of Sparkplug B.
const Namespace = "spBv1.0/"

// Type is the kind of a message, as its topic has it.
type Type string

// The kinds of messages.
const (
	NBirth Type = "NBIRTH"
	NData  Type = "NDATA"
	NDeath Type = "NDEATH"
	NCmd   Type = "NCMD"
	DBirth Type = "DBIRTH"
	DData  Type = "DDATA"
	DDeath Type = "DDEATH"
	DCmd   Type = "DCMD"
	State  Type = "STATE"
)

// ofDevice says whether a type is about a device; known is false for a word that
// is no type.
func (t Type) ofDevice() (device, known bool) {
	switch t {
	case DBirth, DData, DDeath, DCmd:
		return true, true
	case NBirth, NData, NDeath, NCmd:
		return false, true
	}
	return false, false
}

// Command says whether a message goes to an edge node and not away from it.
func (t Type) Command() bool { return t == NCmd || t == DCmd }

// Node is an edge node: group and id together are unique wherever there is
// Sparkplug.
type Node struct{ Group, ID string }

func (n Node) String() string { return n.Group + "/" + n.ID }

// Topic is a topic of the namespace, taken apart.
type Topic struct {
	Node
	Type   Type
	Device string // "" for the node's own messages
	Host   string // of a STATE topic, which has nothing else
}

// maxID bounds one part of a topic, in bytes.
const maxID = 200

// ParseTopic takes a topic apart. Ok is false where the topic is not of the
// namespace at all; a fault says what is wrong with one that is.
func ParseTopic(topic string) (t Topic, ok bool, fault *Fault) {
	rest, ok := strings.CutPrefix(topic, Namespace)
	if !ok {
		return Topic{}, false, nil
	}
	bad := func(detail string) (Topic, bool, *Fault) {
		return t, true, &Fault{Reason: BadTopic, Detail: detail, Path: topic}
	}
	parts := strings.Split(rest, "/")
	for _, part := range parts {
		if part == "" || len(part) > maxID || !utf8.ValidString(part) || strings.ContainsAny(part, "+#\x00") {
			return bad("a part of the topic is empty, longer than 200 bytes or has one of + and #")
		}
	}
	if parts[0] == string(State) {
		if len(parts) != 2 {
			return bad("expected STATE/{host}")
		}
		return Topic{Type: State, Host: parts[1]}, true, nil
	}
	if len(parts) < 3 || len(parts) > 4 {
		return bad("expected {group}/{type}/{edge node} or {group}/{type}/{edge node}/{device}")
	}
	t = Topic{Node: Node{Group: parts[0], ID: parts[2]}, Type: Type(parts[1])}
	if len(parts) == 4 {
		t.Device = parts[3]
	}
	switch device, known := t.Type.ofDevice(); {
	case !known:
		return bad("no message of Sparkplug B has this type")
	case device && t.Device == "":
		return bad("the device is missing")
	case !device && t.Device != "":
		return bad("a message of an edge node names no device")
	}
	return t, true, nil
}

// String is the topic as it is published to.
func (t Topic) String() string {
	switch {
	case t.Type == State:
		return Namespace + string(State) + "/" + t.Host
	case t.Device != "":
		return Namespace + t.Group + "/" + string(t.Type) + "/" + t.ID + "/" + t.Device
	}
	return Namespace + t.Group + "/" + string(t.Type) + "/" + t.ID
}
