package dashboards

import (
	"net/http"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
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
	parts := []string{model}
	for _, p := range []struct{ key, value string }{{"sweep.batch", s.Batch}, {"sweep.firmware", s.Firmware}, {"sweep.duty", s.Duty}} {
		if p.value != "" {
			parts = append(parts, v.T(p.key, p.value))
		}
	}
	return strings.Join(parts, " · ")
}
