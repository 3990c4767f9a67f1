package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/detection"
)

// figure is one metric that is read when it is asked for.
type figure struct {
	name, help string
	kind       prometheus.ValueType
	read       func() float64
}

// measure registers what the program knows of itself.
func (y *system) measure() error {
	list := []figure{
		{"log_last_lsn", "Last durable record of the intake log.", prometheus.GaugeValue, func() float64 { _, last := y.intake.Bounds(); return float64(last) }},
		{"log_bytes", "Size of the intake log on disk.", prometheus.GaugeValue, func() float64 { return float64(y.intake.Stats().Bytes) }},
		{"log_max_bytes", "Size at which the intake log refuses.", prometheus.GaugeValue, func() float64 { return float64(y.intake.Stats().MaxBytes) }},
		{"log_appended_total", "Records taken since the start.", prometheus.CounterValue, func() float64 { return float64(y.intake.Stats().Appended) }},
		{"log_syncs_total", "Commits since the start.", prometheus.CounterValue, func() float64 { return float64(y.intake.Stats().Syncs) }},
		{"log_refused_total", "Records refused since the start.", prometheus.CounterValue, func() float64 { return float64(y.intake.Stats().Refused) }},
		{"log_segments", "Files of the intake log.", prometheus.GaugeValue, func() float64 { return float64(y.intake.Stats().Segments) }},
		{"log_segments_compressed", "Files of the intake log that are compressed.", prometheus.GaugeValue, func() float64 { return float64(y.intake.Stats().Packed) }},
		{"log_oldest_seconds", "For how long the oldest record waits for the history or the rules.", prometheus.GaugeValue, y.oldestWait},
		{"log_full", "1 while nothing is acknowledged because there is no room.", prometheus.GaugeValue, func() float64 { return truth(y.intake.Stats().Full) }},
		{"log_acks_paused_seconds_total", "For how long nothing was acknowledged since the start, for want of room or because the disk failed.", prometheus.CounterValue, func() float64 { return y.intake.Stats().Paused.Seconds() }},
		{"log_reserve_bytes", "Room on the disk that is kept for the places of the log's readers.", prometheus.GaugeValue, func() float64 { return float64(y.intake.Stats().Reserve) }},
		{"log_damage", "Damaged places of the intake log.", prometheus.GaugeValue, func() float64 { return float64(len(y.intake.Damage())) }},
		{"history_lsn", "Last record that is stored in the history.", prometheus.GaugeValue, func() float64 { return float64(y.stored.Stored()) }},
		{"decoder_panics_total", "Messages that made the program fail while it decoded them, since the start; each is a dead letter E_PANIC.", prometheus.CounterValue, func() float64 { return float64(y.stage.Crashes()) }},
		{"records_refused_total", "Records that the database would not take, or over which the program failed when they were stored, since the start; each is a dead letter.", prometheus.CounterValue, func() float64 { return float64(y.stored.Refused()) }},
		{"conflicts_total", "Values that differ from another one of the same machine, signal and instant, since the start; the last one is kept.", prometheus.CounterValue, func() float64 { return float64(y.stored.Conflicts()) }},
		{"values_unread_total", "Values that their senders said they could not read, since the start.", prometheus.CounterValue, func() float64 { return float64(y.stored.Unread()) }},
		{"readings_ahead_total", "Observations whose device's clock was more than two minutes ahead, since the start.", prometheus.CounterValue, func() float64 { return float64(y.stored.ReadAhead()) }},
		{"machines_clock_ahead", "Machines whose clock is ahead: five observations in a row said so.", prometheus.GaugeValue, func() float64 { return float64(y.stored.ClocksAhead()) }},
		{"outcomes_held_total", "Times that the records refused what the rules say of a machine, since the start; it is held for that machine alone.", prometheus.CounterValue, func() float64 { return float64(y.held.Held()) }},
		{"outcomes_dropped_total", "Findings that are lost because too much is held already, since the start.", prometheus.CounterValue, func() float64 { return float64(y.held.Dropped()) }},
		{"lifespan_followed", "Machines, and components of machines, that models of remaining life follow.", prometheus.GaugeValue, func() float64 { return float64(y.lives.Followed()) }},
		{"lifespan_estimates", "Those of them of which a remaining life is said.", prometheus.GaugeValue, func() float64 { return float64(y.lives.Estimates()) }},
		{"lifespan_rows_total", "Rows that models of remaining life were shown since the start.", prometheus.CounterValue, func() float64 { return float64(y.lives.Stepped()) }},
		{"lifespan_failures_total", "Times that a machine's remaining life could not be brought up to date, since the start.", prometheus.CounterValue, func() float64 { return float64(y.lives.Failures()) }},
		{"rules_failures_total", "Times that the rules of a machine failed and began anew, since the start.", prometheus.CounterValue, func() float64 { return float64(y.held.Failures()) }},
		{"logbook_refused_total", "Times that what was said of a machine could not be kept by the logbook, since the start; its records are dead letters.", prometheus.CounterValue, func() float64 { return float64(y.codes.Refused()) }},
		{"rules_lsn", "Last record that the rules have evaluated.", prometheus.GaugeValue, func() float64 { return float64(y.runner.At()) }},
		{"logbook_lsn", "Last record that the logbook of trouble codes and meters has read.", prometheus.GaugeValue, func() float64 { return float64(y.codes.At()) }},
		{"trouble_code_changes_total", "Trouble codes that became active or cleared since the start.", prometheus.CounterValue, func() float64 { return float64(y.codes.Changes()) }},
		{"trouble_codes_dropped_total", "Trouble codes not taken because their machine has too many.", prometheus.CounterValue, func() float64 { return float64(y.codes.Dropped()) }},
		{"bus_messages_lost_total", "Bus messages of several frames that never came to their end.", prometheus.CounterValue, func() float64 { return float64(y.codes.Lost()) }},
		{"meter_resets_total", "Hour meters that went back since the start.", prometheus.CounterValue, func() float64 { return float64(y.codes.Resets()) }},
		{"clock_seconds", "The program clock, in Unix seconds.", prometheus.GaugeValue, func() float64 { return float64(y.clock.Now().UnixMilli()) / 1000 }},
		{"pool_connections", "Connections to the database.", prometheus.GaugeValue, func() float64 { return float64(y.pool.Statistics().TotalConns()) }},
		{"pool_in_use", "Connections to the database in use.", prometheus.GaugeValue, func() float64 { return float64(y.pool.Statistics().AcquiredConns()) }},
		{"pool_waited_total", "Times that somebody waited for a connection.", prometheus.CounterValue, func() float64 { return float64(y.pool.Statistics().EmptyAcquireCount()) }},
	}
	for _, f := range list {
		if err := y.registry.Register(y.figure(f)); err != nil {
			return err
		}
	}
	if err := y.registry.Register(telemetry.NewLetterMetrics(y.pool)); err != nil {
		return err
	}
	if err := y.registry.Register(telemetry.NewGapMetrics(y.pool)); err != nil {
		return err
	}
	if err := y.registry.Register(detection.NewHeldMetrics(y.pool)); err != nil {
		return err
	}
	if err := y.registry.Register(telemetry.NewBirthMetrics(y.pool, y.intake)); err != nil {
		return err
	}
	return y.registry.Register(&account{system: y, desc: prometheus.NewDesc("thirdstate_intake_records",
		"Records of the intake log: received = stored + duplicates + dead + unclaimed + refused + waiting.", []string{"state"}, nil)})
}

