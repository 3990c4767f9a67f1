package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/versus"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// benchHistory fills a fresh history and asks it for charts. PostgreSQL is filled by
// COPY in the order of arrival, a day at a time, and the product packs each day that
// is over; InfluxDB is filled through the product's own writes.
type benchHistory struct {
	Machines     int           `help:"Machines." default:"100"`
	Signals      int           `help:"Signals of each machine." default:"20"`
	Days         int           `help:"Days; the last one is not over and so not packed." default:"30"`
	Every        time.Duration `help:"Distance of a machine's rows." default:"1m"`
	Queries      int           `help:"Charts that are asked for." default:"300"`
	Points       int           `help:"Points of a chart." default:"1000"`
	InfluxURL    string        `name:"influx-url" help:"Measure this InfluxDB instead of PostgreSQL." placeholder:"URL"`
	InfluxToken  string        `name:"influx-token" help:"Token for InfluxDB (user:password for 1.8)." placeholder:"TOKEN"`
	InfluxOrg    string        `name:"influx-org" help:"Organisation in InfluxDB." default:"thirdstate"`
	InfluxBucket string        `name:"influx-bucket" help:"Bucket in InfluxDB (db/rp for 1.8), which should be empty." default:"telemetry"`
	Filled       bool          `help:"InfluxDB holds the values of an earlier run: only ask."`
}

const maxBenchValues = 2_000_000_000

func (c *benchHistory) check() error {
	switch {
	case c.Machines < 1 || c.Machines > maxBenchMachines:
		return problem.New(problem.Invalid, "--machines must be between 1 and %d", maxBenchMachines)
	case c.Signals < 1 || c.Signals > 200:
		return problem.New(problem.Invalid, "--signals must be between 1 and 200")
	case c.Days < 1 || c.Days > 366:
		return problem.New(problem.Invalid, "--days must be between 1 and 366")
	case c.Every < 10*time.Millisecond || c.Every > 24*time.Hour:
		return problem.New(problem.Invalid, "--every must be between 10ms and 24h")
	case c.values() > maxBenchValues:
		return problem.New(problem.Invalid, "these are %d values, more than %d", c.values(), maxBenchValues)
	case c.Queries < 20 || c.Queries > 100_000:
		return problem.New(problem.Invalid, "--queries must be between 20 and 100000")
	}
	return nil
}

func (c *benchHistory) rowsADay() int { return int(24 * time.Hour / c.Every) }
func (c *benchHistory) values() int   { return c.Machines * c.Signals * c.Days * c.rowsADay() }

// benchEnd is the end of the last day.
var benchEnd = time.Date(2026, 3, 31, 0, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // a constant

// Run prints how large the history is and how long charts take.
func (c *benchHistory) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "thirdstate-bench")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // the database's user must pass through
		return fmt.Errorf("open the folder to the database's user: %w", err)
	}
	y, err := open(ctx, settings{Data: filepath.Join(dir, "data"), MQTTListen: "127.0.0.1:0", Speed: 1, KeepRaw: 400 * 24 * time.Hour,
		InfluxURL: c.InfluxURL, InfluxToken: c.InfluxToken, InfluxOrg: c.InfluxOrg, InfluxBucket: c.InfluxBucket}, false, newLogger("error"))
	if err != nil {
		return err
	}
	ctx = identity.With(ctx, identity.Program("bench"))
	if c.InfluxURL == "" {
		err = c.fillPostgres(ctx, y)
	} else if !c.Filled {
		err = c.fillInflux(ctx, y)
	}
	if err == nil {
		err = c.ask(ctx, y)
	}
	return errors.Join(err, y.close(context.WithoutCancel(ctx)))
}

func benchSignal(i int) string { return fmt.Sprintf("signal_%03d", i) }

// benchFleet says what the machines measure: of ten signals two are states, two
// whole numbers, five have one decimal and one has all digits that a float holds.
type benchFleet struct {
	random *rand.Rand
	levels []float64
	signal int
}

