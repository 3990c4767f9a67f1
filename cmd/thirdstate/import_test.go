package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/rules/packs"
)

func TestImport_OfAFileIsAllOrNothing(t *testing.T) {
	address := postgrestest.URL(t)
	run := func(text string, dryRun bool) error {
		file := filepath.Join(t.TempDir(), "fleet.csv")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := importMachines{store: store{Data: t.TempDir(), DatabaseURL: address}, File: file, DryRun: dryRun}
		return c.Run(t.Context())
	}
	signals := func() (n int) {
		pool, err := postgres.Open(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		if err := postgres.As(t.Context(), pool, administrator, func(tx pgx.Tx) error {
			models, err := machines.Models(t.Context(), tx)
			if err != nil || len(models) != 1 {
				t.Fatalf("%d models, %v", len(models), err)
			}
			known, err := machines.Signals(t.Context(), tx, models[0].ID)
			n = len(known)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	count := func() (n int) {
		pool, err := postgres.Open(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		if err := postgres.As(t.Context(), pool, administrator, func(tx pgx.Tx) error {
			page, err := machines.List(context.Background(), tx, machines.Filter{})
			n = len(page.Items)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	good := "manufacturer,serial,model,name,customer,site\nBeichen,m00042,BC5430THB-56,,岳麓土石方,基坑\nBeichen,m00043,,,岳麓土石方,基坑\n"
	for _, c := range []struct {
		name, text string
		dryRun     bool
		kind       problem.Kind
		machines   int
	}{
		{"dry run", good, true, "", 0}, {"a bad line", good + "Beichen,,,,,\n", false, problem.Invalid, 0}, {"good", good, false, "", 2}, {"again", good, false, "", 2},
	} {
		if err := run(c.text, c.dryRun); (err != nil || c.kind != "") && problem.Of(err) != c.kind {
			t.Errorf("%s: %v", c.name, err)
		}
		if n := count(); n != c.machines {
			t.Errorf("%s: %d machines, want %d", c.name, n, c.machines)
		}
	}
	all, err := packs.All()
	if err != nil {
		t.Fatal(err)
	}
	if n, want := signals(), len(all["BC5430THB-56"].Signals); n != want || n == 0 {
		t.Errorf("the model knows %d signals, its rule pack %d", n, want)
	}
	missing := importMachines{store: store{DatabaseURL: address}, File: filepath.Join(t.TempDir(), "none.csv")}
	if err := missing.Run(t.Context()); problem.Of(err) != problem.Invalid {
		t.Errorf("no file: %v", err)
	}
}

func TestImport_SaysWhatItDid(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := printImport(&out, machines.Report{Rows: 3, Added: 2, Known: 1, Customers: []string{"岳麓土石方"}, Ignored: []string{"colour"}}, true); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"3 machines: 2 added, 1 known", "customers made (1): 岳麓土石方", "not read: colour", "nothing was written"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("%q is not in %s", text, out.String())
		}
	}
}
