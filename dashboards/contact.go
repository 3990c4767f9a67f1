package dashboards

import (
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/detection"
)

// callbacksPage is the call centre's queue.
type callbacksPage struct {
	Due   []maintenance.CallbackRow
	Later []maintenance.CallbackRow
}

func showCallbacks(_ *Site, r *request) error {
	var p callbacksPage
	err := r.read(func(tx pgx.Tx) error {
		all, err := maintenance.Callbacks(r.ctx, tx, r.now, maintenance.CallbackFilter{State: "due", Limit: 200})
		for _, c := range all {
			if c.DueAt.After(r.now) {
				p.Later = append(p.Later, c)
			} else {
				p.Due = append(p.Due, c)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "nav.callbacks", callbacksView(r.view, p))
}

// callbackPage is one call: who, why, the first sentence, the outcome.
type callbackPage struct {
	Callback maintenance.CallbackRow
	Case     maintenance.CaseFile
}

func showCallback(_ *Site, r *request) error {
	id, err := r.id()
	if err != nil {
		return err
	}
	var p callbackPage
	err = r.read(func(tx pgx.Tx) error {
		if p.Callback, err = maintenance.GetCallback(r.ctx, tx, id); err != nil {
			return err
		}
		p.Case, err = maintenance.GetCase(r.ctx, tx, r.who, p.Callback.CaseID)
		return err
	})
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "callback.title", callbackView(r.view, p))
}

func doAttempt(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	_, c, err := maintenance.Attempt(r.ctx, tx, r.now, r.who, id, maintenance.CallbackResult{Outcome: r.FormValue("outcome"), Note: r.FormValue("note")})
	if err != nil {
		return "", err
	}
	return r.t("done.case", r.t("case_state."+string(c.State))), nil
}

// callerPage is the screen pop: a number rings, and the first sentence is there.
type callerPage struct {
	Phone  string
	Caller *maintenance.CallerFile
	Known  bool
}

func showCaller(_ *Site, r *request) error {
	p := callerPage{Phone: r.QueryParam("phone")}
	if p.Phone != "" {
		err := r.read(func(tx pgx.Tx) error {
			found, err := maintenance.Caller(r.ctx, tx, r.now, p.Phone)
			if problem.Of(err) == problem.NotFound {
				return nil
			}
			p.Caller, p.Known = &found, err == nil
			return err
		})
		if err != nil {
			return err
		}
	}
	return r.render(http.StatusOK, "nav.caller", callerView(r.view, p))
}

// meetingPage is the pack for the monthly representatives' meeting.
type meetingPage struct{ Pack maintenance.Pack }

func showMeeting(_ *Site, r *request) error {
	month := time.Date(r.now.Year(), r.now.Month(), 1, 0, 0, 0, 0, time.UTC)
	if m, err := time.Parse("2006-01", r.QueryParam("month")); err == nil {
		month = m
	}
	var customer *uuid.UUID
	if r.who.Role.CustomerScoped() {
		customer = &r.who.CustomerID
	}
	pack, err := maintenance.MeetingPack(r.ctx, r.site.Pool, r.who, r.now, month, customer)
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "nav.meeting", meetingView(r.view, meetingPage{pack}))
}

// fixPage is fault-to-fix: where the hours go.
type fixPage struct {
	Report maintenance.FixReport
	Days   int
}

func showFaultToFix(_ *Site, r *request) error {
	p := fixPage{Days: 30}
	if n, err := strconv.Atoi(r.QueryParam("days")); err == nil && n >= 1 && n <= 366 {
		p.Days = n
	}
	err := r.read(func(tx pgx.Tx) error {
		var err error
		p.Report, err = maintenance.FaultToFix(r.ctx, tx, r.now.Add(-time.Duration(p.Days)*24*time.Hour), r.now)
		return err
	})
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "nav.fault_to_fix", fixView(r.view, p))
}

// intakePage shows that nothing is lost, and what could not be read.
type intakePage struct {
	Status    IntakeStatus
	Account   telemetry.Account
	Dead      []telemetry.DeadLetter      // the newest ones
	Groups    []telemetry.DeadLetterGroup // all that are open
	Open      int64                       // letters of these
	Held      []detection.Held
	Unclaimed []telemetry.Unclaimed
	Sequences telemetry.SequenceTotals
	Gaps      []telemetry.SequenceGap // the newest ones that are open
}

func showIntake(s *Site, r *request) error {
	var p intakePage
	if s.Intake != nil {
		p.Status = s.Intake()
	}
	logID, err := uuid.Parse(p.Status.LogID)
	if err != nil {
		logID = uuid.Nil
	}
	err = r.read(func(tx pgx.Tx) error {
		if p.Account, err = telemetry.ReadAccount(r.ctx, tx, logID, p.Status.Last); err != nil {
			return err
		}
		if p.Sequences, err = telemetry.ReadSequenceTotals(r.ctx, tx, uuid.Nil); err != nil {
			return err
		}
		gaps, err := telemetry.SequenceGaps(r.ctx, tx, telemetry.GapFilter{State: "open", Limit: 20})
		if err != nil {
			return err
		}
		p.Gaps = gaps.Items
		if p.Dead, err = telemetry.DeadLetters(r.ctx, tx, telemetry.DeadLetterFilter{State: "open", Limit: 50}); err != nil {
			return err
		}
		if p.Groups, err = telemetry.DeadLetterGroups(r.ctx, tx); err != nil {
			return err
		}
		for _, g := range p.Groups {
			p.Open += g.Open
		}
		if p.Held, err = detection.HeldOutcomes(r.ctx, tx); err != nil {
			return err
		}
		p.Unclaimed, err = telemetry.ListUnclaimed(r.ctx, tx, 50)
		return err
	})
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "nav.intake", intakeView(r.view, p))
}
