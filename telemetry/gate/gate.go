package gate

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// Config of a Gate. What people have confirmed, said of flags, and are to be told is
// handed in by who knows cases.
type Config struct {
	Pool     *postgres.Pool
	Clock    *clock.Clock
	Log      *slog.Logger
	Fleet    *detection.Fleet // what watches
	Rows     Rows
	Criteria Criteria
	Trust    float64 // a rule whose trust is less at its lower end goes down by a stage

	Faults   func(ctx context.Context, db postgres.DB, machines []uuid.UUID) ([]Fault, error)
	Verdicts func(ctx context.Context, db postgres.DB, of []Since) ([]Verdicts, error)
	Tell     func(ctx context.Context, db postgres.DB, now time.Time, text machines.Text) error // the service manager
}

// Gate keeps versions of packs and judges them, one after the other.
type Gate struct {
	Config
	asked chan struct{} // something is to be judged

	base   atomic.Pointer[Base]
	mu     sync.Mutex // who puts the records in force; guards the runner
	runner *detection.Runner
}

// Base are the packs that no gate holds: those that come with the program, and those
// of the folder, which go before what is published.
type Base struct {
	Packs  map[string]*rules.Pack
	Folder map[string]bool // models
}

// New makes a gate. Its back-tests begin with Run.
func New(c Config) *Gate {
	g := &Gate{Config: c, asked: make(chan struct{}, 1)}
	g.base.Store(&Base{Packs: c.Fleet.Packs()})
	return g
}

// program is who acts where nobody does.
func program() identity.Principal { return identity.Program("rule gate") }

// Attach names the runner into which Refresh puts what is in force from now on.
func (g *Gate) Attach(r *detection.Runner) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.runner = r
}

// Rebase takes other packs as those that no gate holds, and puts all in force.
func (g *Gate) Rebase(ctx context.Context, b Base) (changed int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.base.Swap(&b)
	if changed, err = g.refresh(ctx); err != nil {
		g.base.Store(before)
	}
	return changed, err
}

// Refresh puts in force what the records say: published versions over what comes with
// the program, and the stages of rules; models learn the signals of new packs. After an
// error of the first part nothing has changed.
func (g *Gate) Refresh(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, err := g.refresh(ctx); err != nil {
		return err
	}
	return g.as(ctx, func(tx pgx.Tx) error { return g.Fleet.NameSignals(ctx, tx, g.Clock.Now(), program()) })
}

const inForceSQL = `SELECT ` + versionColumns + ` FROM rule_version WHERE state = 'published' ORDER BY model`

func (g *Gate) refresh(ctx context.Context) (changed int, err error) {
	var published []Version
	var staged []Staged
	if err := g.as(ctx, func(tx pgx.Tx) (err error) {
		if published, err = postgres.All[Version](ctx, tx, inForceSQL, nil); err != nil {
			return err
		}
		staged, err = postgres.All[Staged](ctx, tx, stagesSQL, nil)
		return err
	}); err != nil {
		return 0, fmt.Errorf("read which rules are in force: %w", err)
	}
	base := g.base.Load()
	all := make(map[string]*rules.Pack, len(base.Packs)+len(published))
	maps.Copy(all, base.Packs)
	for _, v := range published {
		if base.Folder[v.Model] {
			continue
		}
		pack, err := rules.Parse(v.Hash+".yaml", []byte(v.Text))
		if err != nil {
			g.Log.Error("a published version is not read by this program; what came with it watches the model", "model", v.Model, "hash", v.Hash, "error", err)
			continue
		}
		all[v.Model] = pack
	}
	stages := make(map[detection.RuleKey]machines.Stage, len(staged))
	for _, s := range staged {
		stages[s.key()] = s.Stage
	}
	g.Fleet.SetStages(stages) // first: a new rule must not be louder than its stage
	if g.runner == nil {
		g.Fleet.Use(all)
		return 0, nil
	}
	return g.runner.Reload(all), nil
}

// folderHolds says whether the folder has a pack of a model.
func (g *Gate) folderHolds(model string) bool { return g.base.Load().Folder[model] }

const modelMachinesSQL = `SELECT m.id, m.key, m.no, coalesce(nullif(o.pack, ''), o.name, '') AS model FROM machine m LEFT JOIN model o ON o.id = m.model_id
WHERE (@model = '' OR coalesce(nullif(o.pack, ''), o.name) = @model) AND (cardinality(@keys::text[]) = 0 OR m.key = ANY(@keys))
ORDER BY m.key LIMIT @limit`

// watched lists the machines that a subject watches, or of them the ones that are named.
func (g *Gate) watched(ctx context.Context, db postgres.DB, s Subject, keys []string) ([]Machine, error) {
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
