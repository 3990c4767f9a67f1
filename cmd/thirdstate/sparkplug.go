package main

import (
	"context"
	"fmt"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/intake"
)

// hostSettings are the flags of the Sparkplug host application.
type hostSettings struct {
	HostID  string        `name:"host-id" help:"Name of the Sparkplug B host application; unique on every broker that it uses. Empty switches it off." default:"thirdstate"`
	Groups  []string      `name:"groups" help:"Groups of edge nodes to listen to on the external broker; none means all." placeholder:"GROUP"`
	Reorder time.Duration `name:"reorder" help:"How long a missing sequence number is waited for before the edge node is asked for its births; 0 does not look at them." default:"2s"`
}

// openSparkplug prepares the host application for the brokers that there are.
func (y *system) openSparkplug() error {
	if y.Sparkplug.HostID == "" {
		return nil
	}
	host, err := intake.NewSparkplugHost(intake.SparkplugConfig{
		HostID: y.Sparkplug.HostID, Groups: y.Sparkplug.Groups, Reorder: y.Sparkplug.Reorder,
		BrokerURL: y.MQTTURL, TLS: intake.BrokerTLS{CA: y.MQTTCA, Cert: y.MQTTCert, Key: y.MQTTKey},
		Embedded: y.embedded, Log: y.intake, Now: y.clock.Now, Logger: y.log,
	})
	if err != nil {
		return err // says which flag to change
	}
	y.host = host
	if err := y.registry.Register(host); err != nil {
		return fmt.Errorf("register the metrics of Sparkplug: %w", err)
	}
	return nil
}

// runSparkplug is the life of the host application, where there is one.
func (y *system) runSparkplug(ctx context.Context) error {
	if y.host == nil {
		return nil
	}
	return y.host.Run(ctx)
}
