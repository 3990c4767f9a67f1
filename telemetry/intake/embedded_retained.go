package intake

import (
	"strings"
	"time"
)

const (
	maxRetained      = 5_000    // messages; one subscriber may want them all
	maxRetainedBytes = 16 << 20 // of them
)

// retained are the last messages of topics whose publisher wanted them to be kept
// for later subscribers. They are in memory alone.
type retained struct {
	messages map[string]*message
	bytes    int64
}

// keep replaces the message of a topic; an empty one takes it away. It is false
// when there is no room.
func (r *retained) keep(m *message) bool {
	old, had := r.messages[m.topic]
	if len(m.payload) == 0 {
		r.remove(m.topic)
		return true
	}
	bytes := r.bytes + m.size()
	if had {
		bytes -= old.size()
	}
	if bytes > maxRetainedBytes || !had && len(r.messages) >= maxRetained {
		return false
	}
	r.messages[m.topic], r.bytes = m, bytes
	return true
}

func (r *retained) remove(topic string) {
	if old := r.messages[topic]; old != nil {
		r.bytes -= old.size()
		delete(r.messages, topic)
	}
}

func (r *retained) matching(filter string, now time.Time) []*message {
	var found []*message
	for topic, m := range r.messages {
		switch {
		case !m.expires.IsZero() && now.After(m.expires):
			r.remove(topic)
		case matches(filter, topic):
			found = append(found, m)
		}
	}
	return found
}

// matches says whether a filter of MQTT takes a topic in.
func matches(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && (strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")) {
		return false
	}
	for {
		want, moreWanted, deeper := strings.Cut(filter, "/")
		if want == "#" {
			return true
		}
		level, rest, more := strings.Cut(topic, "/")
		if want != "+" && want != level {
			return false
		}
		if !deeper || !more {
			return deeper == more || deeper && moreWanted == "#" // sport/# takes sport in
		}
		filter, topic = moreWanted, rest
	}
}
