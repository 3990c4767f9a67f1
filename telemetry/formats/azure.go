package formats

import (
	"net/url"
	"strings"
)

// azureDevice is the device topic of Azure IoT Hub: devices/{id}/messages/events/
// with properties behind it, of which iothub-creation-time-utc (short $.ctime) is
// the time. The body is whatever its shape says.
type azureDevice struct{}

func (azureDevice) Name() string { return "azure-device" }

func (azureDevice) Match(topic string, _ []byte) bool {
	_, _, ok := azureTopic(topic)
	return ok
}

// azureTopic takes the device and the properties out of a topic of a device or of
// one of its modules.
func azureTopic(topic string) (device, properties string, ok bool) {
	rest, ok := strings.CutPrefix(topic, "devices/")
	if !ok {
		return "", "", false
	}
	device, rest, _ = strings.Cut(rest, "/")
	if module, ok := strings.CutPrefix(rest, "modules/"); ok {
		_, rest, _ = strings.Cut(module, "/")
	}
	properties, ok = strings.CutPrefix(rest, "messages/events")
	return device, strings.Trim(properties, "/?"), ok && device != ""
}

func (azureDevice) Decode(m Message, out *Decoded) error {
	device, properties, _ := azureTopic(m.Topic)
	e := envelope{machine: device}
	bag, err := url.ParseQuery(properties)
	if err != nil {
		return &Fault{Reason: FormatUnknown, Path: "topic", Detail: "the properties behind messages/events are not URL-encoded"}
	}
	for _, name := range []string{"iothub-creation-time-utc", "$.ctime"} {
		if text := bag.Get(name); text != "" && !e.timed {
			if e.at, e.timed = textTime([]byte(text), true); !e.timed {
				return &Fault{Reason: TimeFormat, Path: "topic." + name, Detail: "expected RFC 3339, as 2026-03-01T07:55:00Z"}
			}
			e.at.wall = false // it is UTC, whether it says so or not
		}
	}
	m.Topic, m.envelope = "", &e
	_, err = decode(m, out)
	return err
}
