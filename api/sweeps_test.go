package api

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
)

// A machine of a sweep gets its case and somebody's word; owners hear nothing of it.
func TestSweeps_AreWorkedOff(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx := identity.With(t.Context(), maintenancetest.Program)
	if err := postgres.As(ctx, h.w.Pool, maintenancetest.Program, func(tx pgx.Tx) error {
		return maintenance.RecordSweep(ctx, tx, maintenancetest.Now, maintenancetest.Program, maintenance.Sweep{CaseID: h.a.Case.ID, Signals: []string{}, Level: 0.01, Basis: "others"},
			[]maintenance.SweepMachine{{MachineID: h.b.Machine.ID, Shares: []string{"model"}, P: 0.001, Q: 0.004, Listed: true}})
	}); err != nil {
		t.Fatal(err)
	}
	var list Items[maintenance.SweepRow]
	w := h.ask(manager, get, "/sweeps", "")
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil {
		t.Fatalf("%d %v %s", w.Code, err, w.Body)
	}
	at := slices.IndexFunc(list.Items, func(s maintenance.SweepRow) bool { return s.CaseID == h.a.Case.ID })
	if at < 0 {
		t.Fatalf("it is not listed: %s", w.Body)
	}
	sweep := "/sweeps/" + list.Items[at].ID.String()
	machine := sweep + "/machines/" + h.b.Machine.ID.String()
	h.run(t, []scenario{
		{"not for owners", owner, false, get, sweep, "", nil, 403, nil, []string{h.b.Machine.Key}, 0},
		{"read", manager, false, get, sweep, "", nil, 200, []string{h.b.Machine.Key, `"listed":true`, `"progress":"to_do"`}, nil, 0},
		{"no such word", manager, false, post, machine + "/looked", `{"result":"perhaps"}`, nil, 400, []string{"result"}, nil, 0},
		{"a machine that is not in it", manager, false, post, sweep + "/machines/" + h.a.Machine.ID.String() + "/looked", `{"result":"clean"}`, nil, 404, nil, nil, 0},
		{"looked at", manager, false, post, machine + "/looked", `{"result":"clean","note":"dry"}`, nil, 200, []string{`"progress":"clean"`, `"note":"dry"`}, nil, 1},
		{"taken back", manager, false, post, machine + "/looked", `{"result":""}`, nil, 200, []string{`"progress":"to_do"`}, nil, 1},
		{"its case is the one that is open", manager, false, post, machine + "/case", "", nil, 201, []string{`"failureMode":"fouled_cooler"`, h.b.Machine.ID.String()}, nil, 1},
		{"is planned", manager, false, get, sweep, "", nil, 200, []string{`"progress":"planned"`}, nil, 0},
	})
}
