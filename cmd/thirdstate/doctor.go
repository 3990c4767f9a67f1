package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/thirdstate/thirdstate/telemetry/intake"
)

type doctorCommand struct {
	Broker doctorBroker `cmd:"" help:"Measure what an external MQTT broker would lose, and say which of its settings to change."`
}

type doctorBroker struct {
	MQTTURL  string `name:"mqtt-url" required:"" help:"The broker, such as tcp://user:password@127.0.0.1:1883." placeholder:"URL"`
	MQTTCA   string `name:"mqtt-ca" help:"PEM file of the authorities that may sign an ssl:// broker's certificate." placeholder:"FILE"`
	MQTTCert string `name:"mqtt-cert" help:"PEM file of our certificate." placeholder:"FILE"`
	MQTTKey  string `name:"mqtt-key" help:"PEM file of that certificate's key." placeholder:"FILE"`
	Messages int    `help:"Messages to publish for a session that is away; the limit of its queue is found up to this many." default:"2500"`
	Topic    string `help:"Topic under which the check may publish and subscribe; no thirdstate should read it." default:"thirdstate-doctor"`
}

// Run looks at the broker and prints what it means.
func (c *doctorBroker) Run(ctx context.Context) error { return c.examine(ctx, os.Stdout) }

func (c *doctorBroker) examine(ctx context.Context, out io.Writer) error {
	report, err := intake.CheckBroker(ctx, intake.BrokerCheck{URL: c.MQTTURL, Topic: c.Topic, Messages: c.Messages,
		TLS: intake.BrokerTLS{CA: c.MQTTCA, Cert: c.MQTTCert, Key: c.MQTTKey}})
	if err != nil {
		return err
	}
	var b strings.Builder
	name := report.Software
	if name == "" {
		name = "a broker that does not tell its name"
	}
	fmt.Fprintf(&b, "%s at %s\n", name, withoutPassword(c.MQTTURL))
	for _, f := range diagnose(report) {
		mark := "good"
		if f.advice != "" {
			mark = "LOSES"
		}
		fmt.Fprintf(&b, "\n%-5s  %s\n", mark, f.seen)
		if f.advice != "" {
			fmt.Fprintf(&b, "       %s\n", strings.ReplaceAll(f.advice, "\n", "\n       "))
		}
	}
	fmt.Fprintf(&b, "\n%s\n", crashWords(report.Software))
	_, err = io.WriteString(out, b.String())
	return err
}

// diagnosis is one thing that was seen of a broker; advice is empty where it is well.
type diagnosis struct{ seen, advice string }

func diagnose(r intake.BrokerReport) []diagnosis {
	list := []diagnosis{queueOf(r), windowOf(r), sizeOf(r)}
	if r.Granted == 0 {
		list = append(list, diagnosis{"It grants QoS 0 where QoS 1 was asked for.", "What it sends while thirdstate is away, or when a connection breaks, is gone.\nAllow QoS 1 (HiveMQ: mqtt.maximum-qos; EMQX: mqtt.max_qos_allowed)."})
	}
	if !r.Kept {
		list = append(list, diagnosis{"It forgot the session of a client that was away.", "What is published while thirdstate is away is gone.\nKeep sessions (EMQX: mqtt.session_expiry_interval; HiveMQ: mqtt.session-expiry; Mosquitto: persistent_client_expiration)."})
	}
	if r.Retains {
		list = append(list, diagnosis{seen: "It keeps retained messages."})
	} else {
		list = append(list, diagnosis{seen: "It does not keep retained messages; thirdstate does not need them."})
	}
	switch {
	case r.Tells && r.Dropped > 0:
		list = append(list, diagnosis{fmt.Sprintf("It says that it has thrown away %d messages since it was started, of any of its clients.", r.Dropped),
			"Ask which client was away, or too slow, and for how long; the limit above is the usual reason."})
	case r.Tells:
		list = append(list, diagnosis{seen: "It says that it has thrown away nothing since it was started; thirdstate goes on watching that."})
	default:
		list = append(list, diagnosis{seen: "It does not tell how many messages it throws away ($SYS); the gap ledger names them for devices that number what they send."})
	}
	return list
}

