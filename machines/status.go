package machines

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// statusWords lists the operating statuses with their words for a machine's life.
var statusWords = []struct {
	status OperatingStatus
	words  Text
}{
	{Working, Text{"使用中", "in use"}},
	{ShutDown, Text{"停工", "shut down"}},
	{WinterLay, Text{"冬休", "winter lay-up"}},
	{Stored, Text{"封存", "stored"}},
	{Locked, Text{"已锁机", "locked by the lessor"}},
	{Unlocated, Text{"位置不明", "unlocated"}},
	{Scrapped, Text{"已报废", "scrapped"}},
}

func (s OperatingStatus) words() (Text, bool) {
	for _, known := range statusWords {
		if known.status == s {
			return known.words, true
		}
	}
	return Text{}, false
}

const setStatusSQL = `UPDATE machine SET operating_status = @status, operating_note = @note, operating_note_en = @noteEN, version = version + 1 WHERE id = @id`

// SetOperatingStatus says whether a machine is in use; its health is apart from it.
func SetOperatingStatus(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, id uuid.UUID, status OperatingStatus, note, noteEN string) error {
	words, known := status.words()
	if !known {
		return problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/status", Detail: "is no operating status"})
	}
	m, err := Lock(ctx, db, id)
	if err != nil {
		return err
	}
	if m.OperatingStatus == status && m.OperatingNote == note && m.OperatingNoteEN == noteEN {
		return nil
	}
	if _, err := postgres.Run(ctx, db, setStatusSQL, pgx.NamedArgs{"id": id, "status": status, "note": note, "noteEN": noteEN}); err != nil {
		return fmt.Errorf("set the operating status of machine %s: %w", m.Key, err)
	}
	text := Text{ZH: "使用状态：" + words.ZH, EN: "Operating status: " + words.EN}
	if note != "" || noteEN != "" {
		text.ZH += "，" + InLanguage("zh", note, noteEN)
		text.EN += ", " + InLanguage("en", note, noteEN)
	}
	if err := AddEvent(ctx, db, LifecycleEvent{MachineID: id, At: now, Kind: "status", Text: text.ZH, TextEN: text.EN, Actor: who.Name, Entity: "machine", EntityID: &id}); err != nil {
		return err
	}
	return Audit(ctx, db, now, who, "machine", id, &id, m.CustomerID, "operating status",
		map[string]string{"status": string(m.OperatingStatus), "note": m.OperatingNote, "noteEn": m.OperatingNoteEN},
		map[string]string{"status": string(status), "note": note, "noteEn": noteEN})
}

// lockUnknownSQL locks in one order, so that no two wait for each other.
const lockUnknownSQL = `WITH locked AS (SELECT id, health FROM machine WHERE id = ANY(@ids::uuid[]) ORDER BY id FOR NO KEY UPDATE)
	SELECT id FROM locked WHERE health = 'unknown'`

// Meters never go back. How a machine is connected is decided by detection, see
// NoteSilences; only where it remembers nothing is a first message enough. All of a machine is one update: a second one in the same
// transaction would check its foreign keys.
const setSeenSQL = `UPDATE machine m SET last_seen_at = GREATEST(m.last_seen_at, s.at), operating_hours = GREATEST(m.operating_hours, s.hours),
		pumped_volume = GREATEST(m.pumped_volume, s.volume),
		connectivity = CASE WHEN f.at IS NULL THEN m.connectivity ELSE 'online' END, connectivity_why = CASE WHEN f.at IS NULL THEN m.connectivity_why ELSE '{}' END,
		connectivity_since = CASE WHEN f.at IS NULL OR m.connectivity = 'online' THEN m.connectivity_since ELSE f.at END,
		score = COALESCE(s.score, m.score), contributors = COALESCE(s.contributors::jsonb, m.contributors),
		health = COALESCE(s.health, m.health), health_since = CASE WHEN s.health IS NULL THEN m.health_since ELSE s.at END
	FROM unnest(@ids::uuid[], @ats::timestamptz[], @firsts::timestamptz[], @hours::float8[], @volumes::float8[], @scores::smallint[], @contributors::text[], @healths::text[])
		AS s (id, at, first, hours, volume, score, contributors, health)
		LEFT JOIN LATERAL (SELECT s.first AS at WHERE NOT EXISTS (SELECT FROM silence q WHERE q.machine_id = s.id AND q.since >= s.first)) f ON true
	WHERE m.id = s.id`

