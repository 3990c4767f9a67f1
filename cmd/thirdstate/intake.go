package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/dashboards"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/aemp/pull"
	"github.com/thirdstate/thirdstate/telemetry/edge"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/intake"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/logbook"
)

// intakeKept is how long records stay that everybody has read, as long as they take no
// more than a quarter of what the log may: what InfluxDB loses is in them still. A
// history in PostgreSQL loses nothing that its own place in the log does not know of.
const intakeKept = 24 * time.Hour

func (y *system) openIntake(ctx context.Context) error {
	options := intakelog.Options{Log: y.log, Consumers: []string{telemetry.HistoryConsumer, "rules", logbook.Consumer}, MaxBytes: y.LogLimit.bytes, ReserveBytes: y.LogReserve.bytes, Plain: !y.LogCompress}
	if y.LogReserve.given && y.LogReserve.bytes == 0 {
		options.ReserveBytes = -1
	}
	if y.centre != nil {
		options.Consumers = append(options.Consumers, edge.Consumer)
	}
	if y.InfluxURL != "" {
		options.Retain = intakeKept
	}
	log, err := intakelog.Open(filepath.Join(y.Data, "intake"), options)
	if errors.Is(err, intakelog.ErrInUse) {
		return problem.New(problem.Invalid, "another thirdstate is at work in %s; stop it or give another folder with --data", y.Data)
	}
	if err != nil {
		return fmt.Errorf("open the intake log: %w", err)
	}
	y.intake = log
	y.onClose(func(context.Context) error { return log.Close() })
	for _, d := range log.Damage() {
		y.log.Error("the intake log is damaged; what could be saved is in its folder corrupt", "damage", d)
	}
	y.stage = telemetry.NewStage(log, y.pool, y.log)
	y.notBefore(ctx)
	return nil
}

// notBefore has the program clock go on where the log ends: after a kill, with a wall
// that was set back meanwhile, it would begin where it was last saved.
func (y *system) notBefore(ctx context.Context) {
	first, last := y.intake.Bounds()
	if last < first || last == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	records, err := y.intake.Read(ctx, last-1, 1, nil)
	if err != nil { // a disk that does not give it back is no reason not to start
		y.log.Warn("end of the intake log not read", "error", err)
		return
	}
	for _, r := range records {
		y.clock.AdvanceTo(r.Received)
	}
}

func (y *system) openHistory(context.Context) error {
	if y.InfluxURL == "" {
		y.history = history.NewPostgres(y.pool)
		return nil
	}
	influx, err := history.NewInflux(history.InfluxConfig{URL: y.InfluxURL, Token: y.InfluxToken, Org: y.InfluxOrg, Bucket: y.InfluxBucket, Pool: y.pool, Now: y.clock.Now})
	if err != nil {
		return err
	}
	y.history = influx
	y.reconciler = telemetry.NewReconciler(y.reconciliation(y.stored.Stored), &y.stored)
	return nil
}

// reconciliation compares the history up to where it is stored with the log.
func (y *system) reconciliation(stored func() intakelog.LSN) telemetry.ReconcileConfig {
	first := func() intakelog.LSN {
		first, _ := y.intake.Bounds()
		return first
	}
	return telemetry.ReconcileConfig{Records: y.intake, Pool: y.pool, History: y.history, First: first, Stored: stored, Clock: y.clock, Log: y.log}
}

func (y *system) runReconciler(ctx context.Context) error {
	if y.reconciler == nil {
		return nil
	}
	return y.reconciler.Run(ctx)
}

func (y *system) runHistory(ctx context.Context) error {
	first, _ := y.intake.Bounds()
	return telemetry.RunHistory(ctx, telemetry.HistoryConfig{
		Stage: y.stage, Pool: y.pool, History: y.history, LogID: y.intake.ID(), First: first,
		Released: func(upTo intakelog.LSN) { y.intake.Release(telemetry.HistoryConsumer, upTo) },
		Clock:    y.clock, Log: y.log, Status: &y.stored,
	})
}

// runLogbook keeps trouble codes and hour meters in the machine files.
func (y *system) runLogbook(ctx context.Context) error {
	return logbook.Run(ctx, logbook.Config{
		Stage: y.stage, Pool: y.pool, Log: y.intake, Clock: y.clock, Logger: y.log, Status: &y.codes,
		Released: func(upTo intakelog.LSN) { y.intake.Release(logbook.Consumer, upTo) },
	})
}

