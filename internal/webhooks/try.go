package webhooks

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

const (
	lease       = 30 * time.Second // then a try that nobody settled is due again
	noteWithin  = 10 * time.Second // what came of a try, though we are stopping
	mostAnswer  = 4 << 10          // bytes of an answer that are read, to keep the connection
	answerFor   = 500 * time.Millisecond
	longestHint = time.Hour // that a receiver may ask us to wait
)

// try is a delivery that this program alone is sending now.
type try struct {
	ID         uuid.UUID  `db:"id"`
	WebhookID  uuid.UUID  `db:"webhook_id"`
	EventID    uuid.UUID  `db:"event_id"`
	Body       string     `db:"body"`
	Tries      int        `db:"tries"` // this one counted
	URL        string     `db:"url"`
	Secret     []byte     `db:"secret"`
	OldSecret  []byte     `db:"old_secret"`
	OldUntil   *time.Time `db:"old_secret_until"`
	CustomerID *uuid.UUID `db:"customer_id"`
}

// result is what came of a try.
type result struct {
	status int // 0: no answer
	wait   time.Duration
	err    error // nil: taken
}

// The row is leased before anything is sent: after a crash it is due again.
const claimSQL = `WITH one AS (
  SELECT d.id FROM webhook_delivery d WHERE d.webhook_id = @webhook AND d.state = 'waiting' AND coalesce(d.next_at, '-infinity'::timestamptz) <= @wall
  ORDER BY coalesce(d.next_at, '-infinity'::timestamptz), d.no LIMIT 1 FOR UPDATE SKIP LOCKED),
served AS (UPDATE webhook w SET tried_at = @wall WHERE w.id = @webhook AND w.enabled AND EXISTS (SELECT 1 FROM one)
  RETURNING w.url, w.secret, w.old_secret, w.old_secret_until)
UPDATE webhook_delivery d SET tries = d.tries + 1, tried_at = @wall, next_at = @leased FROM one, served w WHERE d.id = one.id
RETURNING d.id, d.webhook_id, d.event_id, d.body, d.tries, d.customer_id, w.url, w.secret, w.old_secret, w.old_secret_until`

// deliverNext makes one try of what is due for a webhook and notes what came of
// it; taken says whether the receiver has it. No transaction is open meanwhile.
func (d *Dispatcher) deliverNext(ctx context.Context, webhook uuid.UUID) (taken bool, err error) {
	var t try
	err = postgres.As(ctx, d.pool, program, func(tx pgx.Tx) (err error) {
		wall := d.wall()
		t, err = postgres.One[try](ctx, tx, claimSQL, pgx.NamedArgs{"webhook": webhook, "wall": wall, "leased": wall.Add(lease)})
		return err
	})
	if problem.Of(err) == problem.NotFound {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("take a delivery of webhook %s: %w", webhook, err)
	}
	r := d.send(ctx, t)
	note, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteWithin)
	defer cancel()
	if ctx.Err() != nil && r.err != nil { // we are stopping, which is not the receiver's fault
		return false, d.giveBack(note, t)
	}
	return r.err == nil, d.settle(note, t, r)
}

// send posts the body once.
func (d *Dispatcher) send(ctx context.Context, t try) result {
	ctx, cancel := context.WithTimeout(ctx, tryWithin)
	defer cancel()
	req, err := d.request(ctx, t)
	if err != nil {
		return result{err: err}
	}
	answer, err := d.out.through(req.URL.Scheme).Do(req)
	if err != nil {
		return result{err: said(err)}
	}
	defer answer.Body.Close()
	defer time.AfterFunc(answerFor, cancel).Stop()       // a slow answer is none of our business
	_, _ = io.CopyN(io.Discard, answer.Body, mostAnswer) // its status has said all; read to keep the connection
	r := result{status: answer.StatusCode}
	switch code := answer.StatusCode; {
	case code >= 200 && code < 300:
	case code >= 300 && code < 400:
		r.err = fmt.Errorf("answered %d: redirects are not followed", code)
	default:
		r.err = fmt.Errorf("answered %d", code)
		r.wait = hint(answer.Header.Get("Retry-After"))
	}
	return r
}

func (d *Dispatcher) request(ctx context.Context, t try) (*http.Request, error) {
	secrets, err := d.secrets(t)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, strings.NewReader(t.Body))
	if err != nil {
		return nil, errURL
	}
	if req.URL.Scheme != "https" && req.URL.Scheme != "http" {
		return nil, errURL
	}
	at, id := d.wall(), t.EventID.String()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "thirdstate-webhooks/1")
	for name, value := range map[string]string{"webhook-id": id, "webhook-timestamp": strconv.FormatInt(at.Unix(), 10), "webhook-signature": signature(id, at, t.Body, secrets...)} {
		req.Header.Set(name, value)
	}
	return req, nil
}

// secrets are what signs now: the new one first.
func (d *Dispatcher) secrets(t try) ([][]byte, error) {
	if d.settings.Key == nil {
		return nil, errSecret
	}
	use := t.WebhookID.String()
	secret, err := d.settings.Key.Open(t.Secret, use)
	if err != nil {
		return nil, errSecret
	}
	if t.OldUntil == nil || !t.OldUntil.After(d.wall()) {
		return [][]byte{secret}, nil
	}
	old, err := d.settings.Key.Open(t.OldSecret, use)
	if err != nil {
		return [][]byte{secret}, nil //nolint:nilerr // rotated because its key was lost: the new one signs alone
	}
	return [][]byte{secret, old}, nil
}

// hint is how long a receiver asks us to wait, in seconds.
func hint(header string) time.Duration {
	seconds, err := strconv.Atoi(strings.TrimSpace(header))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(min(seconds, 1<<20))*time.Second, longestHint)
}

// spread is a delay with a tenth of chance, so that what failed together does not
// come back together.
func spread(wait time.Duration) time.Duration {
	return wait + time.Duration(float64(wait)*(rand.Float64()-0.5)/5) //nolint:gosec // chance, not a secret
}
