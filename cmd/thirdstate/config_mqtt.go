package main

import (
	"net"

	"github.com/thirdstate/thirdstate/telemetry/intake"
)

// mqttSettings are those of the embedded broker beside its address.
type mqttSettings struct {
	TLSListen  string `name:"tls-listen" help:"Address of the embedded broker for MQTT over TLS (1.2 or newer), such as 0.0.0.0:8883." placeholder:"ADDR"`
	WSListen   string `name:"ws-listen" help:"Address of the embedded broker for MQTT over WebSocket (subprotocol mqtt), such as 127.0.0.1:8083." placeholder:"ADDR"`
	WSSListen  string `name:"wss-listen" help:"The same over TLS, such as 0.0.0.0:8084." placeholder:"ADDR"`
	TLSCert    string `name:"tls-cert" help:"Certificate of the broker with its chain, in PEM; read again when it changes." type:"path" placeholder:"FILE"`
	TLSKey     string `name:"tls-key" help:"Private key of the certificate, in PEM." type:"path" placeholder:"FILE"`
	ClientCA   string `name:"client-ca" help:"Authorities (PEM) whose certificates sign devices in without a token: the common name or a DNS name is the device's key." type:"path" placeholder:"FILE"`
	MaxClients int    `name:"max-clients" help:"Connections that the embedded broker takes at the same time." default:"20000"`
	PerAddress int    `name:"max-clients-per-address" help:"Of these from one address." default:"5000"`
	Rate       int    `name:"connect-rate" help:"New connections a second; more wait to be accepted." default:"500"`
	AddrRate   int    `name:"connect-rate-per-address" help:"Of these from one address; more are told to come back later." default:"100"`
}

// listens says whether the embedded broker is on.
func (s *settings) listens() bool {
	return s.MQTTListen != "" || s.MQTT.TLSListen != "" || s.MQTT.WSListen != "" || s.MQTT.WSSListen != ""
}

func (m *mqttSettings) check(plain string, bad func(flag, format string, args ...any)) {
	for _, a := range []struct{ flag, address string }{
		{"--mqtt-listen", plain}, {"--mqtt-tls-listen", m.TLSListen}, {"--mqtt-ws-listen", m.WSListen}, {"--mqtt-wss-listen", m.WSSListen},
	} {
		if a.address == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(a.address); err != nil {
			bad(a.flag, "%q is no address such as 127.0.0.1:1883", a.address)
		}
	}
	if secure := m.TLSListen != "" || m.WSSListen != ""; secure && (m.TLSCert == "" || m.TLSKey == "") {
		bad("--mqtt-tls-cert", "and --mqtt-tls-key are needed for TLS")
	} else if !secure && (m.TLSCert != "" || m.TLSKey != "" || m.ClientCA != "") {
		bad("--mqtt-tls-listen", "or --mqtt-wss-listen is needed for a certificate to be of use")
	}
	for _, n := range []struct {
		flag  string
		value int
	}{
		{"--mqtt-max-clients", m.MaxClients}, {"--mqtt-max-clients-per-address", m.PerAddress},
		{"--mqtt-connect-rate", m.Rate}, {"--mqtt-connect-rate-per-address", m.AddrRate},
	} {
		if n.value < 0 || n.value > 1_000_000 {
			bad(n.flag, "must be between 1 and 1000000")
		}
	}
}

// embeddedConfig is what the broker is given; the rest comes from the system.
func (s *settings) embeddedConfig() intake.EmbeddedConfig {
	return intake.EmbeddedConfig{
		Listen: s.MQTTListen, TLSListen: s.MQTT.TLSListen, WSListen: s.MQTT.WSListen, WSSListen: s.MQTT.WSSListen,
		TLS:        intake.TLSFiles{Certificate: s.MQTT.TLSCert, Key: s.MQTT.TLSKey, ClientCA: s.MQTT.ClientCA},
		TokensOnly: s.BehindProxy,
		Limits:     intake.EmbeddedLimits{Connections: s.MQTT.MaxClients, PerAddress: s.MQTT.PerAddress, Rate: s.MQTT.Rate, AddressRate: s.MQTT.AddrRate},
	}
}
