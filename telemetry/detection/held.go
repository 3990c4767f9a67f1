package detection

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
)

// Bounds of what is held.
const (
	maxHeldMachines = 10_000
	maxHeldChanges  = 500       // of one machine
	maxHeldSilences = 50        // of one machine
	maxHeldBytes    = 256 << 10 // of one machine, written down
)

// heldTries is how often a machine's outcome is tried again by itself: after a
// minute, two, four and so on, so that the last is about four hours later.
const heldTries = 8

// Held is a machine of which something is not in the records: what its rules found
// was refused there, or its rules failed and began anew.
type Held struct {
	MachineID uuid.UUID  `json:"machineId" db:"machine_id"`
	Machine   string     `json:"machine" db:"machine_key" doc:"key, as it was then"`
	Since     time.Time  `json:"since" db:"since" doc:"program clock"`
	Changes   int        `json:"changes" db:"changes" doc:"findings opened, updated or closed that wait"`
	Dropped   int64      `json:"dropped" db:"dropped" doc:"changes beyond what is kept"`
	Failures  int64      `json:"failures" db:"failures" doc:"times that its rules failed and began anew"`
	Reason    string     `json:"reason" db:"reason" enum:"E_REFUSED,E_PANIC"`
	Detail    string     `json:"detail" db:"detail"`
	Log       uuid.UUID  `json:"log" db:"log"`
	LSN       int64      `json:"lsn" db:"lsn" doc:"record of the intake log up to which the rules were then"`
	Tries     int        `json:"tries" db:"tries"`
	NextTryAt *time.Time `json:"nextTryAt" db:"next_try_at" doc:"null: only by hand"`
}

const heldColumns = `machine_id, machine_key, since, changes, dropped, failures, reason, detail, log, lsn, tries, next_try_at`

const heldListSQL = `SELECT ` + heldColumns + ` FROM held_outcome ORDER BY since, machine_id LIMIT @limit`

// HeldOutcomes lists what is held, the oldest first, at most 500.
func HeldOutcomes(ctx context.Context, db postgres.DB) ([]Held, error) {
	list, err := postgres.All[Held](ctx, db, heldListSQL, pgx.NamedArgs{"limit": 500})
	if err != nil {
		return nil, fmt.Errorf("list held outcomes: %w", err)
	}
	return list, nil
}

const heldOfSQL = `SELECT ` + heldColumns + ` FROM held_outcome WHERE machine_id = @machine`

// HeldOf is what is held of a machine, nil where nothing is.
func HeldOf(ctx context.Context, db postgres.DB, machine uuid.UUID) (*Held, error) {
	h, err := postgres.One[Held](ctx, db, heldOfSQL, pgx.NamedArgs{"machine": machine})
	if problem.Of(err) == problem.NotFound {
		return nil, nil //nolint:nilnil // nothing is held
	}
	if err != nil {
		return nil, fmt.Errorf("read what is held of machine %s: %w", machine, err)
	}
	return &h, nil
}

// heldRow is a row with what is kept.
type heldRow struct {
	Held
	Kept []byte `db:"kept"`
}

const lockHeldSQL = `SELECT ` + heldColumns + `, kept FROM held_outcome WHERE machine_id = ANY (@machines) ORDER BY machine_id FOR UPDATE`

func lockHeld(ctx context.Context, tx pgx.Tx, ids ...uuid.UUID) ([]heldRow, error) {
	rows, err := postgres.All[heldRow](ctx, tx, lockHeldSQL, pgx.NamedArgs{"machines": ids})
	if err != nil {
		return nil, fmt.Errorf("lock what is held: %w", err)
	}
	return rows, nil
}

const someHeldSQL = `SELECT EXISTS (SELECT 1 FROM held_outcome)`