func (c *benchHistory) fleet() *benchFleet {
	f := &benchFleet{random: rand.New(rand.NewPCG(3, 7)), levels: make([]float64, c.Machines*c.Signals), signal: c.Signals} //nolint:gosec // figures, no secrets
	for i := range f.levels {
		f.levels[i] = float64(200 + f.random.IntN(600))
	}
	return f
}

// row is what a machine says next.
func (f *benchFleet) row(machine int, values []float64) {
	for i := range values {
		level := &f.levels[machine*f.signal+i]
		switch kind := i % 10; {
		case kind < 2: // changes now and then
			if f.random.IntN(200) == 0 {
				*level = float64(f.random.IntN(3))
			}
			values[i] = math.Mod(*level, 3)
		case kind < 4:
			*level += math.Round(f.random.NormFloat64() * 8)
			values[i] = *level
		case kind < 9:
			*level += math.Round(f.random.NormFloat64() * 3)
			values[i] = *level / 10
		default:
			values[i] = *level + f.random.NormFloat64()
		}
	}
}

func (c *benchHistory) fillPostgres(ctx context.Context, y *system) error {
	h, ok := y.history.(*history.Postgres)
	if !ok {
		return errors.New("the history is not in PostgreSQL")
	}
	conn, err := pgx.Connect(ctx, y.cluster.URL()) // as its owner: COPY and row-level security exclude each other
	if err != nil {
		return fmt.Errorf("reach the database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	nos, err := c.number(ctx, h, conn)
	if err != nil {
		return err
	}
	fleet := c.fleet()
	var copied, packed time.Duration
	for d := range c.Days {
		from := benchEnd.AddDate(0, 0, d-c.Days)
		began := time.Now()
		if err := c.copyDay(ctx, conn, from, nos, fleet); err != nil {
			return fmt.Errorf("fill %s: %w", from.Format(time.DateOnly), err)
		}
		copied += time.Since(began)
		began = time.Now()
		if _, err := h.Pack(ctx, from); err != nil { // the day before
			return err
		}
		packed += time.Since(began)
	}
	for _, statement := range []string{`VACUUM ANALYZE`, `CHECKPOINT`} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	var rows, blocks int64
	if err := conn.QueryRow(ctx, benchSizeSQL).Scan(&rows, &blocks); err != nil {
		return fmt.Errorf("measure the tables: %w", err)
	}
	perDay := float64(c.values()) / float64(c.Days)
	fmt.Fprintf(y.out, "%d values of %d machines x %d signals x %d days, every %v, in PostgreSQL\n", c.values(), c.Machines, c.Signals, c.Days, c.Every)
	fmt.Fprintf(y.out, "filled by COPY in %v, packed by the product in %v (%.0f values/s)\n", copied.Round(time.Second), packed.Round(time.Second), perDay*float64(c.Days-1)/packed.Seconds())
	fmt.Fprintf(y.out, "bytes a value, with indexes    %8.1f packed days\n", float64(blocks)/(perDay*float64(c.Days-1)))
	fmt.Fprintf(y.out, "                               %8.1f the day that is not over\n", float64(rows)/perDay)
	fmt.Fprintf(y.out, "                               %8.1f all\n", float64(rows+blocks)/float64(c.values()))
	return nil
}

const benchSizeSQL = `SELECT coalesce(sum(pg_total_relation_size(i.inhrelid)), 0)::bigint, pg_total_relation_size('sample_block')
FROM pg_inherits i WHERE i.inhparent = 'sample'::regclass`

const benchNumbersSQL = `SELECT no FROM signal_no ORDER BY name`

// number makes the signals known and gives their numbers.
func (c *benchHistory) number(ctx context.Context, h history.Store, conn *pgx.Conn) ([]int16, error) {
	p := history.Point{Machine: versus.Key(0), MachineNo: 1, At: benchEnd.AddDate(0, 0, -c.Days)}
	for i := range c.Signals {
		p.Values = append(p.Values, observation.Value{Signal: benchSignal(i), Value: 1})
	}
	if err := h.Write(ctx, []history.Point{p}); err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, benchNumbersSQL)
	if err != nil {
		return nil, err
	}
	nos, err := pgx.CollectRows(rows, pgx.RowTo[int16])
	if err != nil {
		return nil, err
	}
	slices.Sort(nos)
	_, err = conn.Exec(ctx, `TRUNCATE sample`)
	return nos, err
}

const benchDaySQL = `SELECT ensure_sample_partition($1)`

func (c *benchHistory) copyDay(ctx context.Context, conn *pgx.Conn, from time.Time, nos []int16, fleet *benchFleet) error {
	if _, err := conn.Exec(ctx, benchDaySQL, from); err != nil {
		return err
	}
	values := make([]float64, c.Signals)
	n := 0
	rows := pgx.CopyFromFunc(func() ([]any, error) {
		if n == c.Machines*c.rowsADay() {
			return nil, nil
		}
		machine := n % c.Machines
		at := from.Add(time.Duration(n/c.Machines) * c.Every).Add(time.Duration(machine%1_000) * time.Millisecond)
		n++
		fleet.row(machine, values)
		return []any{int32(machine + 1), at, nos, values}, nil //nolint:gosec // at most maxBenchMachines
	})
	_, err := conn.CopyFrom(ctx, pgx.Identifier{"sample_" + from.Format("20060102")}, []string{"machine_no", "at", "signal_nos", "vals"}, rows)
	return err
}

// fillInflux writes the points in the order of arrival.
func (c *benchHistory) fillInflux(ctx context.Context, y *system) error {
	const batch = 5_000
	fleet, began := c.fleet(), time.Now()
	values := make([]float64, c.Signals)
	points := make([]history.Point, 0, batch)
	total := c.Machines * c.rowsADay() * c.Days
	for n := range total {
		machine := n % c.Machines
		fleet.row(machine, values)
		p := history.Point{Machine: versus.Key(machine), MachineNo: machine + 1, Model: versus.Model, Values: make([]observation.Value, c.Signals),
			At: benchEnd.AddDate(0, 0, -c.Days).Add(time.Duration(n/c.Machines) * c.Every).Add(time.Duration(machine%1_000) * time.Millisecond)}
		for i, v := range values {
			p.Values[i] = observation.Value{Signal: benchSignal(i), Value: v}
		}
		if points = append(points, p); len(points) < batch && n < total-1 {
			continue
		}
		if err := y.history.Write(ctx, points); err != nil {
			return err
		}
		points = points[:0]
	}
	took := time.Since(began)
	fmt.Fprintf(y.out, "%d values of %d machines x %d signals x %d days, every %v, in InfluxDB\n", c.values(), c.Machines, c.Signals, c.Days, c.Every)
	fmt.Fprintf(y.out, "written in %v (%.0f values/s)\n", took.Round(time.Second), float64(c.values())/took.Seconds())
	return nil
}

// ask reads charts of all days, of one signal each, of machines by chance.
func (c *benchHistory) ask(ctx context.Context, y *system) error {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // chooses charts
	const warmUp = 5
	var took []time.Duration
	for i := range c.Queries + warmUp {
		machine := random.IntN(c.Machines)
		q := history.Query{Machine: history.Ref{Key: versus.Key(machine), No: machine + 1}, Signals: []string{benchSignal(random.IntN(c.Signals))},
			From: benchEnd.AddDate(0, 0, -c.Days), To: benchEnd, MaxPoints: c.Points}
		began := time.Now()
		series, err := y.history.Range(ctx, q)
		if err != nil {
			return err
		}
		if len(series) != 1 || len(series[0].At) < min(c.Points, c.rowsADay()*c.Days)*9/10 {
			return fmt.Errorf("a chart of %s has %d series", q.Machine.Key, len(series))
		}
		if i >= warmUp {
			took = append(took, time.Since(began))
		}
	}
	slices.Sort(took)
	fmt.Fprintf(y.out, "chart of one signal, %d days, %d points: p50 %.1f ms, p95 %.1f ms, longest %.1f ms of %d\n", c.Days, c.Points,
		ms(quantile(took, 0.5)), ms(quantile(took, 0.95)), ms(took[len(took)-1]), len(took))
	return nil
}