// oldestWait is 0 too while the record cannot be read within a second: the log
// says why.
func (y *system) oldestWait() float64 {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	since, err := y.intake.Waiting(ctx)
	if err != nil || since.IsZero() {
		return 0
	}
	return max(time.Since(since).Seconds(), 0)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (y *system) figure(f figure) prometheus.Collector {
	o := prometheus.Opts{Namespace: "thirdstate", Name: f.name, Help: f.help}
	if f.kind == prometheus.CounterValue {
		return prometheus.NewCounterFunc(prometheus.CounterOpts(o), f.read)
	}
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts(o), f.read)
}

// account collects the identity of the intake. While the database is away it
// gives the last one that was read, rather than none.
type account struct {
	*system
	desc *prometheus.Desc
	last atomic.Pointer[telemetry.Account]
}

// accountTimeout bounds how long a scrape waits for the database.
const accountTimeout = 2 * time.Second

// Describe names the metric.
func (a *account) Describe(ch chan<- *prometheus.Desc) { ch <- a.desc }

// Collect reads the account and gives its parts.
func (a *account) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), accountTimeout)
	defer cancel()
	_, end := a.intake.Bounds()
	err := postgres.As(ctx, a.pool, identity.Program("metrics"), func(tx pgx.Tx) error {
		read, err := telemetry.ReadAccount(ctx, tx, a.intake.ID(), uint64(end))
		if err == nil {
			a.last.Store(&read)
		}
		return err
	})
	if err != nil {
		a.log.Debug("intake account not read", "error", err)
	}
	last := a.last.Load()
	if last == nil {
		return
	}
	for _, part := range []struct {
		state string
		value float64
	}{
		{"received", float64(last.Received)}, {"stored", float64(last.Stored)}, {"duplicates", float64(last.Duplicates)}, {"dead", float64(last.Dead)},
		{"unclaimed", float64(last.Unclaimed)}, {"refused", float64(last.Refused)}, {"waiting", float64(last.Waiting)},
	} {
		ch <- prometheus.MustNewConstMetric(a.desc, prometheus.GaugeValue, part.value, part.state)
	}
}