// queue sets aside the changes of machines of which some are held already: they
// follow on those, and mean nothing without them. Other news is tried each time,
// with that which was refused before.
func (c *commit) queue(ctx context.Context, o Outcome) (Outcome, error) {
	if c.none.Load() || o.empty() {
		return o, nil
	}
	some, err := postgres.Value[bool](ctx, c.tx, someHeldSQL, nil)
	if err != nil || !some {
		c.none.Store(err == nil)
		return o, err
	}
	list := shares(o.News)
	ids := make([]uuid.UUID, len(list))
	of := make(map[uuid.UUID]*share, len(list))
	for i := range list {
		ids[i], of[list[i].MachineID] = list[i].MachineID, &list[i]
	}
	rows, err := lockHeld(ctx, c.tx, ids...)
	if err != nil || len(rows) == 0 {
		return o, err
	}
	waits := map[uuid.UUID]bool{}
	for i := range rows {
		if waits[rows[i].MachineID], err = c.behind(ctx, &rows[i], of[rows[i].MachineID]); err != nil {
			return o, err
		}
	}
	rest := Outcome{Position: o.Position, Failures: o.Failures}
	for _, s := range list {
		rest.add(News{Silences: s.Silences, Seen: s.Seen})
	}
	rest.Changes = slices.DeleteFunc(slices.Clone(o.Changes), func(change machines.FindingChange) bool { return waits[change.Finding.MachineID] })
	return rest, nil
}

// behind puts what of a share has to wait into the row of its machine, and takes
// out of it what is tried with the rest.
func (c *commit) behind(ctx context.Context, r *heldRow, s *share) (waits bool, err error) {
	kept := r.share()
	if waits = r.Changes > 0; waits {
		kept.Changes = append(kept.Changes, s.Changes...)
	}
	if len(s.Silences)+len(s.Seen) > 0 {
		s.Silences, s.Seen = append(kept.Silences, s.Silences...), folded(append(kept.Seen, s.Seen...))
		kept.Silences, kept.Seen = nil, nil
	}
	return waits, c.put(ctx, r, kept)
}

// hold keeps a machine's share of an outcome that the records refuse.
func (c *commit) hold(ctx context.Context, one share, why error) error {
	r, err := c.row(ctx, one.MachineID, "")
	if err != nil || r == nil {
		return err
	}
	c.none.Store(false)
	kept := r.share()
	if r.NextTryAt == nil && r.Tries == 0 { // nothing of it waits yet
		fault := telemetry.RefusalOf(why)
		next := c.now.Add(heldPause(0))
		r.Reason, r.Detail, r.Log, r.LSN, r.NextTryAt = fault.Reason, fault.Detail, c.at.Log, int64(c.at.LSN), &next //nolint:gosec // an LSN never reaches 2^63
		c.told = append(c.told, func() {
			c.held.Add(1)
			c.Log.Error("the records refuse what the rules say of a machine; it is held for this machine alone and tried again", "machine", r.Machine,
				"changes", len(one.Changes), "lsn", c.at.LSN, "error", why)
		})
	}
	kept.add(one.News)
	return c.put(ctx, r, kept)
}

// fail notes that the rules of a machine have failed and begun anew.
func (c *commit) fail(ctx context.Context, f Failure) error {
	c.told = append(c.told, func() {
		c.failures.Add(1)
		c.Log.Error("the rules of a machine failed and begin anew", "machine", f.Machine, "lsn", f.LSN, "error", f.Fault.Detail)
	})
	r, err := c.row(ctx, f.MachineID, f.Machine)
	if err != nil || r == nil {
		return err
	}
	c.none.Store(false)
	if r.Failures++; r.NextTryAt == nil && r.Tries == 0 {
		r.Reason, r.Detail, r.Log, r.LSN = f.Fault.Reason, f.Fault.Detail, c.at.Log, int64(f.LSN) //nolint:gosec // an LSN never reaches 2^63
	}
	return c.put(ctx, r, r.share())
}

const heldRoomSQL = `SELECT count(*) FROM (SELECT 1 FROM held_outcome LIMIT @limit) AS h`

const machineKeySQL = `SELECT key FROM machine WHERE id = @machine`

