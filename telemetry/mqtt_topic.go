package telemetry

import (
	"strings"
	"unicode/utf8"
)

const (
	maxTopicBytes     = 512
	maxClientIDBytes  = 256
	maxSubscriptions  = 64 // of one connection
	deviceTopics      = "v1/devices/me/"
	shortDeviceTopics = "v2/"
	sharePrefix       = "$share/"
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
	rest, fleet := strings.CutPrefix(topic, "fleet/")
	if g == nil || !fleet {
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
	if namesNoMachine(m.topic) {
		return m.device == g.key
	}
	rest, fleet := strings.CutPrefix(m.topic, "fleet/")
	machine, _, _ := strings.Cut(rest, "/")
	return fleet && g.owns(machine)
}

// forDevices says whether a topic is one for messages to devices:
// fleet/{machine}/down and what is below it.
func forDevices(topic string) bool {
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
	if g == nil || g.gateway || strings.HasPrefix(filter, deviceTopics) {
		return true
	}
	rest, fleet := strings.CutPrefix(filter, "fleet/")
	machine, _, deep := strings.Cut(rest, "/")
	return fleet && deep && !strings.ContainsAny(machine, "+#") && g.owns(machine)
}

// namesNoMachine says whether a topic leaves it to the connection to say which
// machine it is about.
func namesNoMachine(topic string) bool {
	return strings.HasPrefix(topic, deviceTopics) || strings.HasPrefix(topic, shortDeviceTopics)
}
