package maintenance

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// lawful is what the product page says of a case's moves (row D1), written down a
// second time and by role: A admin, M service manager, D dispatcher, E field
// engineer, C call centre, O owner-admin. Viewers and representatives move nothing.
const lawful = `
open               triaged            AMDC
open               informed           AMDC
open               waiting            AMDEC
open               cancelled          AMD
triaged            informed           AMDC
triaged            remote_guidance    AMDEC
triaged            waiting            AMDEC
triaged            cancelled          AMD
informed           planned            AMDO
informed           remote_guidance    AMDEC
informed           deferred           AMDCO
informed           waiting            AMDEC
informed           cancelled          AMD
planned            informed           AMD
planned            in_work            AMDE
planned            deferred           AMDCO
planned            waiting            AMDEC
planned            cancelled          AMD
in_work            verifying          AMDE
in_work            waiting            AMDEC
in_work            cancelled          AMD
verifying          awaiting_callback  AM
verifying          in_work            AMD
verifying          waiting            AMDEC
awaiting_callback  satisfied          O
awaiting_callback  in_work            AMCO
awaiting_callback  waiting            AMDEC
satisfied          closed             AMC
satisfied          waiting            AMDEC
remote_guidance    verifying          AMDEC
remote_guidance    informed           AMDEC
remote_guidance    waiting            AMDEC
remote_guidance    cancelled          AMD
deferred           informed           AMDCO
deferred           waiting            AMDEC
deferred           cancelled          AMD
`

var roleLetters = map[identity.Role]string{identity.Admin: "A", identity.ServiceManager: "M", identity.Dispatcher: "D", identity.FieldEngineer: "E",
	identity.CallCentre: "C", identity.OwnerAdmin: "O", identity.OwnerViewer: "-", identity.CustomerRepresentative: "-"}

func lawfulMoves(t *testing.T) map[[2]CaseState]string {
	t.Helper()
	moves := map[[2]CaseState]string{}
	for line := range strings.Lines(strings.TrimSpace(lawful)) {
		f := strings.Fields(line)
		moves[[2]CaseState{CaseState(f[0]), CaseState(f[1])}] = f[2]
	}
	return moves
}

// standing is a case in a state; a waiting one waited first in another.
func standing(state, before CaseState) Case {
	c := Case{State: state}
	if state == Waiting {
		c.PreviousState = before
	}
	return c
}

func TestCaseMoves_AreThoseOfTheProductPage(t *testing.T) {
	t.Parallel()
	moves := lawfulMoves(t)
	for _, from := range CaseStates {
		for _, to := range CaseStates {
			if from == Waiting {
				continue
			}
			step := stepOf(standing(from, ""), to)
			want, ok := moves[[2]CaseState{from, to}]
			if (step != nil) != ok {
				t.Errorf("%s to %s: stands in the table: %v, want %v", from, to, step != nil, ok)
				continue
			}
			for role, letter := range roleLetters {
				if step != nil && step.mayTake(role) != strings.Contains(want, letter) {
					t.Errorf("%s to %s by %s: %v", from, to, role, step.mayTake(role))
				}
			}
			if step != nil && !step.mayTake(identity.System) {
				t.Errorf("%s to %s: the program may not", from, to)
			}
		}
	}
}

func TestCaseMoves_WaitingGoesBackAndIsNoWayAround(t *testing.T) {
	t.Parallel()
	for _, before := range CaseStates {
		if before.Ended() || before == Waiting {
			continue
		}
		want := []CaseState{before}
		if stepOf(Case{State: before}, Cancelled) != nil {
			want = append(want, Cancelled)
		}
		got := nextStates(standing(Waiting, before), identity.ServiceManager)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("waiting since %s: %v, want %v", before, got, want)
		}
	}
	for _, ended := range []CaseState{Closed, Cancelled} {
		if next := nextStates(Case{State: ended}, identity.Admin); len(next) > 0 {
			t.Errorf("%s goes on to %v", ended, next)
		}
	}
}

func TestCaseMoves_EveryStateIsReachedAndEnds(t *testing.T) {
	t.Parallel()
	reached := map[CaseState]bool{Open: true}
	for range CaseStates {
		for _, from := range CaseStates {
			for _, to := range nextStates(standing(from, Open), identity.System) {
				reached[to] = reached[to] || reached[from]
			}
		}
	}
	for _, s := range CaseStates {
		if !reached[s] {
			t.Errorf("%s is never reached", s)
		}
		if text := s.Text(); text.EN == string(s) && strings.Contains(text.EN, "_") || text.ZH == string(s) {
			t.Errorf("%s has no name in both languages", s)
		}
	}
}

