package history

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
)

// maxSignalNumbers keeps the numbers within a smallint, with room for those that
// rolled-back transactions use up.
const maxSignalNumbers = 30_000

// signalNumbers knows the number that stands for a signal's name in the
// database. Numbers are never taken back.
type signalNumbers struct {
	pool *postgres.Pool

	mu     sync.RWMutex
	byName map[string]int16
	byNo   map[int16]string
}

type numberedSignal struct {
	No   int16  `db:"no"`
	Name string `db:"name"`
}

const signalNumbersSQL = `SELECT no, name FROM signal_no`

// Only names that are missing draw a number: a conflict would waste one.
const numberSignalsSQL = `INSERT INTO signal_no (name)
SELECT n FROM unnest(@names::text[]) AS n WHERE NOT EXISTS (SELECT 1 FROM signal_no s WHERE s.name = n)
LIMIT greatest(0, @limit - (SELECT count(*) FROM signal_no))`

// ensure gives each name a number where there is room.
func (s *signalNumbers) ensure(ctx context.Context, names map[string]struct{}) error {
	missing := s.missing(names)
	if len(missing) == 0 {
		return nil
	}
	return s.read(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(7337, 2)`); err != nil {
			return fmt.Errorf("take turns at numbering signals: %w", err)
		}
		_, err := postgres.Run(ctx, tx, numberSignalsSQL, pgx.NamedArgs{"names": missing, "limit": maxSignalNumbers})
		return err
	})
}

func (s *signalNumbers) missing(names map[string]struct{}) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if _, ok := s.byName[name]; !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 && len(s.byName) >= maxSignalNumbers {
		return nil
	}
	return missing
}

// read runs before and then reads all numbers.
func (s *signalNumbers) read(ctx context.Context, before func(tx pgx.Tx) error) error {
	var rows []numberedSignal
	err := postgres.As(ctx, s.pool, identity.Program("intake"), func(tx pgx.Tx) error {
		if err := before(tx); err != nil {
			return err
		}
		var err error
		rows, err = postgres.All[numberedSignal](ctx, tx, signalNumbersSQL, nil)
		return err
	})
	if err != nil {
		return fmt.Errorf("number the signals: %w", err)
	}
	byName, byNo := make(map[string]int16, len(rows)), make(map[int16]string, len(rows))
	for _, r := range rows {
		byName[r.Name], byNo[r.No] = r.No, r.Name
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byName, s.byNo = byName, byNo
	return nil
}

func (s *signalNumbers) number(name string) (int16, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	no, ok := s.byName[name]
	return no, ok
}

func (s *signalNumbers) name(no int16) (string, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	name, ok := s.byNo[no]
	return name, ok
}

// named reads the numbers again when one of them is not known here yet, as when
// another process gave it.
func (s *signalNumbers) named(ctx context.Context, nos []int16) error {
	for _, no := range nos {
		if _, ok := s.name(no); !ok {
			return s.read(ctx, func(pgx.Tx) error { return nil })
		}
	}
	return nil
}

// numbered gives the numbers of names; a name that was never stored has none.
func (s *signalNumbers) numbered(ctx context.Context, names []string) ([]int16, error) {
	nos := make([]int16, 0, len(names))
	for try := range 2 {
		nos = nos[:0]
		for _, name := range names {
			if no, ok := s.number(name); ok {
				nos = append(nos, no)
			}
		}
		if len(nos) == len(names) || try == 1 {
			break
		}
		if err := s.read(ctx, func(pgx.Tx) error { return nil }); err != nil {
			return nil, err
		}
	}
	return nos, nil
}
