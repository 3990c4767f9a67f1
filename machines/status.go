package machines

import (
	"context"
	"encoding/json"
	"fmt"
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

// A sign of life that is older than the newest says nothing of the connection;
// meters never go back.
const setSeenSQL = `WITH seen AS (SELECT * FROM unnest(@ids::uuid[], @ats::timestamptz[], @connectivities::text[], @hours::float8[], @volumes::float8[])
		AS s (id, at, connectivity, hours, volume)),
		locked AS (SELECT id FROM machine WHERE id = ANY(@ids::uuid[]) ORDER BY id FOR NO KEY UPDATE) -- in one order, so that no two wait for each other
	UPDATE machine m SET last_seen_at = GREATEST(m.last_seen_at, s.at), operating_hours = GREATEST(m.operating_hours, s.hours),
		pumped_volume = GREATEST(m.pumped_volume, s.volume),
		connectivity = CASE WHEN s.connectivity <> '' AND (m.last_seen_at IS NULL OR s.at >= m.last_seen_at) THEN s.connectivity ELSE m.connectivity END
	FROM locked, seen s WHERE m.id = locked.id AND m.id = s.id
	RETURNING m.id, m.health`

// SetSeen notes the signs of life of many machines in one statement. It is not a
// change that anybody made, so the audit log has none of it; but a machine of
// which nothing was known has a health from now on.
func SetSeen(ctx context.Context, db postgres.DB, seen []Seen) error {
	if len(seen) == 0 {
		return nil
	}
	var c seenColumns
	for _, s := range seen {
		c.add(s)
	}
	type known struct {
		ID     uuid.UUID `db:"id"`
		Health Health    `db:"health"`
	}
	told, err := postgres.All[known](ctx, db, setSeenSQL, pgx.NamedArgs{"ids": c.ids, "ats": c.ats, "connectivities": c.connectivities, "hours": c.hours, "volumes": c.volumes})
	if err != nil {
		return fmt.Errorf("note the signs of life of %d machines: %w", len(seen), err)
	}
	var first []uuid.UUID
	for _, m := range told {
		if m.Health == Unknown {
			first = append(first, m.ID)
		}
	}
	if len(first) == 0 {
		return nil
	}
	return firstHeard(ctx, db, first, c.at)
}

// seenColumns are signs of life as arrays, one line for each machine.
type seenColumns struct {
	ids            []uuid.UUID
	ats            []time.Time
	connectivities []string
	hours, volumes []*float64
	at             map[uuid.UUID]time.Time
	line           map[uuid.UUID]int
}

// add folds a machine that is named twice into one line: an UPDATE would take
// either of two.
func (c *seenColumns) add(s Seen) {
	if c.at == nil {
		c.at, c.line = map[uuid.UUID]time.Time{}, map[uuid.UUID]int{}
	}
	i, twice := c.line[s.MachineID]
	if !twice {
		c.line[s.MachineID] = len(c.ids)
		c.at[s.MachineID] = s.At
		c.ids, c.ats, c.connectivities = append(c.ids, s.MachineID), append(c.ats, s.At), append(c.connectivities, s.Connectivity)
		c.hours, c.volumes = append(c.hours, s.Hours), append(c.volumes, s.Volume)
		return
	}
	if !s.At.Before(c.ats[i]) {
		c.ats[i], c.at[s.MachineID], c.connectivities[i] = s.At, s.At, s.Connectivity
	}
	c.hours[i], c.volumes[i] = highest(c.hours[i], s.Hours), highest(c.volumes[i], s.Volume)
}

func highest(a, b *float64) *float64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}

const setScoresSQL = `WITH locked AS (SELECT id FROM machine WHERE id = ANY(@ids::uuid[]) ORDER BY id FOR NO KEY UPDATE)
	UPDATE machine m SET score = s.score, contributors = s.contributors::jsonb
	FROM locked, unnest(@ids::uuid[], @scores::smallint[], @contributors::text[]) AS s (id, score, contributors) WHERE m.id = locked.id AND m.id = s.id`

// SetScores keeps health scores, 0 to 100, with what takes points off them. Like
// signs of life they are worked out and not decided, and not audited. A machine is
// named once.
func SetScores(ctx context.Context, db postgres.DB, list []Score) error {
	if len(list) == 0 {
		return nil
	}
	ids, scores, contributors := make([]uuid.UUID, len(list)), make([]int16, len(list)), make([]string, len(list))
	for i, s := range list {
		if s.Contributors == nil {
			s.Contributors = []Contributor{}
		}
		text, err := json.Marshal(s.Contributors)
		if err != nil {
			return fmt.Errorf("write down the contributors of machine %s: %w", s.MachineID, err)
		}
		ids[i], scores[i], contributors[i] = s.MachineID, int16(min(max(s.Score, 0), 100)), string(text) //nolint:gosec // 0 to 100
	}
	if _, err := postgres.Run(ctx, db, setScoresSQL, pgx.NamedArgs{"ids": ids, "scores": scores, "contributors": contributors}); err != nil {
		return fmt.Errorf("set the scores of %d machines: %w", len(list), err)
	}
	return nil
}
