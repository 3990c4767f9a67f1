package intake

import (
	"strings"
	"unicode/utf8"

	"github.com/thirdstate/thirdstate/telemetry/edge"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/sparkplug"
)

const (
	maxTopicBytes    = 512
	maxClientIDBytes = 256
	maxSubscriptions = 64 // of one connection
	sharePrefix      = "$share/"
)

// topicFault says what is wrong with a topic or filter from outside, "" for nothing.
func topicFault(topic string) string {
	switch {
	case topic == "":
		return "empty"
	case len(topic) > maxTopicBytes:
		return "longer than 512 bytes"
	case !utf8.ValidString(topic):
		return "no valid UTF-8"
	case strings.ContainsRune(topic, 0):
		return "has a NUL character"
	}
	return ""
}

// brokersOwn says whether a topic is one that only a broker publishes to.
func brokersOwn(topic string) bool { return strings.HasPrefix(topic, "$") }

// mayPublishTo says whether a device may use a topic; nil is somebody who needs
// no token. A topic that names another machine is refused. A topic that names
// none is not: what it carries is checked when it is decoded, and what nobody can
// decode is kept as a dead letter.
func mayPublishTo(g *grant, topic string) bool {
	if brokersOwn(topic) {
		return false
	}
	if g == nil {
		return true
	}
	if id, ok := edge.FromTopic(topic); ok { // its word counts for other devices
		return g.gateway && g.key == id
	}
	if g.gateway && !strings.HasPrefix(topic, "fleet/") {
		return true
	}
	if t, ok, fault := sparkplug.ParseTopic(topic); ok && fault == nil { // a birth of another's would make its messages mean something else
		return !forDevices(topic) && g.owns(t.ID)
	}
	rest, fleet := strings.CutPrefix(topic, "fleet/")
	if !fleet {
		return true
	}
	machine, _, _ := strings.Cut(rest, "/")
	return g.owns(machine) && (g.gateway || !forDevices(topic))
}

// mayRetain says whether a message may be kept for later subscribers: devices
// report what is, and a report that is shown long after is taken for a new one.
func mayRetain(g *grant) bool { return g == nil || g.gateway }

// mayReceive says whether a message that was published may be seen. A topic that
// names no machine is the same for all devices: their own words are theirs alone.
func mayReceive(g *grant, m *message) bool {
	if g == nil || g.gateway {
		return true
	}
	if formats.NamesNoMachine(m.topic) {
		return m.device == g.key
	}
	if t, ok, fault := sparkplug.ParseTopic(m.topic); ok {
		return fault == nil && (t.Type == sparkplug.State || t.Type.Command() && g.owns(t.ID))
	}
	rest, fleet := strings.CutPrefix(m.topic, "fleet/")
	machine, _, _ := strings.Cut(rest, "/")
	return fleet && g.owns(machine)
}

// forDevices says whether a topic is one for messages to devices:
// fleet/{machine}/down and what is below it, and what hosts of Sparkplug say.
func forDevices(topic string) bool {
	if t, ok, fault := sparkplug.ParseTopic(topic); ok {
		return fault == nil && (t.Type == sparkplug.State || t.Type.Command())
	}
	rest, fleet := strings.CutPrefix(topic, "fleet/")
	_, rest, deep := strings.Cut(rest, "/")
	first, _, _ := strings.Cut(rest, "/")
	return fleet && deep && first == "down"
}

// isShared says whether a filter is that of a group, of which one is given each message.
func isShared(filter string) bool { return strings.HasPrefix(filter, sharePrefix) }

// maySubscribeTo says whether a device may use a filter: its own topics and
// nothing else, for a gateway anything but the broker's own.
func maySubscribeTo(g *grant, filter string) bool {
	if rest, shared := strings.CutPrefix(filter, sharePrefix); shared {
		_, filter, _ = strings.Cut(rest, "/")
	}
	if topicFault(filter) != "" || brokersOwn(filter) {
		return false
	}
	if g == nil || g.gateway || strings.HasPrefix(filter, formats.DeviceTopics) {
		return true
	}
	if rest, spark := strings.CutPrefix(filter, sparkplug.Namespace); spark {
		return maySubscribeToHost(g, strings.Split(rest, "/"))
	}
	rest, fleet := strings.CutPrefix(filter, "fleet/")
	machine, _, deep := strings.Cut(rest, "/")
	return fleet && deep && !strings.ContainsAny(machine, "+#") && g.owns(machine)
}

// maySubscribeToHost says whether an edge node may listen to the rest of a filter:
// whether hosts are online, and what they want of it.
func maySubscribeToHost(g *grant, levels []string) bool {
	if len(levels) == 2 && levels[0] == string(sparkplug.State) {
		return true
	}
	return len(levels) >= 3 && sparkplug.Type(levels[1]).Command() && g.owns(levels[2])
}