// row is a machine's row, locked, or one to be; nil where there is no room for
// another one, which is logged.
func (c *commit) row(ctx context.Context, machine uuid.UUID, key string) (*heldRow, error) {
	rows, err := lockHeld(ctx, c.tx, machine)
	if err != nil {
		return nil, err
	}
	if len(rows) == 1 {
		return &rows[0], nil
	}
	n, err := postgres.Value[int](ctx, c.tx, heldRoomSQL, pgx.NamedArgs{"limit": maxHeldMachines})
	if err != nil {
		return nil, fmt.Errorf("count held outcomes: %w", err)
	}
	if n >= maxHeldMachines {
		c.told = append(c.told, func() {
			c.dropped.Add(1)
			c.Log.Error("what the rules say of a machine is lost: it is refused, and too many machines are held already", "machine", machine, "held", n)
		})
		return nil, nil //nolint:nilnil // there is no room
	}
	if key == "" {
		if key, err = postgres.Value[string](ctx, c.tx, machineKeySQL, pgx.NamedArgs{"machine": machine}); problem.Of(err) == problem.NotFound {
			key, err = machine.String(), nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the key of machine %s: %w", machine, err)
		}
	}
	return &heldRow{Held: Held{MachineID: machine, Machine: key, Since: c.now}}, nil
}

const saveHeldSQL = `INSERT INTO held_outcome (machine_id, machine_key, since, kept, changes, dropped, failures, reason, detail, log, lsn, tries, next_try_at)
VALUES (@machine, @key, @since, @kept, @changes, @dropped, @failures, @reason, @detail, @log, @lsn, @tries, @next)
ON CONFLICT (machine_id) DO UPDATE SET kept = excluded.kept, changes = excluded.changes, dropped = excluded.dropped, failures = excluded.failures,
  reason = excluded.reason, detail = excluded.detail, log = excluded.log, lsn = excluded.lsn, tries = excluded.tries, next_try_at = excluded.next_try_at`

// put saves a row with what is kept, and removes one that says nothing any more.
func (c *commit) put(ctx context.Context, r *heldRow, kept share) error {
	before := r.Dropped
	r.keep(kept)
	if n := r.Dropped - before; n > 0 {
		c.told = append(c.told, func() { c.dropped.Add(uint64(n)) }) //nolint:gosec // a count
	}
	if kept.empty() && r.Failures == 0 && r.Dropped == 0 {
		_, err := postgres.Run(ctx, c.tx, freeHeldSQL, pgx.NamedArgs{"machine": r.MachineID})
		return err
	}
	return r.save(ctx, c.tx)
}

const freeHeldSQL = `DELETE FROM held_outcome WHERE machine_id = @machine`

func (r *heldRow) save(ctx context.Context, tx pgx.Tx) error {
	_, err := postgres.Run(ctx, tx, saveHeldSQL, pgx.NamedArgs{"machine": r.MachineID, "key": r.Machine, "since": r.Since, "kept": r.Kept, "changes": r.Changes,
		"dropped": r.Dropped, "failures": r.Failures, "reason": r.Reason, "detail": r.Detail, "log": r.Log, "lsn": r.LSN, "tries": r.Tries, "next": r.NextTryAt})
	if err != nil {
		return fmt.Errorf("hold what the rules say of machine %s: %w", r.Machine, err)
	}
	return nil
}

// share reads what is kept.
func (r *heldRow) share() share {
	s := share{MachineID: r.MachineID}
	if len(r.Kept) > 0 && json.Unmarshal(r.Kept, &s.News) != nil {
		s.News = News{} // written by another version: what cannot be read is not applied
	}
	return s
}

// keep writes down as much of a share as is kept: of an episode the opening, the
// newest news and the end; of a silence and of the signs of life the newest; beyond
// the bounds the newest.
func (r *heldRow) keep(s share) {
	s.Changes, s.Silences, s.Seen = thinned(s.Changes), newest(s.Silences), folded(s.Seen)
	if n := len(s.Changes) - maxHeldChanges; n > 0 {
		r.Dropped += int64(n)
		s.Changes = s.Changes[n:]
	}
	for {
		text, err := json.Marshal(s.News)
		switch {
		case err != nil:
			s.News = writable(s.News, &r.Dropped)
			continue
		case len(text) > maxHeldBytes && len(s.Changes) > 0:
			half := (len(s.Changes) + 1) / 2
			r.Dropped += int64(half)
			s.Changes = s.Changes[half:]
			continue
		}
		r.Kept, r.Changes = text, len(s.Changes)
		return
	}
}

