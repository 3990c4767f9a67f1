package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/gate"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// trial is a gate over the world of maintenance, with one rule in force.
type trial struct {
	*testing.T
	w       *maintenancetest.World
	gate    *gate.Gate
	fleet   *detection.Fleet
	pack    *rules.Pack
	rule    *rules.Rule
	manager identity.Principal
	now     time.Time
	flagged int
}

func newTrial(t *testing.T) *trial { t.Helper(); return trialOf(t, pumpPack) }

func trialOf(t *testing.T, text string) *trial {
	t.Helper()
	pool := postgrestest.New(t)
	pack, err := rules.Parse("pump.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	y := &trial{T: t, w: maintenancetest.New(t, pool), pack: pack, now: maintenancetest.Now}
	y.rule, _ = pack.Rule("oil-hot")
	y.fleet = detection.NewFleet(map[string]*rules.Pack{pack.Model: pack})
	y.gate = newGate(pool, clock.New(y.now, 0, nil), slog.New(slog.DiscardHandler), y.fleet, history.NewPostgres(pool), gateSettings{Trust: 0.2})
	y.manager = y.w.Principal(y.w.Staff[identity.ServiceManager])
	return y
}

func (y *trial) do(fn func(ctx context.Context, tx pgx.Tx) error) {
	y.Helper()
	ctx := identity.With(y.Context(), maintenancetest.Program)
	if err := postgres.As(ctx, y.w.Pool, maintenancetest.Program, func(tx pgx.Tx) error { return fn(ctx, tx) }); err != nil {
		y.Fatal(err)
	}
}

func (y *trial) stage(s machines.Stage) {
	y.Helper()
	y.do(func(ctx context.Context, tx pgx.Tx) error {
		_, err := y.gate.SetStage(ctx, tx, y.now, y.manager, y.pack.Hash, y.rule.ID, s, "by hand")
		return err
	})
	if err := y.gate.Refresh(y.Context()); err != nil {
		y.Fatal(err)
	}
}

// change is news of the rule's finding that opened at an instant, as the runner tells it.
func (y *trial) change(what machines.Change, opened time.Time) machines.FindingChange {
	y.now = y.now.Add(time.Minute)
	c := machines.FindingChange{Change: what, Stage: y.fleet.Stages()[detection.RuleKey{Rule: y.rule.ID, Hash: y.rule.Hash()}], Finding: machines.Finding{MachineID: y.w.B.Bare.ID, Rule: y.rule.ID,
		RuleHash: y.rule.Hash(), FailureMode: y.rule.FailureMode, Title: "油温过高", TitleEN: "Oil too hot", Severity: machines.Warning, Source: "rule", OpenedAt: opened, DetectedAt: y.now, UpdatedAt: y.now}}
	if what == machines.FindingClosed {
		c.Finding.CloseReason, c.Finding.ClosedAt = "cleared", &y.now
	}
	return c
}

// tell lets changes have their effect by the way that the runner's have, and gives the
// machine's open cases of the rule.
func (y *trial) tell(list ...machines.FindingChange) (open []maintenance.CaseRow) {
	y.Helper()
	y.do(func(ctx context.Context, tx pgx.Tx) error {
		if err := apply(ctx, tx, y.now, detection.News{Changes: list}); err != nil {
			return err
		}
		page, err := maintenance.Cases(ctx, tx, maintenance.CaseFilter{MachineID: &y.w.B.Bare.ID, Open: true})
		for _, c := range page.Items {
			if c.FailureMode == y.rule.FailureMode {
				open = append(open, c)
			}
		}
		return err
	})
	return open
}

// judged raises one flag and lets people find what it was.
func (y *trial) judged(verdict string) {
	y.Helper()
	y.flagged++
	opened := y.now
	open := y.tell(y.change(machines.FindingOpened, opened))
	if len(open) != 1 {
		y.Fatalf("flag %d opened %d cases", y.flagged, len(open))
	}
	y.do(func(ctx context.Context, tx pgx.Tx) error {
		_, err := maintenance.MoveCase(ctx, tx, y.now, y.manager, open[0].ID, maintenance.CaseMove{To: maintenance.Cancelled, Reason: "looked at on site", Verdict: verdict})
		return err
	})
	y.tell(y.change(machines.FindingClosed, opened))
	if err := y.gate.Review(y.Context(), y.now); err != nil {
		y.Fatal(err)
	}
}

func (y *trial) is(want machines.Stage) {
	y.Helper()
	if got := y.fleet.Stages()[detection.RuleKey{Rule: y.rule.ID, Hash: y.rule.Hash()}]; got != want {
		y.Fatalf("after %d flags the rule is in %q, want %q", y.flagged, got, want)
	}
}

// By hand (see TestTrust): four false verdicts in a row bring the lower end of
// Beta(4, 1+n) below 0.2. One true one, Beta(5, 1+n), takes two more of them.
func TestGate_ARuleWhoseFlagsAreFalseGoesDownByItself(t *testing.T) {
	t.Parallel()
	y := newTrial(t)
	for range 3 { // it came with the program: nobody has given it a stage
		y.judged("false_alarm")
		y.is("")
	}
	y.judged("unclear") // says nothing
	y.is("")
	y.judged("false_alarm")
	y.is(machines.Advise)
	y.do(func(ctx context.Context, tx pgx.Tx) error {
		said, err := postgres.Values[string](ctx, tx, `SELECT text_en FROM notice WHERE text_en LIKE 'Rule oil-hot%' AND channel = 'page' AND recipient = '`+y.manager.Name+`'`, nil)
		if err != nil || len(said) != 1 || !strings.Contains(said[0], "from dispatch to advise: 4 of 4 judged flags were false") {
			t.Errorf("the manager was told %q, %v", said, err)
		}
		wrote, err := postgres.Values[string](ctx, tx, `SELECT actor FROM audit WHERE entity = 'rule_stage' AND action = 'demoted' AND after->>'stage' = 'advise' AND actor = 'rule gate'`, nil)
		if err != nil || len(wrote) != 1 {
			t.Errorf("the audit log has %q, %v", wrote, err)
		}
		return err
	})
	// The old verdicts cost it one stage and not two: it takes as many new ones.
	for range 3 {
		y.judged("false_alarm")
		y.is(machines.Advise)
	}
	y.judged("false_alarm")
	y.is(machines.Shadow)
	if open := y.tell(y.change(machines.FindingOpened, y.now)); len(open) != 0 {
		t.Errorf("in the shadow it opens %+v", open)
	}
	y.stage(machines.Advise) // only a person takes it up again
	y.is(machines.Advise)
	y.judged("true")
	for range 5 {
		y.is(machines.Advise)
		y.judged("false_alarm")
	}
	y.is(machines.Advise)
	y.judged("false_alarm")
	y.is(machines.Shadow)
}

// An alarm that cries wolf waits for a person's look; into the shadow only people put it.
func TestGate_AnAlarmIsNotSilencedByItself(t *testing.T) {
	t.Parallel()
	y := trialOf(t, strings.Replace(pumpPack, "severity: warning", "severity: alarm", 1))
	for range 4 {
		y.judged("false_alarm")
	}
	y.is(machines.Advise)
	for range 8 {
		y.judged("false_alarm")
	}
	y.is(machines.Advise)
}

// What is found in the shadow is kept and counted and nobody is told; when the rule
// has left the shadow an episode that goes on becomes everybody's with its next news.
func TestGate_TheShadowIsKeptAndToldToNobody(t *testing.T) {
	t.Parallel()
	y := newTrial(t)
	y.stage(machines.Shadow)
	before := y.counts()
	first, second := y.now, y.now.Add(time.Hour)
	open := y.change(machines.FindingOpened, first)
	y.tell(open)
	y.tell(open) // twice is once
	y.tell(y.change(machines.FindingClosed, first))
	y.tell(y.change(machines.FindingOpened, second))
	y.tell(y.change(machines.FindingUpdated, second))
	if after := y.counts(); after != before {
		t.Errorf("somebody was told: %s, before %s", after, before)
	}
	if h := y.health(); h.Stage != machines.Shadow || !h.Muted || h.LastFinding == nil || h.FlagsPerDay != 0 || h.ShadowPerDay != 2.0/30 {
		t.Errorf("%+v", h)
	}
	y.stage(machines.Advise)
	if cases := y.tell(y.change(machines.FindingUpdated, second)); len(cases) != 1 || !cases[0].Advised {
		t.Fatalf("after its promotion: %+v", cases)
	}
	y.stage(machines.Shadow)
	if cases := y.tell(y.change(machines.FindingClosed, second)); len(cases) != 1 {
		t.Errorf("its case is gone: %+v", cases)
	}
	y.do(func(ctx context.Context, tx pgx.Tx) error {
		page, err := gate.ShadowFindings(ctx, tx, gate.ShadowFilter{Rule: y.rule.ID})
		if err != nil || len(page.Items) != 2 || page.Items[0].CloseReason != "promoted" || page.Items[1].CloseReason != "cleared" {
			t.Errorf("%+v, %v", page.Items, err)
		}
		list, err := machines.OpenFindings(ctx, tx, y.w.B.Bare.ID)
		for _, f := range list {
			if f.Rule == y.rule.ID {
				t.Errorf("its end in the shadow was lost: %+v", f)
			}
		}
		return err
	})
}

// counts is what others see and hear.
func (y *trial) counts() (text string) {
	y.do(func(ctx context.Context, tx pgx.Tx) error {
		for _, table := range []string{"finding", "service_case", "notice", "callback", "lifecycle_event", "health_change", "webhook_delivery", "audit"} {
			n, err := postgres.Value[int](ctx, tx, "SELECT count(*) FROM "+table, nil)
			if err != nil {
				return err
			}
			text += fmt.Sprint(table, " ", n, " ")
		}
		return nil
	})
	return text
}

func (y *trial) health() (h gate.RuleHealth) {
	y.do(func(ctx context.Context, tx pgx.Tx) error {
		list, err := y.gate.Health(ctx, tx, y.now)
		for _, one := range list {
			if one.Rule == y.rule.ID {
				h = one
			}
		}
		return err
	})
	return h
}
