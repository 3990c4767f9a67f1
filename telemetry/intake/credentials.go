package intake

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
)

const (
	credentialsEvery = 3 * time.Second // how often they are read again
	credentialsAfter = time.Second     // how soon an unknown token may have them read
	credentialsWait  = 5 * time.Second // how long a reading may take
)

// grant is what one device may do. It is never changed, only replaced.
type grant struct {
	key     string
	gateway bool
	names   []string // the device's key, its machine's key and aliases
}

func (g *grant) owns(machine string) bool { return g.gateway || slices.Contains(g.names, machine) }

// credentials knows the devices' tokens, by their hashes. What was read last
// stays good while the database is away: known devices are not refused.
type credentials struct {
	pool *postgres.Pool

	reading sync.Mutex // one reading at a time
	mu      sync.RWMutex
	grants  map[[sha256.Size]byte]*grant
	keys    map[string]*grant
	read    time.Time // wall clock
	took    time.Duration
	broken  bool // the last reading failed
}

const grantsSQL = `SELECT d.key, d.token_hash, d.gateway, coalesce(m.key, '') AS machine,
  coalesce((SELECT array_agg(a.alias) FROM machine_alias a WHERE a.machine_id = d.machine_id), '{}') AS aliases
FROM device d LEFT JOIN machine m ON m.id = d.machine_id
WHERE d.revoked_at IS NULL`

// load reads the devices that may sign in.
func (c *credentials) load(ctx context.Context) error {
	type row struct {
		Key     string   `db:"key"`
		Hash    []byte   `db:"token_hash"`
		Gateway bool     `db:"gateway"`
		Machine string   `db:"machine"`
		Aliases []string `db:"aliases"`
	}
	ctx, cancel := context.WithTimeout(ctx, credentialsWait)
	defer cancel()
	start := time.Now()
	var rows []row
	err := postgres.As(ctx, c.pool, identity.Program("intake"), func(tx pgx.Tx) (err error) {
		rows, err = postgres.All[row](ctx, tx, grantsSQL, nil)
		return err
	})
	grants, keys := make(map[[sha256.Size]byte]*grant, len(rows)), make(map[string]*grant, len(rows))
	for _, r := range rows {
		if len(r.Hash) == sha256.Size {
			names := append([]string{r.Key}, r.Aliases...)
			if r.Machine != "" {
				names = append(names, r.Machine)
			}
			g := &grant{key: r.Key, gateway: r.Gateway, names: names}
			grants[[sha256.Size]byte(r.Hash)], keys[r.Key] = g, g
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read, c.took, c.broken = time.Now(), time.Since(start), err != nil
	if err != nil {
		return fmt.Errorf("read the devices: %w", err)
	}
	c.grants, c.keys = grants, keys
	return nil
}

// byHash returns what the holder of a token may do now, nil when it is unknown.
func (c *credentials) byHash(hash [sha256.Size]byte) *grant {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.grants[hash]
}

// byKey returns what the first of some devices that is known may do now.
func (c *credentials) byKey(keys ...string) *grant {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, key := range keys {
		if g := c.keys[key]; g != nil {
			return g
		}
	}
	return nil
}

// of returns what find has found. A token that is not known may be new: its holder
// waits until the devices were read again, which happens once a second at most,
// however many try their luck. When they cannot be read, sure is false: the token
// may be a good one.
func (c *credentials) of(ctx context.Context, find func() *grant) (g *grant, sure bool) {
	if g := find(); g != nil || c.pool == nil {
		return g, true
	}
	asked := time.Now()
	c.reading.Lock()
	defer c.reading.Unlock()
	c.mu.RLock()
	read := c.read
	c.mu.RUnlock()
	if read.Before(asked) && clock.Rest(ctx, credentialsAfter-time.Since(read)) == nil {
		_ = c.load(ctx) // said by broken
	}
	g = find()
	c.mu.RLock()
	defer c.mu.RUnlock()
	return g, g != nil || !c.broken
}

// refresh reads the devices again when they are old enough.
func (c *credentials) refresh(ctx context.Context, age time.Duration) error {
	if c.pool == nil {
		return nil
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	if !c.older(age) {
		return nil
	}
	return c.load(ctx)
}

// older says whether the last reading is; slow readings are not done as often.
func (c *credentials) older(age time.Duration) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return time.Since(c.read) > max(age, min(10*c.took, 2*credentialsWait))
}
