package maintenance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

const (
	deliveryTries  = 5 // then the notice has failed, and its page says so
	deliveryWithin = 30 * time.Second
	deliverAtOnce  = 4 // notices on their way at the same time
	stopWithin     = 10 * time.Second
)

// deliverNotice is the job of sending one notice. Jobs are for now: what lies in
// the future is a due_at that RunDue finds.
type deliverNotice struct {
	NoticeID uuid.UUID `json:"noticeId"`
}

// Kind names the job in the database.
func (deliverNotice) Kind() string { return "deliver_notice" }

// InsertOpts bounds the tries.
func (deliverNotice) InsertOpts() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: deliveryTries}
}

// enqueue puts a job into the caller's transaction. The client is made for the
// call: it only inserts, holds nothing, and costs microseconds.
func enqueue(ctx context.Context, tx pgx.Tx, job river.JobArgs) error {
	client, err := river.NewClient(riverpgxv5.New(nil), &river.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("make the client that inserts jobs: %w", err)
	}
	if _, err := client.InsertTx(ctx, tx, job, nil); err != nil {
		return fmt.Errorf("enqueue %s: %w", job.Kind(), err)
	}
	return nil
}

// Jobs works off what transactions have enqueued. Make one with NewJobs.
type Jobs struct {
	pool     *postgres.Pool
	clock    *clock.Clock
	log      *slog.Logger
	channels map[string]Channel
	retry    river.ClientRetryPolicy // nil = River's: about 1, 16, 81 and 256 s after a failure
}

// NewJobs opens the channels; the work begins with Run.
func NewJobs(pool *postgres.Pool, clock *clock.Clock, log *slog.Logger) *Jobs {
	j := &Jobs{pool: pool, clock: clock, log: log, channels: map[string]Channel{}}
	for _, c := range channels {
		j.channels[c.Name] = c.Open(log)
	}
	return j
}

// Run works until ctx ends, and then waits for what is under way.
func (j *Jobs) Run(ctx context.Context) error {
	workers := river.NewWorkers()
	river.AddWorker(workers, &deliverer{jobs: j})
	client, err := river.NewClient(riverpgxv5.New(j.pool.Raw()), &river.Config{
		Logger:              quiet(j.log),
		Queues:              map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: deliverAtOnce}},
		Workers:             workers,
		JobTimeout:          deliveryWithin,
		SoftStopTimeout:     stopWithin,
		RetryPolicy:         j.retry,
		ReindexerIndexNames: []string{}, // our role owns no index
	})
	if err != nil {
		return fmt.Errorf("make the jobs' client: %w", err)
	}
	if err := client.Start(ctx); err != nil {
		return fmt.Errorf("start the jobs: %w", err)
	}
	<-client.Stopped()
	return nil
}

// quiet keeps River's own news out of the log; its warnings stay.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(warnings{log.Handler()}) }

type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && w.Handler.Enabled(ctx, l)
}

type deliverer struct {
	river.WorkerDefaults[deliverNotice]
	jobs *Jobs
}

// Work sends a notice once more or marks it failed after the last try.
func (d *deliverer) Work(ctx context.Context, job *river.Job[deliverNotice]) error {
	err := d.jobs.deliver(ctx, job.Args.NoticeID)
	if err == nil || job.Attempt < job.MaxAttempts {
		return err
	}
	return errors.Join(err, d.jobs.settle(context.WithoutCancel(ctx), job.Args.NoticeID, err))
}

const readNoticeSQL = `SELECT ` + noticeColumns + ` FROM notice WHERE id = @id`

// deliver sends a notice that has not been sent. No transaction is open while the
// far side takes its time.
func (j *Jobs) deliver(ctx context.Context, id uuid.UUID) error {
	var n Notice
	err := postgres.As(ctx, j.pool, identity.Program("notices"), func(tx pgx.Tx) (err error) {
		n, err = postgres.One[Notice](ctx, tx, readNoticeSQL, pgx.NamedArgs{"id": id})
		return err
	})
	if problem.Of(err) == problem.NotFound {
		return river.JobCancel(fmt.Errorf("notice %s is gone", id))
	}
	if err != nil {
		return fmt.Errorf("read notice %s: %w", id, err)
	}
	if n.State != "queued" {
		return nil
	}
	c, ok := j.channels[n.Channel]
	if !ok {
		return j.settle(ctx, id, fmt.Errorf("there is no channel %q", n.Channel))
	}
	if err := c.Send(ctx, n); err != nil {
		return fmt.Errorf("send notice %s by %s: %w", id, n.Channel, err)
	}
	return j.settle(ctx, id, nil)
}

const settleNoticeSQL = `UPDATE notice SET state = @state, sent_at = @sent, error = left(@error, 500) WHERE id = @id AND state = 'queued'`

// settle marks a notice sent, or with a reason failed.
func (j *Jobs) settle(ctx context.Context, id uuid.UUID, reason error) error {
	args := pgx.NamedArgs{"id": id, "state": "sent", "sent": j.clock.Now(), "error": ""}
	if reason != nil {
		args["state"], args["sent"], args["error"] = "failed", nil, reason.Error()
		j.log.ErrorContext(ctx, "a notice could not be delivered", "notice_id", id, "error", reason)
	}
	return postgres.As(ctx, j.pool, identity.Program("notices"), func(tx pgx.Tx) error {
		_, err := postgres.Run(ctx, tx, settleNoticeSQL, args)
		return err
	})
}
