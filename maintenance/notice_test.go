package maintenance

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/rivertype"
	"go.uber.org/goleak"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// gateway is a far side that says what it was given, or refuses everything.
type gateway struct {
	got  chan Notice
	fail error
}

var _ Channel = (*gateway)(nil)

func (g *gateway) Send(_ context.Context, n Notice) error {
	g.got <- n
	return g.fail
}

// atOnce tries again without waiting; River takes no moment that is over.
type atOnce struct{}

func (atOnce) NextRetry(*rivertype.JobRow) time.Time { return time.Now().Add(time.Millisecond) }

// working is Jobs under way with one channel of its own; stop waits for its end.
func (o *office) working(t *testing.T, g *gateway) (stop func()) {
	t.Helper()
	j := NewJobs(o.pool, clock.New(morning, 0, nil), slog.New(slog.DiscardHandler))
	j.channels["sms"], j.retry = g, atOnce{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- j.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func (o *office) sms(t *testing.T, text string) {
	t.Helper()
	o.do(t, func(ctx context.Context, tx pgx.Tx) error {
		return tell(ctx, tx, morning, Notice{CustomerID: &o.a.ID, MachineID: &o.a.Machine, ContactID: &o.a.Owner, Channel: "sms", Recipient: "+8613807340041", Text: text})
	})
}

func (o *office) notices(t *testing.T) (list []Notice) {
	t.Helper()
	o.do(t, func(ctx context.Context, tx pgx.Tx) (err error) {
		list, err = postgres.All[Notice](ctx, tx, `SELECT `+noticeColumns+` FROM notice ORDER BY created_at, id`, nil)
		return err
	})
	return list
}

// TestJobs_DeliverWhatWasToldOnceAndLeaveNothingRunning runs alone: it counts goroutines.
func TestJobs_DeliverWhatWasToldOnceAndLeaveNothingRunning(t *testing.T) {
	o := newOffice(t)
	before := goleak.IgnoreCurrent()
	g := &gateway{got: make(chan Notice, 10)}
	o.sms(t, "told before the start")
	stop := o.working(t, g)
	first := <-g.got
	o.sms(t, "told while it runs")
	second := <-g.got
	stop()
	if first.Text != "told before the start" || second.Text != "told while it runs" || len(g.got) != 0 {
		t.Errorf("delivered %q, %q and %d more", first.Text, second.Text, len(g.got))
	}
	for _, n := range o.notices(t) {
		if n.State != "sent" || n.SentAt == nil || !n.SentAt.Equal(morning) || n.Error != "" {
			t.Errorf("%+v", n)
		}
	}
	o.pool.Raw().Reset() // the pool's own connections live on
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

func TestJobs_GiveUpAfterFiveTriesAndSayWhy(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	g := &gateway{got: make(chan Notice, 10), fail: errors.New("the gateway is shut")}
	o.sms(t, "never arrives")
	stop := o.working(t, g)
	for range deliveryTries {
		<-g.got
	}
	stop()
	n := o.notices(t)[0]
	if n.State != "failed" || n.SentAt != nil || !strings.Contains(n.Error, "the gateway is shut") || len(g.got) != 0 {
		t.Errorf("%+v, and %d more tries", n, len(g.got))
	}
}

func TestTell_CommitsWithItsJobOrNotAtAll(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	jobs := func() (n int) {
		o.do(t, func(ctx context.Context, tx pgx.Tx) error {
			n = noted(ctx, t, tx, `SELECT count(*) FROM river_job WHERE kind = 'deliver_notice' AND max_attempts = 5`, nil)
			return nil
		})
		return n
	}
	err := o.as(t, o.agent, func(ctx context.Context, tx pgx.Tx) error {
		return errors.Join(tell(ctx, tx, morning, Notice{CustomerID: &o.a.ID, Channel: "sms", Recipient: "x", Text: "y"}), errUndo)
	})
	if !errors.Is(err, errUndo) || jobs() != 0 || len(o.notices(t)) != 0 {
		t.Errorf("%v: %d jobs and %d notices of what was undone", err, jobs(), len(o.notices(t)))
	}
	o.sms(t, "kept")
	if jobs() != 1 || len(o.notices(t)) != 1 {
		t.Errorf("%d jobs, %d notices", jobs(), len(o.notices(t)))
	}
	err = o.as(t, o.agent, func(ctx context.Context, tx pgx.Tx) error {
		wantProblem(t, tell(ctx, tx, morning, Notice{Channel: "smoke", Recipient: "x", Text: "y"}), problem.Invalid)
		wantProblem(t, tell(ctx, tx, morning, Notice{Channel: "sms", Recipient: "x", Text: strings.Repeat("长", noticeRunes+1)}), problem.Invalid)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNotices_ToOurOwnPeopleAndToOthersAreUnseenByAnOwner(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	var c, other Case
	o.do(t, func(ctx context.Context, tx pgx.Tx) error {
		c, other = o.aCase(ctx, t, tx, o.a, Open, "a"), o.aCase(ctx, t, tx, o.b, Open, "b")
		for _, n := range []Notice{
			{CaseID: &c.ID, CustomerID: &o.a.ID, ContactID: &o.a.Owner, Channel: "sms", Recipient: "+8613807340041", Text: "yours"},
			{CaseID: &c.ID, CustomerID: &o.a.ID, TechnicianID: &o.engineer, Channel: "wecom", Recipient: "陈海波", Text: "for the engineer"},
			{CaseID: &other.ID, CustomerID: &o.b.ID, ContactID: &o.b.Owner, Channel: "sms", Recipient: "+8613807340026", Text: "another's"},
		} {
			if err := tell(ctx, tx, morning, n); err != nil {
				return err
			}
		}
		return nil
	})
	err := o.as(t, o.a.who, func(ctx context.Context, tx pgx.Tx) error {
		// what an owner does may have to be told to the manager; he does not see it
		if err := tellManager(ctx, tx, morning, Notice{CaseID: &c.ID}, machines.Text{ZH: "客户自己说的", EN: "said by the customer"}); err != nil {
			return err
		}
		mine, err := noticesOf(ctx, tx, c.ID)
		if err != nil || len(mine) != 1 || mine[0].Text != "yours" {
			t.Errorf("the owner sees %v %v", mine, err)
		}
		others, err := noticesOf(ctx, tx, other.ID)
		if err != nil || len(others) != 0 {
			t.Errorf("the owner sees of others %v %v", others, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(o.notices(t)); n != 4 {
		t.Errorf("staff sees %d notices, want 4", n)
	}
}

func TestChannels_NamesAreKnownAndNumbersAreMasked(t *testing.T) {
	t.Parallel()
	var said strings.Builder
	log := slog.New(slog.NewTextHandler(&said, nil))
	for _, c := range channels {
		if !knownChannel(c.Name) {
			t.Errorf("channel %s is unknown", c.Name)
		}
		if err := c.Open(log).Send(t.Context(), Notice{ID: uuid.New(), Channel: c.Name, Recipient: "+8613807340417", Text: "hello"}); err != nil {
			t.Error(err)
		}
	}
	if got := said.String(); strings.Count(got, "+86138****0417") != 3 || strings.Contains(got, "0734") {
		t.Errorf("the log says %s", got)
	}
}
