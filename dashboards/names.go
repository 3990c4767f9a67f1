package dashboards

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
)

// names are how people are written in English. Records keep who did, promised or
// signed something as that person's own name; an English page shows what the
// person's user, engineer or contact says.
type names struct {
	mu     sync.Mutex
	readAt time.Time // program clock
	en     map[string]string
}

const (
	namesFor  = time.Minute // then they are read again
	mostNames = 20_000
)

// Where two of one name are written in two ways nobody knows who is meant, and the
// name stays as it is.
const namesSQL = `SELECT name, min(name_en) AS name_en FROM (
	SELECT name, name_en FROM technician UNION ALL SELECT name, name_en FROM app_user UNION ALL SELECT name, name_en FROM contact) people
WHERE name_en <> '' AND name_en <> name GROUP BY name HAVING count(DISTINCT name_en) = 1 ORDER BY name LIMIT @most`

// english gives the names; those who may be named on a page are not only those
// whom its reader sees, so the program reads them.
func (n *names) english(ctx context.Context, pool *postgres.Pool, now time.Time) (map[string]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.en != nil && now.Sub(n.readAt) < namesFor {
		return n.en, nil
	}
	err := postgres.As(ctx, pool, identity.Program("pages"), func(tx pgx.Tx) error {
		list, err := postgres.All[struct {
			Name   string `db:"name"`
			NameEN string `db:"name_en"`
		}](ctx, tx, namesSQL, pgx.NamedArgs{"most": mostNames})
		if err != nil {
			return err
		}
		n.en, n.readAt = make(map[string]string, len(list)), now
		for _, p := range list {
			n.en[p.Name] = p.NameEN
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read how people are written in English: %w", err)
	}
	return n.en, nil
}