// roles are everybody who could ask.
func everyRole() []identity.Role { return append(slices.Clone(identity.Roles), identity.System) }

// Every state, every target, every role, on the database: what the table has not
// is a conflict that names what is allowed, what a role may not is forbidden, and
// a refused move leaves no trace.
func TestMoveCase_AllMovesOfAllRoles(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	moves := lawfulMoves(t)
	until := morning.Add(72 * time.Hour)
	for _, from := range CaseStates {
		o.do(t, func(ctx context.Context, tx pgx.Tx) error {
			c := o.aCase(ctx, t, tx, o.a, from, "mode_"+string(from))
			before := traces(ctx, t, tx)
			for _, to := range CaseStates {
				for _, role := range everyRole() {
					roles, stands := moves[[2]CaseState{from, to}]
					if from == Waiting { // since informed, see aCase
						roles, stands = map[CaseState]string{Informed: "AMDEC", Cancelled: "AMD"}[to], to == Informed || to == Cancelled
					}
					who := identity.Principal{Name: "tester", Role: role, Language: "en"}
					inner, err := tx.Begin(ctx)
					if err != nil {
						return err
					}
					moved, err := MoveCase(ctx, inner, morning, who, c.ID, CaseMove{To: to, Reason: "why", Person: "Liu Jianguo", Until: &until, VisitAt: &until, WaitingFor: "parts"})
					switch {
					case !stands:
						if p := problem.As(err); p == nil || p.Kind != problem.Conflict || !slices.Equal(p.Allowed, stateNames(nextStates(c, role))) || p.ZH == "" {
							t.Errorf("%s to %s by %s: %+v, want a conflict that names what is allowed", from, to, role, p)
						}
					case role != identity.System && !strings.Contains(roles, roleLetters[role]):
						wantProblem(t, err, problem.Forbidden)
					case err != nil || moved.State != to || moved.Version != c.Version+1:
						t.Errorf("%s to %s by %s: %s, %v", from, to, role, moved.State, err)
					}
					if err != nil {
						if after := traces(ctx, t, inner); after != before {
							t.Errorf("%s to %s by %s was refused and left a trace", from, to, role)
						}
					}
					if err := inner.Rollback(ctx); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
}

// traces counts what a write leaves behind.
func traces(ctx context.Context, t *testing.T, tx pgx.Tx) int {
	t.Helper()
	return noted(ctx, t, tx, `SELECT (SELECT count(*) FROM audit) + (SELECT count(*) FROM case_move) + (SELECT count(*) FROM lifecycle_event) + (SELECT count(*) FROM notice)`, nil)
}

func TestMoveCase_StaleVersionIsRefused(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	c, _ := o.calling(t, o.a, Open, "inform")
	err := o.as(t, o.manager, func(ctx context.Context, tx pgx.Tx) error {
		_, err := MoveCase(ctx, tx, morning, o.manager, c.ID, CaseMove{To: Triaged, Version: c.Version + 1})
		return err
	})
	wantProblem(t, err, problem.PreconditionFailed)
}

func TestMoveCase_SaysAllThatIsMissing(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for _, tc := range []struct {
		from, to CaseState
		pointers []string
	}{
		{Informed, Deferred, []string{"/until", "/person", "/reason"}},
		{Informed, Waiting, []string{"/waitingFor"}},
		{Open, Cancelled, []string{"/reason"}},
	} {
		o.do(t, func(ctx context.Context, tx pgx.Tx) error {
			c := o.aCase(ctx, t, tx, o.a, tc.from, string(tc.from+tc.to))
			_, err := MoveCase(ctx, tx, morning, o.manager, c.ID, CaseMove{To: tc.to})
			p := problem.As(err)
			if p == nil || p.Kind != problem.Invalid {
				t.Errorf("%s: %v, want invalid", tc.to, err)
				return nil
			}
			for i, want := range tc.pointers {
				if i >= len(p.Fields) || p.Fields[i].Pointer != want {
					t.Errorf("%s: faults %+v, want %v", tc.to, p.Fields, tc.pointers)
				}
			}
			return nil
		})
	}
}
