package dashboards

import (
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
)

func (r *request) deadLetter() (int64, error) {
	id, err := strconv.ParseInt(r.Param("id"), 10, 64)
	if err != nil {
		return 0, r.refusal(problem.NotFound, "error.not_found")
	}
	return id, nil
}

func doReplay(r *request, tx pgx.Tx) (string, error) {
	id, err := r.deadLetter()
	if err != nil {
		return "", err
	}
	return r.t("done.replay"), telemetry.ReplayDeadLetter(r.ctx, tx, r.site.IntakeLog, r.now, r.who, id)
}

func doDiscard(r *request, tx pgx.Tx) (string, error) {
	id, err := r.deadLetter()
	if err != nil {
		return "", err
	}
	return r.t("done.discard"), telemetry.DiscardDeadLetter(r.ctx, tx, r.now, r.who, id, r.FormValue("reason"))
}

func doClaim(r *request, tx pgx.Tx) (string, error) {
	machine, err := machines.ByKey(r.ctx, tx, r.FormValue("machine"))
	if err != nil {
		return "", err
	}
	return r.t("done.claim"), telemetry.Claim(r.ctx, tx, r.site.IntakeLog, r.now, r.who, r.FormValue("key"), machine.ID)
}

// doAdvance asks the demo to live through the next hours.
func doAdvance(r *request, _ pgx.Tx) (string, error) {
	hours, err := strconv.Atoi(r.FormValue("hours"))
	if err != nil || hours < 1 || hours > 24*7 || r.site.Demo == nil {
		return "", r.refusal(problem.Invalid, "error.number")
	}
	return "", r.site.Demo.Advance(time.Duration(hours) * time.Hour)
}