func queueOf(r intake.BrokerReport) diagnosis {
	if r.Lost() <= 0 {
		return diagnosis{seen: fmt.Sprintf("All %d messages for a client that was away arrived: the queue's limit is higher, or there is none. --messages looks further.", r.Sent)}
	}
	end := "oldest"
	if r.Newest {
		end = "newest"
	}
	return diagnosis{
		fmt.Sprintf("Of %d messages that it acknowledged for a client that was away %d arrived; the %s %d were thrown away.", r.Sent, r.Arrived, end, r.Lost()),
		fmt.Sprintf("While thirdstate is restarted or its disk is full, %d messages are kept: %s at 10 messages/s, %s at 1,000.\n%s",
			r.Arrived, seconds(r.Arrived, 10), seconds(r.Arrived, 1000), advise(r.Software, "max_queued_messages 0 and max_queued_bytes 0 in mosquitto.conf (0 = no limit; they are kept in memory)",
				"mqtt.max_mqueue_len = infinity", "mqtt.queued-messages: max-queue-size in config.xml")),
	}
}

// seconds says how long a number of messages takes at a rate.
func seconds(messages, perSecond int) string {
	return fmt.Sprintf("%.3g s", float64(messages)/float64(perSecond))
}

func windowOf(r intake.BrokerReport) diagnosis {
	switch {
	case r.Arrived == 0:
		return diagnosis{seen: "Nothing arrived, so that it is unknown how many messages it sends without an acknowledgement."}
	case r.WindowWhole:
		return diagnosis{seen: fmt.Sprintf("It sends at least %d messages without waiting for an acknowledgement.", r.Window)}
	}
	seen := fmt.Sprintf("It sends %d messages without waiting for an acknowledgement.", r.Window)
	if r.Window >= 100 {
		return diagnosis{seen: seen}
	}
	return diagnosis{seen: seen + " That is enough for some thousand messages a second. More is faster: " +
		advise(r.Software, "max_inflight_messages 1000 in mosquitto.conf", "mqtt.max_inflight = 1000", "mqtt.receive-maximum") + "."}
}

func sizeOf(r intake.BrokerReport) diagnosis {
	switch {
	case r.Swallowed > 0:
		return diagnosis{fmt.Sprintf("It acknowledges messages of %d KiB and throws them away: whoever sends one is never told.", r.Swallowed>>10),
			"Let it refuse them instead: " + advise(r.Software, "max_packet_size 262656 in mosquitto.conf, in place of message_size_limit", "mqtt.max_packet_size = 256KB", "mqtt.packets: max-packet-size") + "."}
	case r.Largest < 256<<10-512:
		return diagnosis{seen: fmt.Sprintf("It takes messages of %d KiB and refuses some of %d KiB; thirdstate would read up to 256 KiB.", r.Largest>>10, r.Tried>>10)}
	case r.Largest == r.Tried:
		return diagnosis{seen: fmt.Sprintf("It takes messages of %d KiB and maybe more. thirdstate reads up to 256 KiB and keeps the start of larger ones as dead letters; let the broker refuse them, so that the device hears of it: %s.",
			r.Largest>>10, advise(r.Software, "max_packet_size 262656 in mosquitto.conf", "mqtt.max_packet_size = 256KB", "mqtt.packets: max-packet-size"))}
	}
	return diagnosis{seen: "It takes messages as large as thirdstate reads."}
}

// advise names the setting of the broker at hand, or of the three that are met most.
func advise(software, mosquitto, emqx, hivemq string) string {
	switch {
	case strings.Contains(strings.ToLower(software), "mosquitto"):
		return "set " + mosquitto
	case strings.HasPrefix(software, "EMQX"):
		return "set " + emqx
	}
	return "Mosquitto: " + mosquitto + "; EMQX: " + emqx + "; HiveMQ: " + hivemq
}

// crashWords say what cannot be measured from outside.
func crashWords(software string) string {
	words := "Not measured: what a crash of the broker would lose. A broker's acknowledgement seldom means that a message is on a disk. "
	if strings.Contains(strings.ToLower(software), "mosquitto") {
		return words + "Mosquitto writes its state every 30 minutes with its defaults, and nothing\nwithout `persistence true`: a kill -9 lost every message that waited. `autosave_on_changes true` with `autosave_interval 1` loses less and is slow. " +
			"The gap ledger names what was lost,\nfor devices that number what they send; the embedded broker acknowledges after the disk has it and loses nothing."
	}
	return words + "EMQX keeps them on disk with durable_sessions.enable = true, HiveMQ with file persistence.\nThe gap ledger names what was lost, for devices that number what they send; the embedded broker acknowledges after the disk has it."
}