// SetSeen notes signs of life and health scores of many machines in one statement.
// They are no change that anybody made or decided, so the audit log has none of
// them; but a machine of which nothing was known and that is heard has a health
// from now on.
func SetSeen(ctx context.Context, db postgres.DB, seen []Seen) error {
	if len(seen) == 0 {
		return nil
	}
	var c seenColumns
	for _, s := range seen {
		if err := c.add(s); err != nil {
			return err
		}
	}
	unknown, err := postgres.Values[uuid.UUID](ctx, db, lockUnknownSQL, pgx.NamedArgs{"ids": c.ids})
	if err != nil {
		return fmt.Errorf("lock %d machines: %w", len(c.ids), err)
	}
	first, err := firstHealths(ctx, db, c.heard(unknown), c.at)
	if err != nil {
		return err
	}
	healths := make([]*Health, len(c.ids))
	for i := range first {
		healths[c.line[first[i].MachineID]] = &first[i].Health
	}
	if _, err := postgres.Run(ctx, db, setSeenSQL, pgx.NamedArgs{"ids": c.ids, "ats": c.ats, "firsts": c.firsts, "hours": c.hours, "volumes": c.volumes,
		"scores": c.scores, "contributors": c.contributors, "healths": healths}); err != nil {
		return fmt.Errorf("note the signs of life of %d machines: %w", len(seen), err)
	}
	if err := c.endSilences(ctx, db); err != nil {
		return err
	}
	return keepHealths(ctx, db, identity.Program("detection"), Text{ZH: "收到首批数据", EN: "first data received"}, "", first)
}

const endSilencesSQL = `UPDATE silence s SET until = GREATEST(n.first, s.noticed_at, s.since + interval '1 microsecond')
	FROM unnest(@ids::uuid[], @firsts::timestamptz[]) AS n (id, first) WHERE s.machine_id = n.id AND s.until IS NULL AND s.since < n.first`

// endSilences ends what detection does not remember.
func (c *seenColumns) endSilences(ctx context.Context, db postgres.DB) error {
	if !slices.ContainsFunc(c.firsts, func(at *time.Time) bool { return at != nil }) {
		return nil
	}
	if _, err := postgres.Run(ctx, db, endSilencesSQL, pgx.NamedArgs{"ids": c.ids, "firsts": c.firsts}); err != nil {
		return fmt.Errorf("end silences that nobody remembers: %w", err)
	}
	return nil
}

// seenColumns are signs of life as arrays, one line for each machine.
type seenColumns struct {
	ids            []uuid.UUID
	ats, firsts    []*time.Time
	hours, volumes []*float64
	scores         []*int16
	contributors   []*string
	at             map[uuid.UUID]time.Time // of those that were heard
	line           map[uuid.UUID]int
}

// add folds a machine that is named twice into one line: an UPDATE would take
// either of two.
func (c *seenColumns) add(s Seen) error {
	if c.at == nil {
		c.at, c.line = map[uuid.UUID]time.Time{}, map[uuid.UUID]int{}
	}
	i, twice := c.line[s.MachineID]
	if !twice {
		i = len(c.ids)
		c.line[s.MachineID] = i
		c.ids, c.ats, c.firsts = append(c.ids, s.MachineID), append(c.ats, nil), append(c.firsts, nil)
		c.hours, c.volumes, c.scores, c.contributors = append(c.hours, nil), append(c.volumes, nil), append(c.scores, nil), append(c.contributors, nil)
	}
	if c.firsts[i] == nil {
		c.firsts[i] = s.First
	}
	if !s.At.IsZero() && (c.ats[i] == nil || !s.At.Before(*c.ats[i])) {
		c.ats[i], c.at[s.MachineID] = &s.At, s.At
	}
	c.hours[i], c.volumes[i] = highest(c.hours[i], s.Hours), highest(c.volumes[i], s.Volume)
	if s.Score == nil {
		return nil
	}
	text, err := json.Marshal(append([]Contributor{}, s.Score.Contributors...))
	if err != nil {
		return fmt.Errorf("write down the contributors of machine %s: %w", s.MachineID, err)
	}
	points, contributors := int16(min(max(s.Score.Points, 0), 100)), string(text) //nolint:gosec // 0 to 100
	c.scores[i], c.contributors[i] = &points, &contributors
	return nil
}

// heard are those of some machines that have given a sign of life.
func (c *seenColumns) heard(ids []uuid.UUID) []uuid.UUID {
	return slices.DeleteFunc(ids, func(id uuid.UUID) bool { _, heard := c.at[id]; return !heard })
}

func highest(a, b *float64) *float64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}
