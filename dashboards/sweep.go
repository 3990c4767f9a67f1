package dashboards

import (
	"net/http"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
)

func showSweeps(_ *Site, r *request) error {
	var list []maintenance.SweepRow
	err := r.read(func(tx pgx.Tx) (err error) {
		list, err = maintenance.Sweeps(r.ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "nav.sweeps", sweepsView(r.view, list))
}

func showSweep(_ *Site, r *request) error {
	id, err := r.id()
	if err != nil {
		return err
	}
	var file maintenance.SweepFile
	err = r.read(func(tx pgx.Tx) (err error) {
		file, err = maintenance.GetSweep(r.ctx, tx, id)
		return err
	})
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "nav.sweeps", sweepView(r.view, file))
}

// inSweep are the sweep and the machine that a form is about.
func (r *request) inSweep() (sweep, machine uuid.UUID, err error) {
	if sweep, err = r.id(); err != nil {
		return sweep, machine, err
	}
	if machine, err = uuid.Parse(r.FormValue("machine")); err != nil {
		return sweep, machine, problem.New(problem.NotFound, "no such machine in this sweep")
	}
	return sweep, machine, nil
}

func doSweepCase(r *request, tx pgx.Tx) (string, error) {
	sweep, machine, err := r.inSweep()
	if err != nil {
		return "", err
	}
	c, err := maintenance.OpenSweepCase(r.ctx, tx, r.now, r.who, sweep, machine)
	if err != nil {
		return "", err
	}
	return r.t("done.sweep_case", c.Number), nil
}

func doLooked(r *request, tx pgx.Tx) (string, error) {
	sweep, machine, err := r.inSweep()
	if err != nil {
		return "", err
	}
	if _, err := maintenance.LookedAt(r.ctx, tx, r.now, r.who, sweep, machine, r.FormValue("result"), r.FormValue("note")); err != nil {
		return "", err
	}
	return r.t("done.looked"), nil
}

// shared names what a sweep's machines have in common, as far as it is known.
func shared(v view, s maintenance.Sweep, model string) string {
	return known(v, model, [][2]string{{"sweep.batch", s.Batch}, {"sweep.firmware", s.Firmware}, {"sweep.duty", s.Duty}})
}

// making is how a component was made, as far as it is known.
func making(v view, c machines.Component) string {
	return known(v, c.Serial, [][2]string{{"sweep.batch", c.Batch}, {"sweep.firmware", c.Firmware}})
}

// known lists what is known beside a name: texts with their values.
func known(v view, name string, list [][2]string) string {
	parts := []string{}
	if name != "" {
		parts = append(parts, name)
	}
	for _, x := range list {
		if x[1] != "" {
			parts = append(parts, v.T(x[0], x[1]))
		}
	}
	return strings.Join(parts, " · ")
}
