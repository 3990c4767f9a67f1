package dashboards

import (
	"net/http"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/webhooks"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
)

type signInPage struct{ Logins []oneClickLogin }

type oneClickLogin struct {
	Login  string `db:"login"`
	Name   string `db:"name"`
	NameEN string `db:"name_en"`
	Role   string `db:"role"`
}

func showHome(_ *Site, r *request) error {
	return r.Redirect(http.StatusSeeOther, home(r.who.Role))
}

// todayPage is the first screen: what will go wrong next, and who is on it.
type todayPage struct {
	Board   maintenance.TodayBoard
	Cases   []maintenance.CaseRow
	Showing string
	Broken  int // webhooks that nobody answers to any more, for those who can do something about it
}

func showToday(_ *Site, r *request) error {
	p := todayPage{Showing: r.QueryParam("show")}
	err := r.read(func(tx pgx.Tx) error {
		var err error
		if p.Board, err = maintenance.Today(r.ctx, tx, r.now); err != nil {
			return err
		}
		if r.who.Has(subscribers...) {
			if p.Broken, err = webhooks.Broken(r.ctx, tx); err != nil {
				return err
			}
		}
		open, err := maintenance.Cases(r.ctx, tx, maintenance.CaseFilter{Open: true, Limit: 100})
		p.Cases = open.Items
		slices.SortStableFunc(p.Cases, func(a, b maintenance.CaseRow) int { return pressing(a) - pressing(b) })
		return err
	})
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "nav.today", todayView(r.view, p))
}

// pressing orders the day's cases: a machine that is down, then what is going wrong
// by its severity, then what waits for somebody else.
func pressing(c maintenance.CaseRow) int {
	switch {
	case c.MachineDown && c.State != maintenance.AwaitingCallback:
		return 0
	case c.State == maintenance.Waiting, c.State == maintenance.Deferred:
		return 8
	case c.State == maintenance.AwaitingCallback, c.State == maintenance.Satisfied:
		return 9
	}
	return 1 + slices.Index([]machines.Severity{machines.Alarm, machines.Warning, machines.Advice, machines.Info}, c.Severity)
}

// casesPage lists cases: open ones first, or all.
type casesPage struct {
	Cases  machines.Page[maintenance.CaseRow]
	All    bool
	Search string
}

func showCases(_ *Site, r *request) error {
	p := casesPage{All: r.QueryParam("all") != "", Search: r.QueryParam("q")}
	err := r.read(func(tx pgx.Tx) error {
		var err error
		p.Cases, err = maintenance.Cases(r.ctx, tx, maintenance.CaseFilter{Open: !p.All, Search: p.Search, Limit: 50, Cursor: r.QueryParam("cursor")})
		return err
	})
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "nav.cases", casesView(r.view, p))
}

// machinesPage lists machines: the fleet for staff, "my machines" for an owner.
type machinesPage struct {
	Machines machines.Page[machines.Row]
	Health   string
	Kind     string
	Search   string
	Owner    bool
	Cases    map[string]maintenance.CaseRow // open case by machine id
}

func showMachines(_ *Site, r *request) error {
	p := machinesPage{Health: r.QueryParam("health"), Kind: r.QueryParam("kind"), Search: r.QueryParam("q"),
		Owner: r.who.Role.CustomerScoped(), Cases: map[string]maintenance.CaseRow{}}
	err := r.read(func(tx pgx.Tx) error {
		var err error
		p.Machines, err = machines.List(r.ctx, tx, machines.Filter{Health: p.Health, Kind: p.Kind, Search: p.Search, Limit: 100, Cursor: r.QueryParam("cursor")})
		if err != nil {
			return err
		}
		if !p.Owner {
			return nil
		}
		slices.SortStableFunc(p.Machines.Items, func(a, b machines.Row) int { return worst(a.Health) - worst(b.Health) })
		open, err := maintenance.Cases(r.ctx, tx, maintenance.CaseFilter{Open: true, Limit: 200})
		for _, c := range open.Items {
			p.Cases[c.MachineID.String()] = c
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "nav.machines", machinesView(r.view, p))
}

// worst orders an owner's machines: what needs him comes first.
func worst(h machines.Health) int {
	return slices.Index([]machines.Health{machines.Faulty, machines.ThirdState, machines.Unknown, machines.Well}, h)
}

const oneClickSQL = `SELECT login, name, name_en, role FROM app_user WHERE one_click AND disabled_at IS NULL ORDER BY created_at, login`

func (s *Site) logins(r *request) ([]oneClickLogin, error) {
	var list []oneClickLogin
	err := postgres.As(r.ctx, s.Pool, identity.Program("sign-in"), func(tx pgx.Tx) error {
		var err error
		list, err = postgres.All[oneClickLogin](r.ctx, tx, oneClickSQL, nil)
		return err
	})
	return list, err
}