// listen opens the embedded broker and the way to the external one, as far as
// they are asked for. Nothing comes in before run.
func (y *system) listen(context.Context) error {
	if y.listens() {
		config := y.embeddedConfig()
		config.Log, config.Pool, config.Now, config.Logger = y.intake, y.pool, y.clock.Now, y.log
		config.Evaluated = y.runner.At
		embedded, err := intake.OpenEmbedded(config)
		if err != nil {
			return err // says which flag to change
		}
		y.embedded = embedded
		y.onClose(func(context.Context) error { return embedded.Close() })
		if err := y.registry.Register(embedded); err != nil {
			return fmt.Errorf("register the broker's metrics: %w", err)
		}
	}
	if err := errors.Join(y.openSparkplug(), y.openPuller()); err != nil {
		return err
	}
	if err := y.listenExternal(); err != nil {
		return err
	}
	y.resender = &telemetry.Resender{Pool: y.pool, Now: y.clock.Now, Log: y.log}
	if y.embedded != nil {
		y.resender.Publish = append(y.resender.Publish, y.embedded.Publish)
	}
	if y.external != nil {
		y.resender.Publish = append(y.resender.Publish, y.external.Publish)
	}
	if err := y.registry.Register(y.resender); err != nil {
		return fmt.Errorf("register the metrics of asking again: %w", err)
	}
	return nil
}

func (y *system) listenExternal() error {
	if y.MQTTURL == "" {
		return nil
	}
	external, err := intake.NewExternal(intake.ExternalConfig{URL: y.MQTTURL, Topics: y.MQTTTopics, Share: y.MQTTShare,
		TLS: intake.BrokerTLS{CA: y.MQTTCA, Cert: y.MQTTCert, Key: y.MQTTKey}, Log: y.intake, Now: y.clock.Now, Logger: y.log})
	if err != nil {
		return err // says which flag to change
	}
	y.external = external
	if err := y.registry.Register(external); err != nil {
		return fmt.Errorf("register the external broker's metrics: %w", err)
	}
	return nil
}

// openPuller reads the file of makers' servers, where there is one.
func (y *system) openPuller() error {
	if y.AEMPSources == "" {
		return nil
	}
	sources, err := pull.ReadSources(y.AEMPSources)
	if err != nil {
		return problem.New(problem.Invalid, "--aemp-sources: %v", err)
	}
	y.puller = pull.New(pull.Config{Sources: sources, Log: y.intake, Now: y.clock.Now, Logger: y.log})
	return y.registry.Register(newPullMetrics(y.puller))
}

// brokers are the parts that take messages in, carry them on, and ask for those that did not come.
func (y *system) brokers() []func(context.Context) error {
	parts := []func(context.Context) error{y.runSparkplug}
	if y.embedded != nil {
		parts = append(parts, y.embedded.Run)
	}
	if y.external != nil {
		parts = append(parts, y.external.Run)
	}
	if y.devices != nil {
		parts = append(parts, y.devices.Run)
	}
	if y.forwarder != nil {
		parts = append(parts, y.forwarder.Run)
	}
	if y.Resend && y.resender != nil {
		parts = append(parts, y.resender.Run)
	}
	if y.puller != nil {
		parts = append(parts, y.puller.Run)
	}
	return parts
}

func (y *system) brokerReady() error {
	if y.external != nil && !y.external.Connected() {
		return problem.New(problem.Unavailable, "the external broker is not connected; trying again")
	}
	return nil
}

// intakeStatus is what the intake page shows of the wire and the log.
func (y *system) intakeStatus() dashboards.IntakeStatus {
	first, last := y.intake.Bounds()
	s := dashboards.IntakeStatus{LogID: y.intake.ID().String(), First: uint64(first), Last: uint64(last), Bytes: y.intake.Stats().Bytes,
		Damaged: len(y.intake.Damage()), Evaluate: uint64(y.runner.At()), Centre: y.centreStatus()}
	if y.embedded != nil {
		s.Sources = append(s.Sources, fmt.Sprintf("%s · %d", strings.Join(y.embedded.URLs(), " "), y.embedded.Connections()))
	}
	if y.puller != nil {
		for _, source := range y.puller.Sources() {
			s.Sources = append(s.Sources, "AEMP "+source.Name+" "+pullState(source))
		}
	}
	if y.external != nil {
		s.Broker = &dashboards.BrokerStatus{URL: withoutPassword(y.MQTTURL), Trouble: y.external.Trouble(), Drops: y.external.Drops()}
	}
	return s
}

// settled waits until all that is in the log now is evaluated and stored, and what
// was found is committed.
func (y *system) settled(ctx context.Context) error {
	_, last := y.intake.Bounds()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for y.runner.Stored() < last || y.stored.Stored() < last {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}
