package api

import (
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
)

func TestAlertBudgets_AreReadAndSet(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := postgres.NewID()
	ctx := identity.With(t.Context(), maintenancetest.Program)
	if err := postgres.As(ctx, h.w.Pool, maintenancetest.Program, func(tx pgx.Tx) error {
		_, err := postgres.Run(ctx, tx, `INSERT INTO org_unit (id, kind, name, name_en) VALUES (@id, 'branch', '湖南分公司', 'Hunan branch')`, pgx.NamedArgs{"id": id})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	path := "/alert-budgets/" + id.String()
	h.run(t, []scenario{
		{"not for owners", owner, false, get, "/alert-budgets", "", nil, 403, nil, []string{"Hunan"}, 0},
		{"nothing is stated", manager, false, get, "/alert-budgets", "", nil, 200, []string{"Hunan branch", `"stated":null,"perWeek":null,"used":0,"held":0`}, nil, 0},
		{"fewer than none", manager, false, http.MethodPut, path, `{"perWeek":-1}`, nil, 400, []string{"perWeek"}, nil, 0},
		{"set", manager, false, http.MethodPut, path, `{"perWeek":12}`, nil, 200, []string{`"stated":12,"perWeek":12`}, nil, 1},
		{"read", manager, false, get, "/alert-budgets", "", nil, 200, []string{`"perWeek":12`}, nil, 0},
		{"the usual one again", manager, false, http.MethodPut, path, `{"perWeek":null}`, nil, 200, []string{`"perWeek":null`}, nil, 1},
		{"no such branch", manager, false, http.MethodPut, "/alert-budgets/" + h.a.Case.ID.String(), `{"perWeek":3}`, nil, 404, nil, nil, 0},
	})
}
