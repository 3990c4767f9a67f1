package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/simulate"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// ledger is what the demo must remember over restarts and what the product has no
// place for: which fleet is simulated, how it was repaired, what was played.
type ledger struct {
	Start    time.Time       `json:"start"`
	Machines int             `json:"machines"`
	Seed     uint64          `json:"seed"`
	Repairs  []repair        `json:"repairs"`
	Done     map[string]bool `json:"done"` // scripted events and phoned-in breakdowns
}

type repair struct {
	Machine string    `json:"machine"`
	Mode    string    `json:"mode"`
	At      time.Time `json:"at"`
	Quality float64   `json:"quality"`
}

const readLedgerSQL = `SELECT value FROM setting WHERE name = 'demo'`

const writeLedgerSQL = `INSERT INTO setting (name, value) VALUES ('demo', @value) ON CONFLICT (name) DO UPDATE SET value = @value`

// readLedger returns nil where the demo has never been.
func readLedger(ctx context.Context, pool *postgres.Pool) (*ledger, error) {
	var text []byte
	err := postgres.As(ctx, pool, identity.Program("demo"), func(tx pgx.Tx) error {
		var err error
		text, err = postgres.Value[[]byte](ctx, tx, readLedgerSQL, nil)
		return err
	})
	if err != nil && problem.Of(err) == problem.NotFound {
		return nil, nil //nolint:nilnil // a first start
	}
	if err != nil {
		return nil, fmt.Errorf("read the demo's ledger: %w", err)
	}
	var l ledger
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, fmt.Errorf("read the demo's ledger: %w", err)
	}
	return &l, nil
}

func (l *ledger) write(ctx context.Context, db postgres.DB) error {
	text, err := json.Marshal(l)
	if err == nil {
		_, err = postgres.Run(ctx, db, writeLedgerSQL, pgx.NamedArgs{"value": text})
	}
	if err != nil {
		return fmt.Errorf("write the demo's ledger: %w", err)
	}
	return nil
}

// with returns a copy that has one thing more done, to be kept when the
// transaction that writes it has been committed.
func (l *ledger) with(done string, repairs ...repair) *ledger {
	next := *l
	next.Done = make(map[string]bool, len(l.Done)+1)
	for k := range l.Done {
		next.Done[k] = true
	}
	if done != "" {
		next.Done[done] = true
	}
	next.Repairs = append(append([]repair{}, l.Repairs...), repairs...)
	return &next
}

// fleetOf returns the story's machines: n of them, 0 for all. Beyond the story's
// own, more of the same kinds follow, in good health.
func fleetOf(start time.Time, n int) []simulate.Machine {
	story := simulate.DemoFleet(start)
	if n <= 0 || n == len(story) {
		return story
	}
	if n < len(story) {
		return story[:n]
	}
	list := story
	for i := 0; len(list) < n; i++ {
		m := story[i%len(story)]
		round := 2 + i/len(story)
		m.Key = fmt.Sprintf("%s-%d", m.Key, round)
		m.Name, m.NameEN = fmt.Sprintf("%s(%d)", m.Name, round), fmt.Sprintf("%s (%d)", m.NameEN, round)
		m.Plate, m.Faults, m.Gaps, m.Status, m.Note, m.NoteEN = "", nil, nil, "working", "", ""
		list = append(list, m)
	}
	return list
}
