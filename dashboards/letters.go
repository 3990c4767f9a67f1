package dashboards

import (
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/detection"
)

func (r *request) letterGroup() telemetry.LetterGroup {
	return telemetry.LetterGroup{Source: r.FormValue("source"), Decoder: r.FormValue("decoder"), Reason: r.FormValue("reason")}
}

func doReplayGroup(r *request) (string, error) {
	out, err := telemetry.ReplayGroup(r.ctx, r.site.Pool, r.site.IntakeLog, r.site.Clock, r.who, r.letterGroup())
	if err != nil {
		return "", err
	}
	text := r.t("done.replay_group", out.Replayed, out.Settled, out.Failed)
	if out.Waiting > 0 {
		text += " " + r.t("done.replay_waiting", out.Waiting)
	}
	if out.Impossible > 0 {
		text += " " + r.t("done.replay_impossible", out.Impossible)
	}
	return text + r.leftOver(out.Left), nil
}

func doDiscardGroup(r *request) (string, error) {
	out, err := telemetry.DiscardGroup(r.ctx, r.site.Pool, r.site.Clock, r.who, r.letterGroup(), r.FormValue("why"))
	if err != nil {
		return "", err
	}
	return r.t("done.discard_group", out.Discarded) + r.leftOver(out.Left), nil
}

func (r *request) leftOver(letters int64) string {
	if letters == 0 {
		return ""
	}
	return " " + r.t("done.group_left", letters)
}

func doRetryHeld(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	if r.site.Held == nil {
		return "", r.refusal(problem.NotFound, "error.not_found")
	}
	trial, err := r.site.Held.Try(r.ctx, tx, r.now, r.who, id)
	switch {
	case err != nil:
		return "", err
	case trial.Stored:
		return r.t("done.held_stored", trial.Changes), nil
	}
	return r.t("done.held_refused", trial.Detail), nil
}

func doDiscardHeld(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	if r.site.Held == nil {
		return "", r.refusal(problem.NotFound, "error.not_found")
	}
	return r.t("done.discard"), r.site.Held.Discard(r.ctx, tx, r.now, r.who, id, r.FormValue("reason"))
}

// heldText says what waits of a machine, and for what.
func heldText(v view, h detection.Held) string {
	text := v.reason(h.Reason) + " · " + v.Time(h.Since)
	if h.Failures > 0 {
		text += " · " + v.T("held.failures", h.Failures)
	}
	if h.Changes > 0 {
		text += " · " + v.T("held.changes", h.Changes)
	}
	if h.Dropped > 0 {
		text += " · " + v.T("held.dropped", h.Dropped)
	}
	if h.NextTryAt != nil {
		return text + " · " + v.T("held.next", h.Tries, v.Time(*h.NextTryAt))
	}
	return text
}
