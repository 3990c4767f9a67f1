package telemetry

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
)

// Unclaimed is a name that messages use and that no machine has. Its messages
// wait, within a quota, until somebody says whose they are.
type Unclaimed struct {
	Key         string     `json:"key" db:"key" doc:"the name that the sender uses"`
	FirstSeenAt time.Time  `json:"firstSeenAt" db:"first_seen_at"`
	LastSeenAt  time.Time  `json:"lastSeenAt" db:"last_seen_at"`
	Messages    int64      `json:"messages" db:"messages"`
	Kept        int        `json:"kept" db:"kept" doc:"messages that are replayed when it is claimed"`
	Topic       string     `json:"topic" db:"topic" doc:"of the newest message"`
	Payload     []byte     `json:"payload" db:"payload" doc:"base64; the newest message, in a list the first 4 KiB"`
	Signals     []string   `json:"signals" db:"signals"`
	ClaimedBy   *uuid.UUID `json:"claimedBy,omitempty" db:"claimed_by"`
}

const maxListedUnclaimed = 500

const listUnclaimedSQL = `SELECT key, first_seen_at, last_seen_at, messages, kept, topic, substring(payload FROM 1 FOR 4096) AS payload, signals, claimed_by
FROM unclaimed WHERE claimed_by IS NULL ORDER BY last_seen_at DESC, key LIMIT @limit`

// ListUnclaimed lists the names that nobody has claimed, the one heard last first.
func ListUnclaimed(ctx context.Context, db postgres.DB, limit int) ([]Unclaimed, error) {
	if limit <= 0 || limit > maxListedUnclaimed {
		limit = maxListedUnclaimed
	}
	list, err := postgres.All[Unclaimed](ctx, db, listUnclaimedSQL, pgx.NamedArgs{"limit": limit})
	if err != nil {
		return nil, fmt.Errorf("list unclaimed devices: %w", err)
	}
	return list, nil
}

const unclaimedTotalsSQL = `SELECT count(*) AS keys, coalesce(sum(kept), 0)::bigint AS messages FROM unclaimed`

const unclaimedKeptSQL = `SELECT key, kept FROM unclaimed WHERE key = ANY (@keys) ORDER BY key FOR UPDATE`

// waiting is what is kept of unclaimed devices.
type waiting struct {
	keys, messages int
	kept           map[string]int // of the keys in question
}

func readWaiting(ctx context.Context, tx pgx.Tx, keys []string) (w waiting, err error) {
	type totals struct {
		Keys     int `db:"keys"`
		Messages int `db:"messages"`
	}
	type row struct {
		Key  string `db:"key"`
		Kept int    `db:"kept"`
	}
	rows, err := postgres.All[row](ctx, tx, unclaimedKeptSQL, pgx.NamedArgs{"keys": keys})
	if err != nil {
		return w, fmt.Errorf("read unclaimed devices: %w", err)
	}
	all, err := postgres.One[totals](ctx, tx, unclaimedTotalsSQL, nil)
	if err != nil {
		return w, fmt.Errorf("count unclaimed devices: %w", err)
	}
	w = waiting{keys: all.Keys, messages: all.Messages, kept: make(map[string]int, len(rows))}
	for _, r := range rows {
		w.kept[r.Key] = r.Kept
	}
	return w, nil
}

// take says whether a message is kept. A name is entered even when its message
// is not, as long as there is room for names.
func (w *waiting) take(m *UnclaimedMessage, q quota) (named, keep bool) {
	kept, known := w.kept[m.Key]
	if !known && w.keys >= q.keys {
		return false, false
	}
	if !known {
		w.keys++
	}
	keep = !m.Cut && kept < q.messagesPerKey && w.messages < q.messages
	if keep {
		w.messages++
		kept++
	}
	w.kept[m.Key] = kept
	return true, keep
}

