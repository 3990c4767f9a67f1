package machines

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
)

// silentAfter is how long a machine in use may say nothing before it no longer
// counts as online: longer than a weekend. Rules that know the model say it sooner.
const silentAfter = 72 * time.Hour

const noteSilenceSQL = `UPDATE machine m SET connectivity = 'silent'
	WHERE m.connectivity = 'online' AND m.has_device AND m.operating_status = 'working' AND m.last_seen_at < @before
		AND NOT EXISTS (SELECT 1 FROM site s WHERE s.id = m.site_id AND s.shut_until > @now)`

// NoteSilence takes the word "online" from machines that have said nothing for
// three days though they are in use and their site is open, and says from how
// many. The next message gives it back.
func NoteSilence(ctx context.Context, db postgres.DB, now time.Time) (int64, error) {
	n, err := postgres.Run(ctx, db, noteSilenceSQL, pgx.NamedArgs{"now": now, "before": now.Add(-silentAfter)})
	if err != nil {
		return 0, fmt.Errorf("note which machines are silent: %w", err)
	}
	return n, nil
}
