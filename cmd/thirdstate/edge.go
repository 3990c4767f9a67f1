package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/thirdstate/thirdstate/dashboards"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/edge"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intake"
	"github.com/thirdstate/thirdstate/telemetry/publish"
)

// cutPayload is how much is forwarded of a payload that nobody would decode, in bytes.
const cutPayload = 64 << 10

// centreSettings say where an edge forwards to.
type centreSettings struct {
	URL   string `name:"centre" help:"MQTT broker of the centre, such as mqtts://centre.example.com:8883." placeholder:"URL" required:""`
	ID    string `name:"edge-id" help:"Key of this edge: a gateway that was added at the centre (thirdstate device add --gateway KEY)." placeholder:"KEY" required:""`
	Token string `name:"centre-token" help:"The token that the centre has printed for it." placeholder:"TOKEN"`
	CA    string `name:"centre-ca" help:"Authorities (PEM) that may sign the centre's certificate; default: the system's." type:"path" placeholder:"FILE"`
}

type edgeCommand struct {
	serveCommand
	Centre centreSettings `embed:""`
}

// Run serves as serve does and forwards what comes in, until it is told to stop.
func (c *edgeCommand) Run(ctx context.Context) error {
	c.centre = &c.Centre
	return c.serveCommand.Run(ctx)
}

// options are those of the connection to the centre.
func (c *centreSettings) options() (publish.Options, error) {
	o := publish.Options{ClientID: c.ID, TLS: &tls.Config{MinVersion: tls.VersionTLS12}}
	if c.Token != "" {
		o.Username, o.Password = c.ID, c.Token
	}
	if !edge.ValidID(c.ID) {
		return o, problem.New(problem.Invalid, "--edge-id %q is no key of a device: 1 to 64 of A-Z, a-z, 0-9, _ and -", c.ID)
	}
	if u, err := url.Parse(c.URL); err == nil && u.User != nil {
		return o, problem.New(problem.Invalid, "--centre has a user; the edge signs in as --edge-id with --centre-token")
	}
	if c.CA == "" {
		return o, nil
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return o, problem.New(problem.Invalid, "--centre-ca: %v", err)
	}
	o.TLS.RootCAs = x509.NewCertPool()
	if !o.TLS.RootCAs.AppendCertsFromPEM(pem) {
		return o, problem.New(problem.Invalid, "--centre-ca: %s has no PEM certificate", c.CA)
	}
	return o, nil
}

// openForwarder opens the way to the centre where there is one.
func (y *system) openForwarder(context.Context) error {
	if y.centre == nil {
		return nil
	}
	options, err := y.centre.options()
	if err != nil {
		return err
	}
	y.forwarder, err = edge.NewForwarder(edge.Config{ID: y.centre.ID, URL: y.centre.URL, Options: options, Log: y.intake, Logger: y.log,
		Scope: intake.NewScopes(y.pool).Of, MaxPayload: formats.MaxPayload, CutPayload: cutPayload})
	if err != nil {
		return problem.New(problem.Invalid, "--centre: %v", err)
	}
	return y.measureForwarder()
}

func (y *system) measureForwarder() error {
	status := y.forwarder.Status
	for _, f := range []figure{
		{"forward_lsn", "Last record that the centre has acknowledged.", prometheus.GaugeValue, func() float64 { return float64(status().At) }},
		{"forward_waiting_records", "Records of the intake log that the centre does not have.", prometheus.GaugeValue, func() float64 { return float64(status().Waiting) }},
		{"forward_waiting_bytes", "Size on disk of the intake log's files that hold them.", prometheus.GaugeValue, func() float64 { return float64(y.intake.SizeAfter(status().At)) }},
		{"forward_oldest_seconds", "For how long the oldest of them waits.", prometheus.GaugeValue, func() float64 {
			if oldest := status().Oldest; !oldest.IsZero() {
				return max(time.Since(oldest).Seconds(), 0)
			}
			return 0
		}},
		{"forward_connected", "1 while the edge is connected to the centre.", prometheus.GaugeValue, func() float64 { return truth(status().Connected) }},
		{"forward_records_total", "Records that the centre has acknowledged since the start.", prometheus.CounterValue, func() float64 { return float64(status().Forwarded) }},
		{"forward_resent_total", "Records that were sent again after a lost connection.", prometheus.CounterValue, func() float64 { return float64(status().Resent) }},
	} {
		if err := y.registry.Register(y.figure(f)); err != nil {
			return err
		}
	}
	return nil
}

// centreStatus is what the intake page shows of the forwarding, nil where there is none.
func (y *system) centreStatus() *dashboards.CentreStatus {
	if y.forwarder == nil {
		return nil
	}
	s := y.forwarder.Status()
	return &dashboards.CentreStatus{URL: withoutPassword(y.centre.URL), Edge: y.centre.ID, Trouble: s.Trouble, At: uint64(s.At), Waiting: s.Waiting, Oldest: s.Since}
}
