package machines_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

func TestMachine_KeyIsTheNormalisedSerial(t *testing.T) {
	t.Parallel()
	for serial, want := range map[string]string{
		"m00042": "m00042", "BC56T2411418": "BC56T2411418", " KF 13/A1900266 ": "KF-13-A1900266", "ＢＣ５６": "BC56", "№ 7": "No-7", "液压-1": "1",
		"液压": "", "a..b": "a-b", "_x-": "_x-", "(x)": "x", strings.Repeat("a", 100): strings.Repeat("a", 64),
	} {
		if key := machines.KeyOf(serial); key != want {
			t.Errorf("%q gives %q, want %q", serial, key, want)
		}
	}
}

func TestMachine_OpensItsFile(t *testing.T) {
	f := newFleet(t)
	handover := time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC)
	var site machines.Site
	f.do(func(ctx context.Context, db postgres.DB) (err error) {
		site, err = machines.AddSite(ctx, db, start, admin, machines.Site{CustomerID: f.tongda.ID, Name: "衡阳停车场"})
		if err != nil {
			return err
		}
		_, err = machines.AddContact(ctx, db, start, admin, machines.Contact{CustomerID: f.tongda.ID, Name: "刘建国", Capacity: "owner", Phone: "+8613807340417"})
		return err
	})
	m := f.add(machines.Machine{Serial: "GS50D2100081", CustomerID: &f.tongda.ID, SiteID: &site.ID, HandedOverOn: &handover})
	if m.Key != "GS50D2100081" || m.Health != machines.Unknown || m.Connectivity != "unknown" || m.OperatingStatus != machines.Working || m.No == 0 || m.Version != 1 {
		t.Errorf("added %+v", m)
	}
	f.do(func(ctx context.Context, db postgres.DB) error {
		part, err := machines.AddComponent(ctx, db, start, admin, machines.Component{MachineID: m.ID, Code: "engine", Name: "发动机"})
		if err != nil {
			return err
		}
		if _, err := machines.AddComponent(ctx, db, start, admin, machines.Component{MachineID: m.ID, ParentID: &part.ID, Code: "injector", Name: "喷油器"}); err != nil {
			return err
		}
		file, err := machines.ReadFile(ctx, db, m.ID)
		if err != nil {
			return err
		}
		if file.Model.Name != "BC5430THB-56" || file.Customer.Name != "砼达泵送" || file.Site.Name != "衡阳停车场" || len(file.Contacts) != 1 || len(file.Signals) != 2 || len(file.Components) != 2 {
			t.Errorf("file: %+v", file)
		}
		if len(file.Events) != 3 || len(file.Ownerships) != 1 || !file.Ownerships[0].From.Equal(handover) || file.Machine.ModelLabel != "泵车" || file.Machine.SiteName != "衡阳停车场" {
			t.Errorf("life: %+v, ownerships %+v", file.Events, file.Ownerships)
		}
		for _, list := range []any{file.Findings, file.HealthChanges, file.Readings} {
			if fmt.Sprint(list) == "<nil>" {
				t.Error("an empty list is null")
			}
		}
		return nil
	})
	if n := f.count(`SELECT count(*) FROM audit WHERE machine_id = @id AND customer_id = @customer`, pgx.NamedArgs{"id": m.ID, "customer": f.tongda.ID}); n != 3 {
		t.Errorf("%d audit entries, want 3", n)
	}
}