// thinned drops news that newer news of the same episode make old.
func thinned(list []machines.FindingChange) []machines.FindingChange {
	type episode struct {
		rule, component string
		opened          int64
	}
	last := map[episode]int{}
	of := func(f *machines.Finding) episode {
		e := episode{rule: f.Rule, opened: f.OpenedAt.UnixNano()}
		if f.Component != nil {
			e.component = *f.Component
		}
		return e
	}
	for i := range list {
		if list[i].Change == machines.FindingUpdated {
			last[of(&list[i].Finding)] = i
		}
	}
	out := list[:0:0]
	for i := range list {
		if list[i].Change != machines.FindingUpdated || last[of(&list[i].Finding)] == i {
			out = append(out, list[i])
		}
	}
	return out
}

// newest are the silences as they were told last, in the order of their beginnings.
func newest(list []machines.Silence) []machines.Silence {
	at := map[int64]machines.Silence{}
	for _, s := range list {
		at[s.Since.UnixNano()] = s
	}
	begins := slices.Sorted(maps.Keys(at))
	out := make([]machines.Silence, 0, len(at))
	for _, begin := range begins[max(0, len(begins)-maxHeldSilences):] {
		out = append(out, at[begin])
	}
	return out
}

// folded is the newest of some signs of life, with the meters and the score that
// were told last.
func folded(list []machines.Seen) []machines.Seen {
	if len(list) < 2 {
		return list
	}
	sum := list[0]
	for _, s := range list[1:] {
		if s.At.After(sum.At) {
			sum.At = s.At
		}
		if sum.First == nil {
			sum.First = s.First
		}
		if s.Hours != nil {
			sum.Hours = s.Hours
		}
		if s.Volume != nil {
			sum.Volume = s.Volume
		}
		if s.Score != nil {
			sum.Score = s.Score
		}
	}
	return []machines.Seen{sum}
}

// writable leaves out what cannot be written down: evidence that is no JSON, a
// number that JSON does not know.
func writable(n News, dropped *int64) (out News) {
	for _, s := range n.Silences {
		if _, err := json.Marshal(s); err == nil {
			out.Silences = append(out.Silences, s)
		}
	}
	for _, s := range n.Seen {
		if _, err := json.Marshal(s); err == nil {
			out.Seen = append(out.Seen, s)
		}
	}
	for _, c := range n.Changes {
		if _, err := json.Marshal(c); err != nil {
			c.Finding.Evidence = nil
			if _, err := json.Marshal(c); err != nil {
				*dropped++
				continue
			}
		}
		out.Changes = append(out.Changes, c)
	}
	return out
}

func heldPause(tries int) time.Duration { return time.Minute << min(tries, heldTries) }

// scrapeTimeout bounds how long a scrape waits for the database.
const scrapeTimeout = 2 * time.Second

const heldNowSQL = `SELECT count(*) FROM held_outcome`

// HeldMetrics counts the machines of which something is held now. While the
// database is away the figure is left out.
type HeldMetrics struct {
	pool *postgres.Pool
	desc *prometheus.Desc
}

// NewHeldMetrics returns a collector to be registered.
func NewHeldMetrics(pool *postgres.Pool) *HeldMetrics {
	return &HeldMetrics{pool: pool, desc: prometheus.NewDesc("thirdstate_outcomes_held", "Machines of which the records refuse what their rules found, or whose rules failed.", nil, nil)}
}

// Describe implements prometheus.Collector.
func (m *HeldMetrics) Describe(ch chan<- *prometheus.Desc) { ch <- m.desc }

// Collect implements prometheus.Collector.
func (m *HeldMetrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	var n int64
	err := postgres.As(ctx, m.pool, identity.Program("metrics"), func(tx pgx.Tx) (err error) {
		n, err = postgres.Value[int64](ctx, tx, heldNowSQL, nil)
		return err
	})
	if err == nil {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, float64(n))
	}
}
