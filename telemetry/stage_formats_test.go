package telemetry

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

const addSiteSQL = `WITH c AS (INSERT INTO customer (id, name, created_at) VALUES (@customer, @zone, @at)),
  s AS (INSERT INTO site (id, customer_id, name, time_zone) VALUES (@site, @customer, 'Yard', @zone))
UPDATE machine SET customer_id = @customer, site_id = @site WHERE id = @machine`

func TestStage_ReadsAClockWithoutZoneByTheSiteOfItsMachine(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	for _, m := range []struct{ key, zone string }{{"SH", "Asia/Shanghai"}, {"BE", "Europe/Berlin"}, {"XX", "Nowhere/AtAll"}, {"NO", ""}} {
		id, _ := addMachine(t, w.pool, m.key)
		if m.zone == "" {
			continue
		}
		do(t, w.pool, func(tx pgx.Tx) error {
			_, err := postgres.Run(t.Context(), tx, addSiteSQL, pgx.NamedArgs{"customer": postgres.NewID(), "site": postgres.NewID(), "machine": id, "zone": m.zone, "at": start})
			return err
		})
	}
	// start is 06:00 UTC
	w.send(t, "", "tele/SH/SENSOR", `{"Time":"2026-03-02T13:59:00","E":{"Power":1}}`)
	w.send(t, "", "tele/BE/SENSOR", `{"Time":"2026-03-02T06:59:00","E":{"Power":1}}`)
	w.send(t, "", "tele/BE/SENSOR", `{"Time":"2026-03-02T13:59:00","E":{"Power":1}}`) // seven hours ahead
	w.send(t, "", "tele/XX/SENSOR", `{"Time":"2026-03-02T06:59:00","E":{"Power":1}}`)
	w.send(t, "", "tele/NO/SENSOR", `{"Time":"2026-03-02T06:59:00","E":{"Power":1}}`)
	b, err := NewStage(w.log, w.pool, slog.New(slog.DiscardHandler)).Next(t.Context(), 0)
	if err != nil || len(b.Observations) != 5 {
		t.Fatalf("%+v, %v", b, err)
	}
	minute := start.Add(-time.Minute)
	for i, must := range []struct {
		at    time.Time
		flags observation.Flag
	}{{minute, 0}, {minute, 0}, {start.Add(3 * time.Second), observation.ClockAhead}, {start.Add(4 * time.Second), observation.NoTime}, {start.Add(5 * time.Second), observation.NoTime}} {
		o := b.Observations[i]
		if !o.At.Equal(must.at) || o.Flags != must.flags {
			t.Errorf("%s %d is at %v with flags %d, want %v with %d", o.Machine, i, o.At, o.Flags, must.at, must.flags)
		}
	}
}

// Whatever the topic or the payload calls a machine, a device speaks for its own.
func TestStage_HoldsADeviceToItsMachineInEveryFormat(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	machine, _ := addMachine(t, w.pool, "PM1")
	addMachine(t, w.pool, "PM2")
	addDevice(t, w.pool, "D1", machine, false)
	addDevice(t, w.pool, "G1", uuid.Nil, true)
	messages := []struct{ topic, payload string }{
		{"zigbee2mqtt/%", `{"battery":97}`},
		{"zigbee2mqtt/%/availability", `{"state":"online"}`},
		{"tele/%/SENSOR", `{"Time":"2026-03-02T06:00:00","E":{"Power":1}}`},
		{"tele/%/LWT", "Online"},
		{"/neuron/app", `{"node":"%","group":"g","timestamp":1772431200000,"values":{"a":1}}`},
		{"/wisepaas/scada/s/data", `{"d":{"%":{"a":1}},"ts":"2026-03-02T06:00:00Z"}`},
		{"Advantech/%/data", `{"s":1,"t":"2026-03-02T06:00:00Z","q":192,"c":1,"ai1":1}`},
		{"devices/%/messages/events/", `{"a":1}`},
		{"events", `{"specversion":"1.0","subject":"%","data":{"a":1}}`},
		{"sitewise", `{"entries":[{"propertyAlias":"/%/a","propertyValues":[{"value":{"doubleValue":1},"timestamp":{"timeInSeconds":1772431200}}]}]}`},
		{"senml", `[{"bn":"%/","n":"a","v":1}]`},
		{"rows", "ts,machine,a\n1772431200,%,1\n"},
		{"router", `{"name":"%","timestamp":1772431200,"data":{"a":1}}`},
		{"plant/%/status", "online"},
		{"plant/%/a", "1"},
		{"plant/x", `{"machine":"%","a":1}`},
		{"fleet/%/csv/a", "1"},
		{"fleet/%/senml", `[{"n":"a","v":1}]`},
		{"telegraf/x/m", "m,machine=% a=1"},
	}
	for _, m := range messages {
		for _, sender := range []struct{ device, machine string }{{"D1", "PM1"}, {"D1", "PM2"}, {"D1", "none"}, {"G1", "PM2"}} {
			w.send(t, sender.device, named(m.topic, sender.machine), named(m.payload, sender.machine))
		}
	}
	w.run(t, historyRun{})
	n := int64(len(messages))
	a := w.account(t, w.log.ID())
	if a.Received != 4*n || a.Stored+a.Duplicates != 2*n || a.Dead != 2*n || a.Unclaimed != 0 {
		t.Errorf("%+v of %d messages", a, 4*n)
	}
	for _, letter := range w.letters(t, DeadLetterFilter{Limit: maxLetters}) {
		if letter.Reason != formats.DeviceScope {
			t.Errorf("%+v", letter)
		}
	}
}

func named(text, machine string) string { return strings.ReplaceAll(text, "%", machine) }
