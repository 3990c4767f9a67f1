package telemetry

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// quota bounds what is kept of messages that cannot be stored; what is beyond it
// is counted.
type quota struct {
	lettersPerDevice int // of one device and day
	letters          int // open, of the installation
	names            int // devices that are counted apart, of one day
	keys             int // unclaimed devices
	messagesPerKey   int // kept for one unclaimed device
	messages         int // kept for all of them
}

func defaultQuota() quota {
	return quota{lettersPerDevice: 10_000, letters: 100_000, names: 10_000, keys: 10_000, messagesPerKey: 1_000, messages: 100_000}
}

// lsnSet is a set of records.
type lsnSet map[intakelog.LSN]struct{}

func (s lsnSet) has(lsn intakelog.LSN) bool {
	_, ok := s[lsn]
	return ok
}

// deviceDay is what the quota of dead letters is for.
type deviceDay struct{ device, day string }

func dayOf(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// bury stores dead letters within the quota and counts all of them. It returns
// the records of which at least one letter was stored.
func bury(ctx context.Context, tx pgx.Tx, log uuid.UUID, letters []DeadLetter, q quota) (lsnSet, error) {
	if len(letters) == 0 {
		return nil, nil
	}
	kept, room, err := buried(ctx, tx, letters, q)
	if err != nil {
		return nil, err
	}
	buried := lsnSet{}
	var rows letterRows
	for i := range letters {
		letter := cleaned(letters[i])
		key := deviceDay{letter.Device, dayOf(letter.ReceivedAt)}
		if room <= 0 || kept[key] >= q.lettersPerDevice {
			continue
		}
		room--
		kept[key]++
		buried[letter.LSN] = struct{}{}
		rows.add(&letter)
	}
	if err := rows.insert(ctx, tx, log); err != nil {
		return nil, err
	}
	return buried, countLetters(ctx, tx, letters, q)
}

// cleaned makes every text of a letter one that the database can store.
func cleaned(d DeadLetter) DeadLetter {
	for _, text := range []*string{&d.Source, &d.Topic, &d.Device, &d.Detail, &d.Decoder} {
		*text = storable(*text)
	}
	return d
}

// storable removes what a text column does not take.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "�")
}

// What was replayed makes room: it may fail again.
const buriedSQL = `SELECT device, (received_at AT TIME ZONE 'UTC')::date::text AS day, count(*) AS count FROM dead_letter
WHERE device = ANY (@devices) AND received_at >= @from AND received_at < @to AND state <> 'replayed' GROUP BY 1, 2`

const openLettersSQL = `SELECT count(*) FROM (SELECT 1 FROM dead_letter WHERE state = 'open' LIMIT @limit) AS d`

// buried counts the letters that are there: of each device and day in letters,
// and how many more there is room for.
func buried(ctx context.Context, tx pgx.Tx, letters []DeadLetter, q quota) (map[deviceDay]int, int, error) {
	devices := map[string]struct{}{}
	from, to := letters[0].ReceivedAt, letters[0].ReceivedAt
	for i := range letters {
		devices[storable(letters[i].Device)] = struct{}{}
		if at := letters[i].ReceivedAt; at.Before(from) {
			from = at
		} else if at.After(to) {
			to = at
		}
	}
	type row struct {
		Device string `db:"device"`
		Day    string `db:"day"`
		Count  int    `db:"count"`
	}
	rows, err := postgres.All[row](ctx, tx, buriedSQL, pgx.NamedArgs{
		"devices": sortedKeys(devices), "from": from.UTC().Truncate(24 * time.Hour), "to": to.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour),
	})
	if err != nil {
		return nil, 0, fmt.Errorf("count dead letters of devices: %w", err)
	}
	open, err := postgres.Value[int](ctx, tx, openLettersSQL, pgx.NamedArgs{"limit": q.letters})
	if err != nil {
		return nil, 0, fmt.Errorf("count open dead letters: %w", err)
	}
	kept := make(map[deviceDay]int, len(rows))
	for _, r := range rows {
		kept[deviceDay{r.Device, r.Day}] = r.Count
	}
	return kept, q.letters - open, nil
}

// letterRows are rows of dead_letter, column by column.
type letterRows struct {
	lsns, bytes                []int64
	parts                      []int32
	received                   []time.Time
	sources, topics, devices   []string
	payloads                   [][]byte
	reasons, details, decoders []string
	offsets                    []*int64
}