// unclaimedRow is what a batch adds to one row of unclaimed.
type unclaimedRow struct {
	Key      string    `json:"key"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Messages int64     `json:"messages"`
	Kept     int       `json:"kept"`
	Topic    string    `json:"topic"`
	Payload  []byte    `json:"payload"` // base64 as JSON
	Signals  []string  `json:"signals"`
}

const addUnclaimedSQL = `INSERT INTO unclaimed (key, first_seen_at, last_seen_at, messages, kept, topic, payload, signals)
SELECT u.key, u.first, u.last, u.messages, u.kept, u.topic, decode(u.payload, 'base64'), coalesce(ARRAY(SELECT jsonb_array_elements_text(u.signals)), '{}')
FROM jsonb_to_recordset(@rows::jsonb) AS u(key text, first timestamptz, last timestamptz, messages bigint, kept int, topic text, payload text, signals jsonb)
ON CONFLICT (key) DO UPDATE SET
  first_seen_at = least(unclaimed.first_seen_at, excluded.first_seen_at), last_seen_at = greatest(unclaimed.last_seen_at, excluded.last_seen_at),
  messages = unclaimed.messages + excluded.messages, kept = unclaimed.kept + excluded.kept,
  topic = excluded.topic, payload = excluded.payload, claimed_by = NULL,
  signals = ARRAY(SELECT DISTINCT s FROM unnest(unclaimed.signals || excluded.signals) AS s ORDER BY s LIMIT 200)`

const keepMessagesSQL = `INSERT INTO unclaimed_message (key, log, lsn, received_at, device, topic, payload)
SELECT m.key, @log, m.lsn, m.received_at, m.device, m.topic, m.payload
FROM unnest(@keys::text[], @lsns::bigint[], @received::timestamptz[], @devices::text[], @topics::text[], @payloads::bytea[])
  AS m(key, lsn, received_at, device, topic, payload)
ON CONFLICT (key, log, lsn) DO NOTHING`

// keepUnclaimed stores messages of unknown machines within the quota. It returns
// the records of which at least one message was kept.
func keepUnclaimed(ctx context.Context, tx pgx.Tx, log uuid.UUID, messages []UnclaimedMessage, q quota) (lsnSet, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	keys := map[string]struct{}{}
	for i := range messages {
		keys[messages[i].Key] = struct{}{}
	}
	w, err := readWaiting(ctx, tx, sortedKeys(keys))
	if err != nil {
		return nil, err
	}
	kept := lsnSet{}
	rows := map[string]*unclaimedRow{}
	var columns messageRows
	for i := range messages {
		m := &messages[i]
		named, keep := w.take(m, q)
		if !named {
			continue
		}
		addUnclaimed(rows, m, keep)
		if keep {
			kept[m.LSN] = struct{}{}
			columns.add(m)
		}
	}
	if err := writeUnclaimed(ctx, tx, rows); err != nil {
		return nil, err
	}
	return kept, columns.insert(ctx, tx, log)
}

func addUnclaimed(rows map[string]*unclaimedRow, m *UnclaimedMessage, keep bool) {
	r := rows[m.Key]
	if r == nil {
		r = &unclaimedRow{Key: m.Key, First: m.Received, Last: m.Received, Signals: []string{}}
		rows[m.Key] = r
	}
	r.Messages++
	if keep {
		r.Kept++
	}
	if m.Received.Before(r.First) {
		r.First = m.Received
	}
	if m.Received.After(r.Last) {
		r.Last = m.Received
	}
	r.Topic, r.Payload = storable(m.Topic), m.Payload
	if len(m.Signals) > 0 {
		r.Signals = m.Signals
	}
}

func writeUnclaimed(ctx context.Context, tx pgx.Tx, rows map[string]*unclaimedRow) error {
	list := make([]*unclaimedRow, 0, len(rows))
	for _, key := range sortedKeys(rows) {
		list = append(list, rows[key])
	}
	if len(list) == 0 {
		return nil
	}
	text, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("write down unclaimed devices: %w", err)
	}
	if _, err := postgres.Run(ctx, tx, addUnclaimedSQL, pgx.NamedArgs{"rows": string(text)}); err != nil {
		return fmt.Errorf("store %d unclaimed devices: %w", len(list), err)
	}
	return nil
}

// messageRows are rows of unclaimed_message, column by column.
type messageRows struct {
	keys, devices, topics []string
	lsns                  []int64
	received              []time.Time
	payloads              [][]byte
}

func (r *messageRows) add(m *UnclaimedMessage) {
	r.keys, r.devices, r.topics = append(r.keys, m.Key), append(r.devices, storable(m.Device)), append(r.topics, storable(m.Topic))
	r.lsns, r.received, r.payloads = append(r.lsns, int64(m.LSN)), append(r.received, m.Received), append(r.payloads, m.Payload) //nolint:gosec // an LSN never reaches 2^63
}

func (r *messageRows) insert(ctx context.Context, tx pgx.Tx, log uuid.UUID) error {
	if len(r.keys) == 0 {
		return nil
	}
	_, err := postgres.Run(ctx, tx, keepMessagesSQL, pgx.NamedArgs{
		"log": log, "keys": r.keys, "lsns": r.lsns, "received": r.received, "devices": r.devices, "topics": r.topics, "payloads": r.payloads,
	})
	if err != nil {
		return fmt.Errorf("keep %d messages of unclaimed devices: %w", len(r.keys), err)
	}
	return nil
}
