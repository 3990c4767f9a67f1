package dashboards

import (
	"cmp"
	"math"
	"net/http"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/telemetry/lifespan"
)

// livesPage is how much life machines have left, and what says so.
type livesPage struct {
	Lives  []lifespan.MachineLifespan
	Models []lifespan.Learnt
}

func showLives(s *Site, r *request) error {
	var p livesPage
	err := r.read(func(tx pgx.Tx) (err error) {
		p.Lives, err = lifespan.Shortest(r.ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	if s.Lives != nil {
		p.Models = s.Lives.Models()
	}
	return r.render(http.StatusOK, "nav.lives", livesView(r.view, p))
}

// lasts says how much life is left: "about 340 h left (210 to 520 h, 80 %)".
func (v view) lasts(l lifespan.Lifespan) string {
	if l.Remaining == nil {
		return v.T("lives.reason." + l.Reason)
	}
	low, about, unit := v.lifetime(three(*l.Low)), v.lifetime(three(*l.Remaining)), v.lifeUnit(l.Unit)
	switch {
	case l.Beyond:
		return v.T("lives.beyond", low, unit)
	case l.High == nil:
		return v.T("lives.or_more", about, unit, low, unit)
	}
	return v.T("lives.about", about, unit, low, v.lifetime(three(*l.High)), unit)
}

// three keeps three digits: nobody knows more.
func three(x float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(math.Max(1, x)))-2)
	return unit * math.Round(x/unit)
}

// lifeOf lists what a remaining life is of, and from when.
func (v view) lifeOf(l lifespan.MachineLifespan) (parts []string) {
	if l.Component != "" {
		parts = append(parts, cmp.Or(v.Name(l.ComponentName, l.ComponentEN), l.Component))
	}
	if l.Age != nil {
		parts = append(parts, v.T("lives.age", v.lifetime(*l.Age), v.lifeUnit(l.Unit)))
	}
	if l.SaidAt != nil {
		parts = append(parts, v.T("lives.at", v.Time(*l.SaidAt)))
	}
	if !l.FromNew {
		parts = append(parts, v.T("lives.late"))
	}
	return parts
}

// lifetime writes an age: small ones with a tenth.
func (v view) lifetime(x float64) string {
	if x > 0 && x < 10 {
		return v.Number(x, 1)
	}
	return v.Number(math.Round(x), 0)
}

func (v view) lifeUnit(unit string) string {
	if key := "lives.unit." + unit; v.has(key) {
		return v.T(key)
	}
	return unit
}