func (r *letterRows) add(d *DeadLetter) {
	r.lsns, r.bytes = append(r.lsns, int64(d.LSN)), append(r.bytes, d.PayloadBytes)        //nolint:gosec // an LSN never reaches 2^63
	r.parts, r.received = append(r.parts, int32(d.Part)), append(r.received, d.ReceivedAt) //nolint:gosec // parts are few
	r.sources, r.topics, r.devices = append(r.sources, d.Source), append(r.topics, d.Topic), append(r.devices, d.Device)
	r.payloads = append(r.payloads, d.Payload)
	r.reasons, r.details, r.decoders = append(r.reasons, d.Reason), append(r.details, d.Detail), append(r.decoders, d.Decoder)
	r.offsets = append(r.offsets, d.Offset)
}

const buryLettersSQL = `INSERT INTO dead_letter (log, lsn, part, received_at, source, topic, device, payload, payload_bytes, reason, detail, offset_bytes, decoder)
SELECT @log, l.lsn, l.part, l.received_at, l.source, l.topic, l.device, l.payload, l.payload_bytes, l.reason, l.detail, l.offset_bytes, l.decoder
FROM unnest(@lsns::bigint[], @parts::int[], @received::timestamptz[], @sources::text[], @topics::text[], @devices::text[], @payloads::bytea[],
  @bytes::bigint[], @reasons::text[], @details::text[], @offsets::bigint[], @decoders::text[])
  AS l(lsn, part, received_at, source, topic, device, payload, payload_bytes, reason, detail, offset_bytes, decoder)
ON CONFLICT (log, lsn, part) DO NOTHING`

func (r *letterRows) insert(ctx context.Context, tx pgx.Tx, log uuid.UUID) error {
	if len(r.lsns) == 0 {
		return nil
	}
	_, err := postgres.Run(ctx, tx, buryLettersSQL, pgx.NamedArgs{
		"log": log, "lsns": r.lsns, "parts": r.parts, "received": r.received, "sources": r.sources, "topics": r.topics, "devices": r.devices,
		"payloads": r.payloads, "bytes": r.bytes, "reasons": r.reasons, "details": r.details, "offsets": r.offsets, "decoders": r.decoders,
	})
	if err != nil {
		return fmt.Errorf("store %d dead letters: %w", len(r.lsns), err)
	}
	return nil
}

const countedNamesSQL = `SELECT day::text AS day, count(*) AS names FROM dead_letter_count WHERE day = ANY (@days::date[]) GROUP BY day`

const countLettersSQL = `INSERT INTO dead_letter_count (day, device, reason, count)
SELECT c.day, c.device, c.reason, c.count FROM unnest(@days::date[], @devices::text[], @reasons::text[], @counts::bigint[]) AS c(day, device, reason, count)
ON CONFLICT (day, device, reason) DO UPDATE SET count = dead_letter_count.count + excluded.count`

type letterCount struct{ day, device, reason string }

// countLetters counts letters by day, device and reason. When a day has too many
// names already (whoever is anonymous chooses them), the rest is counted without.
func countLetters(ctx context.Context, tx pgx.Tx, letters []DeadLetter, q quota) error {
	days := map[string]struct{}{}
	for i := range letters {
		days[dayOf(letters[i].ReceivedAt)] = struct{}{}
	}
	type row struct {
		Day   string `db:"day"`
		Names int    `db:"names"`
	}
	rows, err := postgres.All[row](ctx, tx, countedNamesSQL, pgx.NamedArgs{"days": sortedKeys(days)})
	if err != nil {
		return fmt.Errorf("count the devices of dead letters: %w", err)
	}
	full := map[string]bool{}
	for _, r := range rows {
		full[r.Day] = r.Names >= q.names
	}
	counts := map[letterCount]int64{}
	for i := range letters {
		c := letterCount{dayOf(letters[i].ReceivedAt), storable(letters[i].Device), letters[i].Reason}
		if full[c.day] {
			c.device = ""
		}
		counts[c]++
	}
	var columns struct {
		days, devices, reasons []string
		counts                 []int64
	}
	for c, n := range counts {
		columns.days, columns.devices = append(columns.days, c.day), append(columns.devices, c.device)
		columns.reasons, columns.counts = append(columns.reasons, c.reason), append(columns.counts, n)
	}
	_, err = postgres.Run(ctx, tx, countLettersSQL, pgx.NamedArgs{
		"days": columns.days, "devices": columns.devices, "reasons": columns.reasons, "counts": columns.counts,
	})
	if err != nil {
		return fmt.Errorf("count dead letters: %w", err)
	}
	return nil
}
