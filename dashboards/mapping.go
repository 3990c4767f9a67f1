package dashboards

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/internal/ucum"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
)

// ignoreSignal stands in the choice of signals for "none of them". No signal is
// called so.
const ignoreSignal = "-"

// showSignalMachines lists the machines with telematics: the signals of each have a
// page of their own.
func showSignalMachines(_ *Site, r *request) error {
	p := signalMachinesPage{Search: r.QueryParam("q")}
	err := r.read(func(tx pgx.Tx) (err error) {
		p.Machines, err = machines.List(r.ctx, tx, machines.Filter{Search: p.Search, Limit: 100, Cursor: r.QueryParam("cursor")})
		return err
	})
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "nav.signals", signalMachinesView(r.view, p))
}

// signalMachinesPage is a part of the machines, to choose from.
type signalMachinesPage struct {
	Search   string
	Machines machines.Page[machines.Row]
}

func showSignals(s *Site, r *request) error {
	id, err := r.id()
	if err != nil {
		return err
	}
	return s.showLegend(r, id, r.QueryParam("device"))
}

// showUnclaimedSignals shows what an unclaimed device sends as the signals of the
// machine whose it shall become.
func showUnclaimedSignals(s *Site, r *request) error {
	var machine machines.Machine
	err := r.read(func(tx pgx.Tx) (err error) {
		machine, err = machines.ByKey(r.ctx, tx, r.QueryParam("machine"))
		return err
	})
	if err != nil {
		return err
	}
	return s.showLegend(r, machine.ID, r.QueryParam("key"))
}

func (s *Site) showLegend(r *request, machine uuid.UUID, device string) error {
	l, err := s.legend(r, machine, device)
	if err != nil {
		return err
	}
	r.view.Title = r.t("mapping.title", l.Machine.Key)
	return r.renderTitled(http.StatusOK, legendView(r.view, l))
}

func (s *Site) legend(r *request, machine uuid.UUID, device string) (l *telemetry.Legend, err error) {
	err = r.read(func(tx pgx.Tx) error {
		l, err = telemetry.ReadLegend(r.ctx, tx, machine, device)
		return err
	})
	if err != nil {
		return nil, err
	}
	return l, l.AddHistory(r.ctx, s.History)
}

// showSignalPreview is the part of the page that changes while one chooses: the
// newest values as they would be, or why they cannot be.
func showSignalPreview(s *Site, r *request) error {
	id, err := r.id()
	if err != nil {
		return err
	}
	l, err := s.legend(r, id, r.QueryParam("device"))
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	if err := previewIn(r.view, l, r.QueryParam("raw"), r.QueryParam("signal"), r.QueryParam("unit")).Render(r.ctx, &buf); err != nil {
		return err
	}
	r.Response().Header().Set("Content-Type", echo.MIMETextHTMLCharsetUTF8)
	return r.HTMLBlob(http.StatusOK, buf.Bytes())
}

func doMapping(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	machine, err := machines.Get(r.ctx, tx, id)
	if err != nil {
		return "", err
	}
	m := telemetry.Mapping{MachineID: &id, Raw: r.FormValue("raw"), Signal: r.FormValue("signal"), Unit: r.FormValue("unit")}
	switch m.Signal {
	case "":
		return "", r.refusal(problem.Invalid, "mapping.unchosen")
	case ignoreSignal:
		m.Signal, m.Unit, m.Ignored = "", "", true
	}
	if r.FormValue("model") != "" && machine.ModelID != nil {
		m.MachineID, m.ModelID = nil, machine.ModelID
	}
	_, err = telemetry.PutMapping(r.ctx, tx, r.site.IntakeLog, r.now, r.who, m)
	return r.t("done.mapping"), err
}

func doUnmap(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	return r.t("done.unmap"), telemetry.DeleteMapping(r.ctx, tx, r.site.IntakeLog, r.now, r.who, id)
}

// chosen is the signal that stands in the choice when the page opens: what the name
// means, else what it is most like.
func chosen(n telemetry.RawSignal) string {
	switch {
	case n.Mapping != nil && n.Mapping.Ignored:
		return ignoreSignal
	case n.Mapping != nil:
		return n.Mapping.Signal
	case n.Known:
		return n.Raw
	}
	return n.Suggested
}

// chosenUnit is the unit that stands there: the mapping's, else the one that the sender
// names, else the signal's own.
func chosenUnit(l *telemetry.Legend, n telemetry.RawSignal) string {
	if n.Mapping != nil {
		return n.Mapping.Unit
	}
	if s := l.Signal(chosen(n)); s != nil {
		return l.UnitFor(n, s)
	}
	return ""
}

// unitsOf are the units of what the model measures that can be chosen.
func unitsOf(l *telemetry.Legend) []string {
	seen := map[string]bool{}
	var units []string
	for i := range l.Signals {
		for _, u := range append([]string{l.Signals[i].Unit}, ucum.Alike(l.Signals[i].Unit)...) {
			if u != "" && !seen[u] {
				seen[u] = true
				units = append(units, u)
			}
		}
	}
	return units
}

// significant writes a value with at most six figures.
func significant(value float64) string { return strconv.FormatFloat(value, 'g', 6, 64) }
