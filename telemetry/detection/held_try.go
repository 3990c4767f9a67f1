package detection

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
)

// Trial is what came of trying a held outcome again.
type Trial struct {
	Stored  bool   `json:"stored" doc:"it is in the records, and nothing is held of the machine any more"`
	Changes int    `json:"changes"`
	Detail  string `json:"detail" doc:"why it is still refused"`
}

// Try tries again to store what is held of a machine.
func (s *Store) Try(ctx context.Context, tx pgx.Tx, now time.Time, who identity.Principal, machine uuid.UUID) (Trial, error) {
	r, err := heldFor(ctx, tx, machine)
	if err != nil {
		return Trial{}, err
	}
	kept := r.share()
	as, _ := program(ctx)
	err = postgres.Attempt(ctx, tx, func(tx pgx.Tx) error { return s.Apply(as, tx, now, kept.News) })
	switch {
	case err == nil:
		if err := r.free(ctx, tx, now, who, "stored", ""); err != nil {
			return Trial{}, err
		}
		return Trial{Stored: true, Changes: len(kept.Changes)}, nil
	case !postgres.Refused(err):
		return Trial{}, fmt.Errorf("try what is held of machine %s: %w", r.Machine, err)
	}
	fault := telemetry.RefusalOf(err)
	r.Reason, r.Detail, r.NextTryAt = fault.Reason, fault.Detail, nil
	if r.Tries++; r.Tries < heldTries {
		next := now.Add(heldPause(r.Tries))
		r.NextTryAt = &next
	}
	return Trial{Changes: len(kept.Changes), Detail: r.Detail}, r.save(ctx, tx)
}

// maxReason bounds why somebody gave up what was held, in bytes.
const maxReason = 1_000

// Discard gives up what is held of a machine: the findings in it are lost, and what
// the rules find from now on is stored again.
func (s *Store) Discard(ctx context.Context, tx pgx.Tx, now time.Time, who identity.Principal, machine uuid.UUID, reason string) error {
	reason = strings.TrimSpace(reason)
	if reason == "" || len(reason) > maxReason {
		return problem.New(problem.Invalid, "say in at most %d bytes why it is given up", maxReason).
			WithFields(problem.Field{Pointer: "/reason", Detail: "is needed"})
	}
	r, err := heldFor(ctx, tx, machine)
	if err != nil {
		return err
	}
	return r.free(ctx, tx, now, who, "discarded", reason)
}

func heldFor(ctx context.Context, tx pgx.Tx, machine uuid.UUID) (*heldRow, error) {
	rows, err := lockHeld(ctx, tx, machine)
	if err == nil && len(rows) == 0 {
		err = problem.New(problem.NotFound, "nothing is held of this machine")
	}
	if err != nil {
		return nil, err
	}
	return &rows[0], nil
}

// free removes a row, and notes who did what with it.
func (r *heldRow) free(ctx context.Context, tx pgx.Tx, now time.Time, who identity.Principal, action, why string) error {
	if _, err := postgres.Run(ctx, tx, freeHeldSQL, pgx.NamedArgs{"machine": r.MachineID}); err != nil {
		return fmt.Errorf("free what is held of machine %s: %w", r.Machine, err)
	}
	before := map[string]any{"machine": r.Machine, "since": r.Since, "changes": r.Changes, "dropped": r.Dropped, "reason": r.Reason, "detail": r.Detail}
	return machines.Audit(ctx, tx, now, who, "held_outcome", r.MachineID, nil, nil, action, before, map[string]any{"why": why})
}

const dueHeldSQL = `SELECT machine_id FROM held_outcome WHERE next_try_at <= @now ORDER BY next_try_at LIMIT @limit`

// triesAtOnce bounds the machines that are tried in one look.
const triesAtOnce = 100

// TryDue tries again what has become due, each machine in a transaction of its own.
func (s *Store) TryDue(ctx context.Context, now time.Time) error {
	_, who := program(ctx)
	var due []uuid.UUID
	err := postgres.As(ctx, s.Pool, who, func(tx pgx.Tx) (err error) {
		due, err = postgres.Values[uuid.UUID](ctx, tx, dueHeldSQL, pgx.NamedArgs{"now": now, "limit": triesAtOnce})
		return err
	})
	if err != nil {
		return fmt.Errorf("list the held outcomes that are due: %w", err)
	}
	var errs []error
	for _, machine := range due {
		var t Trial
		err := postgres.As(ctx, s.Pool, who, func(tx pgx.Tx) (err error) {
			t, err = s.Try(ctx, tx, now, who, machine)
			return err
		})
		switch {
		case problem.Of(err) == problem.NotFound: // somebody was faster
		case err != nil:
			errs = append(errs, err)
		case t.Stored:
			s.Log.Info("what was held of a machine is stored", "machine", machine, "changes", t.Changes)
		}
	}
	return errors.Join(errs...)
}
