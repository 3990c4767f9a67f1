package history

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
)

// packed packs all days after some writes, as if they were over.
type packed struct {
	*Postgres
	every, writes int
}

func (p *packed) Write(ctx context.Context, points []Point) error {
	err := p.Postgres.Write(ctx, points)
	if p.writes++; p.writes%p.every == 0 {
		_, failed := p.Pack(program(context.WithoutCancel(ctx)), start.AddDate(1, 0, 0))
		err = errors.Join(err, failed)
	}
	return err
}

func TestHistory_PackedPostgreSQL(t *testing.T) {
	t.Parallel()
	for _, every := range []int{1, 2} { // all is packed; rows and blocks lie beside each other
		t.Run(fmt.Sprintf("EachWrite%d", every), func(t *testing.T) {
			t.Parallel()
			pool := postgrestest.New(t)
			conform(t, &packed{Postgres: NewPostgres(pool), every: every}, pool)
		})
	}
}

func packShelf(t *testing.T) (shelf, *Postgres) {
	t.Helper()
	pool := postgrestest.New(t)
	machine, ref := addMachine(t, pool, "PM62-5")
	h := NewPostgres(pool)
	return shelf{Store: h, pool: pool, machine: machine, ref: ref}, h
}

func count(t *testing.T, pool *postgres.Pool, sql string) (n int64) {
	t.Helper()
	err := postgres.As(t.Context(), pool, identity.Program("test"), func(tx pgx.Tx) (err error) {
		n, err = postgres.Value[int64](t.Context(), tx, sql, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPack_LeavesDaysThatAreNotOver(t *testing.T) {
	t.Parallel()
	s, h := packShelf(t)
	today := start.Truncate(wholeDay)
	s.write(t, s.point(-int(wholeDay.Seconds()), val("a", 1)), s.point(0, val("a", 2)))
	rows, err := h.Pack(program(t.Context()), today)
	if err != nil || rows != 1 {
		t.Fatalf("%d rows, %v", rows, err)
	}
	want(t, count(t, s.pool, `SELECT count(*) FROM sample`), int64(1))
	want(t, count(t, s.pool, `SELECT count(*) FROM sample_block`), int64(1))
	want(t, s.rows(program(t.Context()), t), table{-86_400: {"a": 1}, 0: {"a": 2}})
}

// TestPack_JoinsWhatIsLate writes a day in pieces, backwards, each packed at once: in
// the end there are as few blocks as of a day that came in order.
func TestPack_JoinsWhatIsLate(t *testing.T) {
	t.Parallel()
	s, h := packShelf(t)
	day := start.Truncate(wholeDay)
	whole := table{}
	for piece := 9; piece >= 0; piece-- {
		var points []Point
		for i := range 600 {
			n := piece*600 + i
			p := s.point(0, val("a", float64(n)/10))
			p.At = day.Add(time.Duration(n) * 10 * time.Second)
			points = append(points, p)
			whole[int(p.At.Sub(start).Seconds())] = map[string]float64{"a": float64(n) / 10}
		}
		s.write(t, points...)
		if _, err := h.Pack(program(t.Context()), day.Add(wholeDay)); err != nil {
			t.Fatal(err)
		}
	}
	want(t, s.rows(program(t.Context()), t), whole)
	if n := count(t, s.pool, `SELECT count(*) FROM sample_block`); n > 3 {
		t.Errorf("%d blocks of 6,000 values", n)
	}
}

// TestPrune_JoinsADayThatComesBack rolls up a day in three parts: the roll-ups are
// those of the whole.
func TestPrune_JoinsADayThatComesBack(t *testing.T) {
	t.Parallel()
	s, h := packShelf(t)
	day := start.Truncate(wholeDay)
	for part := range 3 {
		var points []Point
		for i := part; i < 1_440; i += 3 {
			p := s.point(0, val("a", float64(i)), val("b", math.MaxFloat64))
			p.At = day.Add(time.Duration(i) * time.Minute)
			points = append(points, p)
		}
		s.write(t, points...)
		if days, err := h.Prune(program(t.Context()), day.Add(wholeDay)); err != nil || days != 1 {
			t.Fatalf("%d days, %v", days, err)
		}
	}
	series, err := s.Range(program(t.Context()), Query{Machine: s.ref, From: day, To: day.Add(wholeDay)})
	if err != nil || len(series) != 2 || len(series[0].At) != 96 {
		t.Fatalf("%v, %v", series, err)
	}
	for i, at := range series[0].At {
		first := float64(15 * i)
		if !at.Equal(day.Add(time.Duration(i)*quarterTime)) || series[0].Low[i] != first || series[0].High[i] != first+14 || math.Abs(series[0].Mean[i]-first-7) > 1e-9 {
			t.Fatalf("quarter %d at %v: %v in %v..%v", i, at, series[0].Mean[i], series[0].Low[i], series[0].High[i])
		}
	}
	want(t, count(t, s.pool, `SELECT count(*) FROM sample_block WHERE seconds = 0`), int64(0))
	want(t, count(t, s.pool, `SELECT count(*) FROM pg_inherits WHERE inhparent = 'sample'::regclass`), int64(0))
}

// TestPack_KeepsOwnersApart packs a day in which a machine was sold: the database
// itself shows neither owner a block with a value of the other.
func TestPack_KeepsOwnersApart(t *testing.T) {
	t.Parallel()
	s, h := packShelf(t)
	first := sell(t, s.pool, s.machine, start.Add(-time.Hour))
	for i := range 100 {
		s.write(t, s.point(i, val("a", float64(i)), val("b", 1)))
	}
	if _, err := h.Pack(program(t.Context()), start.AddDate(0, 0, 2)); err != nil {
		t.Fatal(err)
	}
	want(t, len(s.rows(identity.With(t.Context(), first), t)), 100)
	second := sell(t, s.pool, s.machine, start.Add(40*time.Second))
	seen := func(who identity.Principal) (n int64) {
		t.Helper()
		err := postgres.As(t.Context(), s.pool, who, func(tx pgx.Tx) (err error) {
			n, err = postgres.Value[int64](t.Context(), tx, `SELECT coalesce(sum(n), 0)::bigint FROM sample_block`, nil)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	want(t, seen(second), int64(0)) // nobody's until they are split
	want(t, len(s.rows(identity.With(t.Context(), second), t)), 60)
	want(t, seen(second), int64(120))
	want(t, seen(first), int64(0))
	want(t, len(s.rows(program(t.Context()), t)), 100)
}

// TestPack_LosesNothingThatIsWrittenMeanwhile writes into days that are being packed
// and read; in the end everything is there, and no reader ever misses a thing.
func TestPack_LosesNothingThatIsWrittenMeanwhile(t *testing.T) {
	t.Parallel()
	s, h := packShelf(t)
	ctx, cancel := context.WithCancel(program(t.Context()))
	defer cancel()
	packer := make(chan error, 1)
	go func() {
		for {
			if _, err := h.Pack(ctx, start.AddDate(0, 0, 2)); err != nil {
				if ctx.Err() != nil {
					err = nil
				}
				packer <- err
				return
			}
		}
	}()
	for i := range 60 {
		s.write(t, s.point(i*1_000, val("a", float64(i))), s.point((i/2)*1_000, val("b", float64(i))))
		if n := len(s.rows(program(t.Context()), t)); n != i+1 {
			t.Fatalf("%d rows of %d", n, i+1)
		}
	}
	cancel()
	if err := <-packer; err != nil {
		t.Fatal(err)
	}
	rows := s.rows(program(t.Context()), t)
	for i := range 30 {
		want(t, rows[i*1_000], map[string]float64{"a": float64(i), "b": float64(2*i + 1)})
	}
}