func TestMachine_RefusesWhatDoesNotFit(t *testing.T) {
	f := newFleet(t)
	var site machines.Site
	f.do(func(ctx context.Context, db postgres.DB) (err error) {
		site, err = machines.AddSite(ctx, db, start, admin, machines.Site{CustomerID: f.henggu.ID, Name: "工地"})
		return err
	})
	stranger := uuid.New()
	for name, c := range map[string]struct {
		machine machines.Machine
		kind    problem.Kind
	}{
		"empty":               {machines.Machine{Manufacturer: " "}, problem.Invalid},
		"no key to be had":    {machines.Machine{Manufacturer: "Beichen", Serial: "液压"}, problem.Invalid},
		"bad key":             {machines.Machine{Manufacturer: "Beichen", Serial: "1", Key: "a/b"}, problem.Invalid},
		"serial twice":        {machines.Machine{Manufacturer: "Beichen", Serial: "BC56T2411418", Key: "other"}, problem.Conflict},
		"key twice":           {machines.Machine{Manufacturer: "Kefeng", Serial: "BC56T2411418"}, problem.Conflict},
		"another's site":      {machines.Machine{Manufacturer: "Beichen", Serial: "2", CustomerID: &f.tongda.ID, SiteID: &site.ID}, problem.Invalid},
		"a site and no owner": {machines.Machine{Manufacturer: "Beichen", Serial: "2", SiteID: &site.ID}, problem.Invalid},
		"no such customer":    {machines.Machine{Manufacturer: "Beichen", Serial: "2", CustomerID: &stranger}, problem.Invalid},
	} {
		err := f.as(admin, func(ctx context.Context, db postgres.DB) error {
			_, err := machines.AddMachine(ctx, db, start, admin, c.machine)
			return err
		})
		if problem.Of(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.refused(problem.Invalid, f.as(admin, func(ctx context.Context, db postgres.DB) error {
		_, err := machines.AddSite(ctx, db, start, admin, machines.Site{CustomerID: stranger, Name: "x"})
		return err
	}))
	f.refused(problem.Invalid, f.as(admin, func(ctx context.Context, db postgres.DB) error {
		_, err := machines.AddSite(ctx, db, start, admin, machines.Site{CustomerID: f.tongda.ID, Name: "x", TimeZone: "Mars/Olympus"})
		return err
	}))
	f.refused(problem.Conflict, f.as(admin, func(ctx context.Context, db postgres.DB) error {
		_, err := machines.AddCustomer(ctx, db, start, admin, machines.Customer{Name: "砼达泵送"})
		return err
	}))
	f.refused(problem.Conflict, f.as(admin, func(ctx context.Context, db postgres.DB) error {
		_, err := machines.AddSignals(ctx, db, start, admin, f.model.ID, []machines.Signal{{Name: "new"}, {Name: "oil_temp"}})
		return err
	}))
	f.refused(problem.Invalid, f.as(admin, func(ctx context.Context, db postgres.DB) error {
		_, err := machines.AddComponent(ctx, db, start, admin, machines.Component{MachineID: f.machine.ID, ParentID: &stranger, Code: "x", Name: "x"})
		return err
	}))
}

func TestMachine_IsFoundByKeyOrAlias(t *testing.T) {
	f := newFleet(t)
	f.do(func(ctx context.Context, db postgres.DB) error {
		_, err := postgres.Run(ctx, db, `INSERT INTO machine_alias (alias, machine_id) VALUES ('pump-1', @id), (@key, @id)`, pgx.NamedArgs{"id": f.machine.ID, "key": f.other.Key})
		return err
	})
	for key, want := range map[string]uuid.UUID{f.machine.Key: f.machine.ID, "pump-1": f.machine.ID, f.other.Key: f.other.ID} {
		f.do(func(ctx context.Context, db postgres.DB) error {
			m, err := machines.ByKey(ctx, db, key)
			if m.ID != want {
				t.Errorf("%s names %s", key, m.Serial)
			}
			return err
		})
	}
	f.refused(problem.NotFound, f.as(admin, func(ctx context.Context, db postgres.DB) error {
		_, err := machines.ByKey(ctx, db, "nobody")
		return err
	}))
}

func TestList_PagesVisitEachOnce(t *testing.T) {
	f := newFleet(t)
	want := map[uuid.UUID]bool{f.machine.ID: true, f.other.ID: true}
	for i := range 9 {
		want[f.add(machines.Machine{Serial: fmt.Sprintf("n%d", i)}).ID] = true
	}
	cursor, pages := "", 0
	for ; pages < 20; pages++ {
		f.do(func(ctx context.Context, db postgres.DB) error {
			page, err := machines.List(ctx, db, machines.Filter{Limit: 3, Cursor: cursor})
			for _, row := range page.Items {
				if !want[row.ID] {
					t.Errorf("%s came twice", row.Key)
				}
				delete(want, row.ID)
			}
			cursor = page.Next
			return err
		})
		if pages == 0 { // what comes between two pages moves nothing
			f.add(machines.Machine{Serial: "0"})
		}
		if cursor == "" {
			break
		}
	}
	if len(want) > 0 || pages != 3 {
		t.Errorf("%d machines never came, in %d pages", len(want), pages+1)
	}
	for _, bad := range []string{"x", "!", machines.EncodeCursor("a", "b"), machines.EncodeCursor("\x00"), strings.Repeat("A", 600), "bnVsbA", "e30"} {
		f.refused(problem.Invalid, f.as(admin, func(ctx context.Context, db postgres.DB) error {
			_, err := machines.List(ctx, db, machines.Filter{Cursor: bad})
			return err
		}))
		f.refused(problem.Invalid, f.as(admin, func(ctx context.Context, db postgres.DB) error {
			_, err := machines.Findings(ctx, db, machines.FindingFilter{Cursor: bad})
			return err
		}))
	}
}

func TestList_Narrows(t *testing.T) {
	f := newFleet(t)
	f.add(machines.Machine{Manufacturer: "Kefeng", Serial: "K_1", Name: "100% 空压机"})
	stranger := uuid.New()
	for name, c := range map[string]struct {
		filter machines.Filter
		want   int
	}{
		"all": {machines.Filter{}, 3}, "customer": {machines.Filter{CustomerID: &f.tongda.ID}, 1}, "model": {machines.Filter{ModelID: &f.model.ID}, 2},
		"site": {machines.Filter{SiteID: &stranger}, 0}, "health": {machines.Filter{Health: "unknown"}, 3}, "well": {machines.Filter{Health: "well"}, 0},
		"status": {machines.Filter{OperatingStatus: "locked"}, 0}, "kind": {machines.Filter{Kind: "concrete_pump"}, 2}, "plate": {machines.Filter{Search: "d12345"}, 1},
		"name": {machines.Filter{Search: "米泵车"}, 2}, "customer's name": {machines.Filter{Search: "henggu"}, 1}, "key": {machines.Filter{Search: " bc56t "}, 1},
		"no wildcard": {machines.Filter{Search: "%"}, 1}, "nor this": {machines.Filter{Search: "k_"}, 1}, "nor that": {machines.Filter{Search: `\`}, 0},
	} {
		f.do(func(ctx context.Context, db postgres.DB) error {
			page, err := machines.List(ctx, db, c.filter)
			if len(page.Items) != c.want {
				t.Errorf("%s: %d machines, want %d", name, len(page.Items), c.want)
			}
			return err
		})
	}
}

func TestStatus_IsApartFromHealth(t *testing.T) {
	f := newFleet(t)
	for range 2 {
		f.do(func(ctx context.Context, db postgres.DB) error {
			return machines.SetOperatingStatus(ctx, db, start, admin, f.machine.ID, machines.Locked, "融资租赁", "finance lease")
		})
	}
	m := f.get(f.machine.ID)
	if m.OperatingStatus != machines.Locked || m.OperatingNote != "融资租赁" || m.Health != machines.Unknown || m.Version != 2 {
		t.Errorf("machine %+v", m)
	}
	if n := f.count(`SELECT count(*) FROM lifecycle_event WHERE kind = 'status'`, nil); n != 1 {
		t.Errorf("%d lines of life, want 1", n)
	}
	f.refused(problem.Invalid, f.as(admin, func(ctx context.Context, db postgres.DB) error {
		return machines.SetOperatingStatus(ctx, db, start, admin, f.machine.ID, "flying", "", "")
	}))
}
