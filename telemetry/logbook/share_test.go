package logbook

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/formats"
)

// choosy moves a desk to a database that will not take some things, by constraints
// of which the program knows nothing, and enters a second machine.
func (d *desk) choosy(constraints string) machines.Machine {
	d.t.Helper()
	pool, err := postgres.Open(d.t.Context(), postgrestest.URL(d.t))
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(pool.Close)
	d.pool = pool
	d.enter()
	var second machines.Machine
	d.do(func(ctx context.Context, tx pgx.Tx) (err error) {
		second, err = machines.AddMachine(ctx, tx, start, identity.Program("test"), machines.Machine{Manufacturer: "Beichen", Serial: "BAD", Name: "坏", HasDevice: true})
		return err
	})
	d.alter(constraints)
	return second
}

// alter changes the schema as the owner of the database.
func (d *desk) alter(sql string) {
	d.t.Helper()
	d.do(func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `RESET ROLE`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, sql+`; SET ROLE thirdstate_app`)
		return err
	})
}

func (d *desk) letters() (list []telemetry.DeadLetter) {
	d.t.Helper()
	d.do(func(ctx context.Context, tx pgx.Tx) (err error) {
		list, err = telemetry.DeadLetters(ctx, tx, telemetry.DeadLetterFilter{State: telemetry.LetterOpen, Limit: 100})
		return err
	})
	return list
}

func (d *desk) replay(list []telemetry.DeadLetter) {
	d.t.Helper()
	for _, l := range list {
		d.do(func(ctx context.Context, tx pgx.Tx) error {
			return telemetry.ReplayDeadLetter(ctx, tx, d.log, d.clock.Now(), identity.Program("test"), l.ID)
		})
	}
}

func code(n int, text string) string {
	return fmt.Sprintf(`{"ts":%d,"protocol":"oem","code":"E%d","active":true,"description":%q}`, start.Add(time.Duration(n)*time.Second).UnixMilli(), n, text)
}

// The database refuses what one machine says of its codes: the codes of the other
// are kept, and so are those of the first when the fault is mended.
func TestLogbook_ARefusedMachineHoldsNobody(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.choosy(`ALTER TABLE trouble_code ADD CONSTRAINT poison CHECK (description_en <> 'poison')`)
	for i := range 3 {
		d.send("fleet/EX215A0007/dtc", code(i, "fine"))
		d.send("fleet/BAD/dtc", code(i, "poison"))
	}
	d.keep()
	if got := strings.Count(d.codes(), "active"); got != 3 {
		t.Errorf("%s", d.codes())
	}
	letters := d.letters()
	if len(letters) != 3 || letters[0].Device != "BAD" || letters[0].Reason != formats.StoreRefused || !strings.Contains(letters[0].Detail, "poison") ||
		!bytes.Contains(letters[0].Payload, []byte(`"code":"E2"`)) || letters[0].Decoder != Consumer {
		t.Fatalf("%+v", letters)
	}
	if status := d.keep(); status.Refused() != 1 || len(d.letters()) != 3 { // read again after a restart, and told once
		t.Errorf("%d refused, %d letters", status.Refused(), len(d.letters()))
	}
	d.send("fleet/EX215A0007/dtc", code(9, "fine"))
	d.keep()
	d.alter(`ALTER TABLE trouble_code DROP CONSTRAINT poison`)
	d.replay(letters)
	d.keep()
	var n int64
	d.do(func(ctx context.Context, tx pgx.Tx) (err error) {
		n, err = postgres.Value[int64](ctx, tx, `SELECT count(*) FROM trouble_code`, nil)
		return err
	})
	if n != 7 || len(d.letters()) != 0 {
		t.Errorf("%d codes and %d letters", n, len(d.letters()))
	}
}

func TestLogbook_ARefusedMeterHoldsNobody(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	bad := d.choosy(`ALTER TABLE machine_meter ADD CONSTRAINT poison CHECK (last < 9000);
		ALTER TABLE dead_letter ADD CONSTRAINT curse CHECK (device <> 'BAD')`)
	for i, key := range []string{"EX215A0007", "BAD"} {
		d.send("fleet/"+key+"/telemetry", fmt.Sprintf(`{"ts":%d,"values":{"operating_hours":%d}}`, start.UnixMilli(), 100+9_000*i))
	}
	d.keep()
	d.do(func(ctx context.Context, tx pgx.Tx) error {
		meters, err := machines.Meters(ctx, tx)
		if len(meters) != 1 || meters[0].MachineID == bad.ID || meters[0].Last != 100 {
			t.Errorf("%+v", meters)
		}
		return err
	})
	if letters := d.letters(); len(letters) != 0 { // even its letter is refused
		t.Errorf("%+v", letters)
	}
}

// A message over which a decoder panics, and a bus over whose parts the logbook
// itself does, cost the other machines nothing.
func TestLogbook_APanicHoldsNobody(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.choosy(``)
	d.decoders.Message = func(m formats.Message, out *formats.Decoded) (string, error) {
		if bytes.Contains(m.Payload, []byte("poison")) {
			panic("nobody has thought of this")
		}
		return formats.Decode(m, out)
	}
	for i := range 3 {
		d.send("fleet/EX215A0007/dtc", code(i, "fine"))
		d.send("fleet/BAD/dtc", code(i, "poison"))
	}
	d.keep()
	d.keep()
	if got := strings.Count(d.codes(), "active"); got != 3 {
		t.Errorf("%s", d.codes())
	}
	k := &keeper{Config: Config{Status: &Status{}}, buses: nil} // a map that is not made
	list := k.entries(&telemetry.Batch{Frames: []telemetry.LocatedFrame{{LSN: 7, Key: "BAD"}}})
	if len(list) != 0 || len(k.failed) != 1 || k.failed[0].lsns[0] != 7 || k.failed[0].fault.Reason != formats.Crashed {
		t.Errorf("%+v %+v", list, k.failed)
	}
}
