package detection

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
)

// Apply writes what was found and what was seen of machines into the records: the
// findings, the cases they open, the jobs those cause. It leaves the position alone.
type Apply func(ctx context.Context, tx pgx.Tx, now time.Time, n News) error

// Store commits outcomes. What the records refuse of one machine is held for that
// machine alone: it is listed, tried again some times and then by hand, and what
// comes of that machine later waits behind it. Safe for concurrent use.
type Store struct {
	Pool  *postgres.Pool
	Clock *clock.Clock
	Log   *slog.Logger
	Apply Apply

	none                    atomic.Bool // nothing is held: only a Store of this process adds
	held, dropped, failures atomic.Uint64
}

// Held counts the outcomes of machines that were refused since the start, Dropped
// the changes that are lost because too much is held, Failures the times that a
// machine's rules failed.
func (s *Store) Held() uint64 { return s.held.Load() }

// Dropped see Held.
func (s *Store) Dropped() uint64 { return s.dropped.Load() }

// Failures see Held.
func (s *Store) Failures() uint64 { return s.failures.Load() }

func program(ctx context.Context) (context.Context, identity.Principal) {
	who := identity.Program("detection")
	return identity.With(ctx, who), who
}

// Commit stores an outcome and its position in one transaction.
func (s *Store) Commit(ctx context.Context, o Outcome) error {
	err := s.write(ctx, o, s.together)
	if !postgres.Refused(err) || errors.Is(err, ErrTaken) {
		return err
	}
	return s.write(ctx, o, s.apart)
}

// commit is one transaction of a Store.
type commit struct {
	*Store
	tx   pgx.Tx
	now  time.Time
	at   Position
	told []func() // what is logged and counted once it is committed
}

func (s *Store) write(ctx context.Context, o Outcome, how func(context.Context, *commit, Outcome) error) error {
	ctx, who := program(ctx)
	c := &commit{Store: s, now: s.Clock.Now(), at: o.Position}
	err := postgres.As(ctx, s.Pool, who, func(tx pgx.Tx) error {
		c.tx, c.told = tx, nil
		return postgres.Guard(func() error {
			rest, err := c.queue(ctx, o)
			if err != nil {
				return err
			}
			if err := how(ctx, c, rest); err != nil {
				return err
			}
			for _, f := range o.Failures {
				if err := c.fail(ctx, f); err != nil {
					return err
				}
			}
			if err := keepCohorts(ctx, tx, o.Cohorts); err != nil {
				return err
			}
			return Advance(ctx, tx, c.now, o.Position)
		})
	})
	if err != nil {
		return fmt.Errorf("store what the rules say up to record %d: %w", o.Position.LSN, err)
	}
	for _, tell := range c.told {
		tell()
	}
	return nil
}

func (s *Store) together(ctx context.Context, c *commit, o Outcome) error {
	if o.News.empty() {
		return nil
	}
	return s.Apply(ctx, c.tx, c.now, o.News)
}

// apart applies an outcome machine by machine as far as that is needed, and each
// kind of news apart, and holds what is refused.
func (s *Store) apart(ctx context.Context, c *commit, o Outcome) error {
	var list []share
	for _, one := range shares(o.News) {
		for _, kind := range []News{{Changes: one.Changes}, {Silences: one.Silences}, {Seen: one.Seen}} {
			if !kind.empty() {
				list = append(list, share{one.MachineID, kind})
			}
		}
	}
	return postgres.Isolate(list, func(part []share) error {
		return postgres.Attempt(ctx, c.tx, func(tx pgx.Tx) error {
			var all News
			for i := range part {
				all.add(part[i].News)
			}
			return s.Apply(ctx, tx, c.now, all)
		})
	}, func(one share, why error) error { return c.hold(ctx, one, why) })
}

func (n *News) empty() bool { return len(n.Changes)+len(n.Silences)+len(n.Seen) == 0 }

// add puts later news behind n.
func (n *News) add(later News) {
	n.Changes, n.Silences, n.Seen = append(n.Changes, later.Changes...), append(n.Silences, later.Silences...), append(n.Seen, later.Seen...)
}

// share is the news of one machine, in their order.
type share struct {
	MachineID uuid.UUID
	News
}

// shares splits news by machine, in the order in which machines are locked.
func shares(n News) []share {
	at := map[uuid.UUID]int{}
	var list []share
	of := func(id uuid.UUID) *share {
		i, ok := at[id]
		if !ok {
			i = len(list)
			at[id] = i
			list = append(list, share{MachineID: id})
		}
		return &list[i]
	}
	for _, c := range n.Changes {
		s := of(c.Finding.MachineID)
		s.Changes = append(s.Changes, c)
	}
	for _, silence := range n.Silences {
		s := of(silence.MachineID)
		s.Silences = append(s.Silences, silence)
	}
	for _, seen := range n.Seen {
		s := of(seen.MachineID)
		s.Seen = append(s.Seen, seen)
	}
	slices.SortFunc(list, func(a, b share) int { return bytes.Compare(a.MachineID[:], b.MachineID[:]) })
	return list
}
