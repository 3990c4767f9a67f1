package machines_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

const header = "manufacturer,serial,model,name,customer,site\n"

func (f *fleet) load(text string, dryRun bool) (report machines.Report, err error) {
	f.Helper()
	err = f.as(admin, func(ctx context.Context, db postgres.DB) (err error) {
		report, err = machines.Import(ctx, db, start, admin, strings.NewReader(text), dryRun)
		return err
	})
	return report, err
}

// What a machine mostly does may be said in the file; sisters are of the same duty.
func TestImport_KeepsTheDuty(t *testing.T) {
	f := newFleet(t)
	if _, err := f.load(strings.TrimSpace(header)+",duty\nBeichen,m00045,,,,,quarry\nBeichen,m00046,,,,,\n", false); err != nil {
		t.Fatal(err)
	}
	f.do(func(ctx context.Context, db postgres.DB) error {
		for key, want := range map[string]string{"m00045": "quarry", "m00046": ""} {
			if m, err := machines.ByKey(ctx, db, key); err != nil || m.Duty != want {
				t.Errorf("%s: %q, %v", key, m.Duty, err)
			}
		}
		return nil
	})
}

func TestImport_MakesWhatTheFileNames(t *testing.T) {
	f := newFleet(t)
	file := "\uFEFF" + header +
		"Beichen,m00042,,一号泵车,岳麓土石方,湘江新区基坑\n" +
		"Beichen,m00043,BC5430THB-56,\"二号, 泵车\",岳麓土石方,湘江新区基坑\n" +
		"Beichen,m00044,BE215,,砼达泵送,\n" +
		"Kefeng,KF 1,,,,\n" +
		"Beichen,BC56T2411418,,already there,,\n" +
		",,,,,\n"
	before := f.writes()
	dry, err := f.load(file, true)
	if err != nil {
		t.Fatal(err)
	}
	if f.writes() != before {
		t.Error("a dry run wrote something")
	}
	report, err := f.load(file, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []machines.Report{dry, report} {
		if r.Rows != 5 || r.Added != 4 || r.Known != 1 || !slices.Equal(r.Customers, []string{"岳麓土石方"}) || !slices.Equal(r.Sites, []string{"湘江新区基坑"}) || !slices.Equal(r.Models, []string{"Beichen BE215"}) {
			t.Errorf("report %+v", r)
		}
	}
	f.do(func(ctx context.Context, db postgres.DB) error {
		m, err := machines.ByKey(ctx, db, "m00042")
		if err != nil {
			return err
		}
		file, err := machines.ReadFile(ctx, db, m.ID)
		if m.ModelID != nil || m.Name != "一号泵车" || file.Customer.Name != "岳麓土石方" || file.Site.Name != "湘江新区基坑" || len(file.Ownerships) != 1 || len(file.Events) != 1 || !m.HasDevice {
			t.Errorf("m00042: %+v", file)
		}
		if m, err := machines.ByKey(ctx, db, "m00043"); err != nil || m.ModelID == nil || *m.ModelID != f.model.ID || m.Name != "二号, 泵车" {
			t.Errorf("m00043: %+v, %v", m, err)
		}
		if m, err := machines.ByKey(ctx, db, "KF-1"); err != nil || m.Serial != "KF 1" || m.CustomerID != nil {
			t.Errorf("KF 1: %+v, %v", m, err)
		}
		log, err2 := machines.Audits(ctx, db, machines.AuditFilter{MachineID: &m.ID})
		if len(log.Items) != 1 || log.Items[0].Action != "imported" || log.Items[0].Actor != admin.Name || !strings.Contains(string(log.Items[0].After), "m00042") {
			t.Errorf("audit: %+v", log.Items)
		}
		if err == nil {
			err = err2
		}
		return err
	})
	again, err := f.load(file, false)
	if err != nil || again.Added != 0 || again.Known != 5 || len(again.Customers)+len(again.Sites)+len(again.Models) != 0 {
		t.Errorf("a second time: %+v, %v", again, err)
	}
}

func TestImport_NamesEveryBadLineAndWritesNothing(t *testing.T) {
	f := newFleet(t)
	lines := []string{strings.TrimSpace(header)}
	var bad []int
	for i := range 100 {
		line := fmt.Sprintf("Beichen,n%d,,,新客户,", i)
		if i%10 < 3 {
			bad = append(bad, len(lines)+1)
			line = []string{
				",n1,,,,", "Beichen,,,,,", "Beichen,液压,,,,", "Beichen,n0", "Beichen,x" + fmt.Sprint(i) + ",,,,工地", "Beichen,\xC4\xE3\xBA\xC3,,,,",
				"Beichen,a\x01b,,,,", "Beichen," + strings.Repeat("x", 101) + ",,,,", `Beichen,"a"b,,,,`, "Kefeng,BC56T2411418,,,,",
			}[i/10]
		}
		lines = append(lines, line)
	}
	before := f.writes()
	report, err := f.load(strings.Join(lines, "\n"), false)
	f.refused(problem.Invalid, err)
	var named []int
	for _, fault := range report.Faults {
		if len(named) == 0 || named[len(named)-1] != fault.Line {
			named = append(named, fault.Line)
		}
	}
	if !slices.Equal(named, bad) || len(bad) != 30 {
		t.Errorf("named lines %v\nbad lines   %v", named, bad)
	}
	if fields := problem.As(err).Fields; len(fields) < 30 || fields[0].Pointer != "/lines/2/manufacturer" {
		t.Errorf("%d fields: %v", len(fields), fields)
	}
	if f.writes() != before || f.count(`SELECT count(*) FROM machine`, nil) != 2 || f.count(`SELECT count(*) FROM customer`, nil) != 2 {
		t.Error("something was written")
	}
}

func TestImport_TellsTwinsApart(t *testing.T) {
	f := newFleet(t)
	report, err := f.load(header+"Beichen,n1,,,,\nBeichen,n1,,,,\nKefeng,n1,,,,\nKefeng,N1,,,,\n", true)
	f.refused(problem.Invalid, err)
	if len(report.Faults) != 2 || report.Faults[0].Line != 3 || report.Faults[1].Line != 4 {
		t.Errorf("faults: %v", report.Faults)
	}
	report, err = f.load("key,"+strings.TrimSpace(header)+",device,colour\nk1,Kefeng,n1,,,,,no,red\n,Beichen,n1,,,,,yes,blue\n", false)
	if err != nil || report.Added != 2 || !slices.Equal(report.Ignored, []string{"colour"}) {
		t.Errorf("with a key: %+v, %v", report, err)
	}
	if n := f.count(`SELECT count(*) FROM machine WHERE key = 'k1' AND NOT has_device AND connectivity = 'none'`, nil); n != 1 {
		t.Error("the key or the missing device was not kept")
	}
}

func TestImport_RefusesFilesThatAreNone(t *testing.T) {
	f := newFleet(t)
	for name, c := range map[string]struct {
		text string
		kind problem.Kind
	}{
		"empty":          {"", problem.Invalid},
		"no header":      {"Beichen,n1,,,,\n", problem.Invalid},
		"a column twice": {strings.TrimSpace(header) + ",serial\n", problem.Invalid},
		"GBK":            {"\xD0\xD0\xBA\xC5," + header, problem.Invalid},
		"a picture":      {"\x89PNG\r\n\x1a\n\x00\x00\x00", problem.Invalid},
		"an open quote":  {header + `Beichen,"n1,,,,`, problem.Invalid},
		"too many":       {header + strings.Repeat("B,x,,,,\n", 1) + manyRows(100_001), problem.TooLarge},
	} {
		if _, err := f.load(c.text, true); problem.Of(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, separator := range []string{";", "\t"} {
		text := strings.ReplaceAll(header+"Beichen,sep1,,,,\n", ",", separator)
		if report, err := f.load(text, true); err != nil || report.Added != 1 {
			t.Errorf("separated by %q: %+v, %v", separator, report, err)
		}
	}
}

func manyRows(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "Beichen,r%d,,,,\n", i)
	}
	return text.String()
}

func TestImport_TakesSeveralBatches(t *testing.T) {
	f := newFleet(t)
	report, err := f.load(header+manyRows(2_500), false)
	if err != nil || report.Added != 2_500 {
		t.Fatalf("%+v, %v", report, err)
	}
	for sql, want := range map[string]int{
		`SELECT count(*) FROM machine WHERE key LIKE @like`:                                2_500,
		`SELECT count(*) FROM lifecycle_event WHERE text_en = 'Machine file imported'`:     2_500,
		`SELECT count(*) FROM audit WHERE action = 'imported' AND machine_id = entity_id`:  2_500,
		`SELECT count(DISTINCT no) FROM machine WHERE key LIKE @like`:                      2_500,
		`SELECT count(*) FROM machine_ownership`:                                           2,
		`SELECT count(*) FROM machine WHERE key LIKE @like AND health_since <> created_at`: 0,
	} {
		if n := f.count(sql, pgx.NamedArgs{"like": "r%"}); n != want {
			t.Errorf("%s: %d, want %d", sql, n, want)
		}
	}
}
