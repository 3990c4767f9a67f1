package gate

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// Config of a Gate. Faults lists what people have confirmed of machines: who knows
// cases hands it in.
type Config struct {
	Pool   *postgres.Pool
	Clock  *clock.Clock
	Log    *slog.Logger
	Fleet  *detection.Fleet // its packs can be named by their hash
	Rows   Rows
	Faults func(ctx context.Context, db postgres.DB, machines []uuid.UUID) ([]Fault, error)
}

// Gate keeps versions of packs and judges them, one after the other.
type Gate struct {
	Config
	asked chan struct{} // something is to be judged
}

// New makes a gate. Its back-tests begin with Run.
func New(c Config) *Gate { return &Gate{Config: c, asked: make(chan struct{}, 1)} }

// program is who acts where nobody does.
func program() identity.Principal { return identity.Program("rule gate") }

const modelMachinesSQL = `SELECT m.id, m.key, m.no FROM machine m LEFT JOIN model o ON o.id = m.model_id
WHERE (@model = '' OR coalesce(nullif(o.pack, ''), o.name) = @model) AND (cardinality(@keys::text[]) = 0 OR m.key = ANY(@keys))
ORDER BY m.key LIMIT @limit`

// machines lists those that a subject watches, or of them the ones that are named.
func (g *Gate) machines(ctx context.Context, db postgres.DB, s Subject, keys []string) ([]Machine, error) {
	if keys == nil {
		keys = []string{}
	}
	list, err := postgres.All[Machine](ctx, db, modelMachinesSQL, pgx.NamedArgs{"model": s.model(), "keys": keys, "limit": mostMachines + 1})
	switch {
	case err != nil:
		return nil, fmt.Errorf("list the machines of %q: %w", s.model(), err)
	case len(list) == 0:
		return nil, problem.New(problem.Conflict, "there is no such machine of the model %q: its rules cannot be judged", s.model())
	case len(list) > mostMachines:
		return nil, problem.New(problem.TooLarge, "more than %d machines: name those that are to be looked at", mostMachines)
	}
	return list, nil
}

// pack finds a pack by its hash: a version that is kept, or what is in force.
func (g *Gate) pack(ctx context.Context, db postgres.DB, hash string) (*rules.Pack, error) {
	if hash == WatcherHash {
		return nil, nil //nolint:nilnil // the default watcher has no pack
	}
	for _, p := range g.Fleet.Packs() {
		if p.Hash == hash {
			return p, nil
		}
	}
	v, err := GetVersion(ctx, db, hash)
	if err != nil {
		return nil, err
	}
	return rules.Parse(v.Hash+".yaml", []byte(v.Text))
}

// Text gives the text of a pack that has this hash.
func (g *Gate) Text(ctx context.Context, db postgres.DB, hash string) ([]byte, error) {
	pack, err := g.pack(ctx, db, hash)
	if err == nil && pack == nil {
		err = problem.New(problem.NotFound, "the default watcher has no text")
	}
	if err != nil {
		return nil, err
	}
	return pack.Text, nil
}

// Run judges what is asked for until ctx ends.
func (g *Gate) Run(ctx context.Context) error {
	if err := g.resume(ctx); err != nil && ctx.Err() == nil {
		g.Log.Error("back-tests that a stop cut off are not begun again", "error", err)
	}
	for {
		more, err := g.next(ctx)
		if err != nil && ctx.Err() == nil {
			g.Log.Error("a back-test could not be begun, trying again", "error", err)
		}
		if more && err == nil {
			continue
		}
		timer := time.NewTimer(time.Minute)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-g.asked:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// wake lets Run look for what is to be done.
func (g *Gate) wake() {
	select {
	case g.asked <- struct{}{}:
	default:
	}
}
