// Package detection runs the rules on the intake log: it feeds observations and
// ticks, in log order, to one rules.Machine per machine, turns what they find
// into findings of the machine file and remembers how far it is. It knows the
// database; the rules do not.
package detection

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// Watched is what detection must know of a machine.
type Watched struct {
	ID   uuid.UUID `db:"id"`
	Key  string    `db:"key"`
	Pack string    `db:"pack"` // name of the rule pack, "" for the default watcher
}

// Fleet tells which machine a key is and which pack watches it. Safe for
// concurrent use; it reads the database again when a key is missing.
type Fleet struct {
	mu    sync.RWMutex
	byKey map[string]Watched
	packs map[string]*rules.Pack
}

// NewFleet returns an empty fleet that is watched with the packs, keyed by name.
func NewFleet(packs map[string]*rules.Pack) *Fleet {
	return &Fleet{byKey: map[string]Watched{}, packs: packs}
}

const watchedSQL = `SELECT m.id, m.key, coalesce(nullif(o.pack, ''), o.name, '') AS pack
FROM machine m LEFT JOIN model o ON o.id = m.model_id`

// Reload reads all machines.
func (f *Fleet) Reload(ctx context.Context, db postgres.DB) error {
	rows, err := postgres.All[Watched](ctx, db, watchedSQL, nil)
	if err != nil {
		return fmt.Errorf("read the machines to watch: %w", err)
	}
	byKey := make(map[string]Watched, len(rows))
	for _, w := range rows {
		byKey[w.Key] = w
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.byKey = byKey
	return nil
}

// Machine returns what is known of a key.
func (f *Fleet) Machine(key string) (Watched, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	w, ok := f.byKey[key]
	return w, ok
}

// Pack returns the rule pack of a machine, nil where the default watcher serves.
func (f *Fleet) Pack(w Watched) *rules.Pack { return f.packs[w.Pack] }

// Rule finds a rule of a machine's pack by its id.
func (f *Fleet) Rule(w Watched, id string) (*rules.Rule, bool) {
	pack := f.packs[w.Pack]
	if pack == nil {
		return nil, false
	}
	for i := range pack.Rules {
		if pack.Rules[i].ID == id {
			return &pack.Rules[i], true
		}
	}
	return nil, false
}

// Packs lists the packs by name.
func (f *Fleet) Packs() map[string]*rules.Pack { return f.packs }

func texts(list []rules.Text) []machines.Text {
	out := make([]machines.Text, 0, len(list))
	for _, t := range list {
		out = append(out, machines.Text{ZH: t.ZH, EN: t.EN})
	}
	return out
}
