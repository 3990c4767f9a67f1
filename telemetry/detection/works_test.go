package detection

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/sisters"
)

// start is the program time at which tests begin.
var start = time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)

const packText = `model: TEST-1
name: A machine of the tests
name_zh: 测试机
lateness: 2m
signals:
  oil_temp:  {unit: Cel, plausible: [-45, 150], label: Oil temperature, label_zh: 油温}
  load:      {unit: "1", role: context, label: Load, label_zh: 负荷}
  ignition:  {unit: "1", role: context, label: Ignition, label_zh: 点火}
rules:
  - id: oil-hot
    kind: threshold
    component: cooler
    failure_mode: overheating
    title: Oil too hot
    title_zh: 油温过高
    severity: alarm
    signal: oil_temp
    above: 90
    release: 85
    hold: 5m
    clear: 10m
    skills: [hydraulics]
  - id: oil-drifts
    kind: deviation
    component: cooler
    failure_mode: fouled_cooler
    title: Oil warmer than usual
    title_zh: 油温偏高
    severity: warning
    signal: oil_temp
    context: [load]
    learn: 60 rows
    smooth: 5m
    sigma: 5
    min_effect: 4
    direction: up
    hold: 20m
    clear: 20m
    skills: [hydraulics]
  - id: says-nothing
    kind: silence
    component: device
    failure_mode: no_data
    title: No data
    title_zh: 无数据
    severity: advice
    after: 15m
    regime: {ignition: [1, 1]}
    hold: 0m
    clear: 0m
    skills: [electrical]
`

// works is what stands around the rules: a real log and a real database.
type works struct {
	*testing.T
	pool  *postgres.Pool
	log   *intakelog.Log
	clock *clock.Clock
	fleet *Fleet
}

func newWorks(t *testing.T, o intakelog.Options) *works {
	t.Helper()
	pack, err := rules.Parse("test.yaml", []byte(packText))
	if err != nil {
		t.Fatal(err)
	}
	o.CommitDelay = -1
	log, err := intakelog.Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &works{T: t, pool: postgrestest.New(t), log: log, clock: clock.New(start, 0, nil), fleet: NewFleet(map[string]*rules.Pack{pack.Model: pack})}
	w.enter()
	return w
}

// keys are the machines of the tests; the last is of no model.
var keys = []string{"M1", "M2", "M3", "M4", "W1"}

func (w *works) enter() {
	w.Helper()
	staff := identity.Principal{Name: "赵敏", Role: identity.ServiceManager}
	w.as(w.pool, func(tx pgx.Tx) error {
		customer, err := machines.AddCustomer(w.Context(), tx, start, staff, machines.Customer{Name: "砼达泵送", NameEN: "Tongda Pumping", Tier: "A"})
		if err != nil {
			return err
		}
		model, err := machines.AddModel(w.Context(), tx, start, staff, machines.Model{Manufacturer: "Acme", Name: "TEST-1", Kind: "concrete_pump"})
		if err != nil {
			return err
		}
		long, err := machines.AddModel(w.Context(), tx, start, staff, machines.Model{Manufacturer: "Acme", Name: "TEST-1 long", Kind: "concrete_pump", Pack: "TEST-1"})
		if err != nil {
			return err
		}
		for i, key := range keys {
			m := machines.Machine{Manufacturer: "Acme", Serial: key, CustomerID: &customer.ID, HasDevice: true, ModelID: &model.ID}
			if i%2 == 1 {
				m.ModelID = &long.ID
			}
			if key == "W1" {
				m.ModelID = nil
			}
			if _, err := machines.AddMachine(w.Context(), tx, start, staff, m); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *works) as(pool *postgres.Pool, fn func(tx pgx.Tx) error) {
	w.Helper()
	if err := postgres.As(context.WithoutCancel(w.Context()), pool, identity.Program("test"), fn); err != nil {
		w.Fatal(err)
	}
}

func (w *works) ticker() *Ticker { return &Ticker{Clock: w.clock, Intake: w.log, Log: w.logger()} }

func (w *works) logger() *slog.Logger { return slog.New(slog.NewTextHandler(w.Output(), nil)) }

// say appends a message, received now; it is durable when a later tick is.
func (w *works) say(key, payload string) {
	w.Helper()
	err := w.log.Append(intakelog.Record{Kind: intakelog.Message, Source: "embedded", Received: w.clock.Now(), Topic: "fleet/" + key + "/telemetry", Payload: []byte(payload)}, nil)
	if err != nil {
		w.Fatal(err)
	}
}

// minute is what a machine says in a minute of the scenario.
func minute(key string, i int, random *rand.Rand) (string, bool) {
	load := 10 + 5*float64(i%7)
	temperature := 55 + load/5 + random.Float64()
	switch {
	case key == "M1" && (i >= 100 && i < 130 || i >= 200 && i < 215): // twice too hot
		temperature = 95
	case key == "M2" && i >= 150: // slowly fouled
		temperature += 8
	case key == "M3" && i >= 120 && i < 180: // silent for an hour
		return "", false
	case key == "W1" && i >= 200:
		temperature += 30
	}
	return fmt.Sprintf(`{"ts":%d,"boot":"b","seq":%d,"values":{"oil_temp":%.3f,"load":%.0f,"ignition":1,"operating_hours":%.2f}}`,
		start.Add(time.Duration(i)*time.Minute).UnixMilli(), i, temperature, load, 100+float64(i)/60), true
}

// minutes is how long the scenario lasts.
const minutes = 300

// scenario writes a fleet's afternoon to the log: faults, a silence, messages sent
// twice, out of order and late, and a tick each minute.
func (w *works) scenario() (last intakelog.LSN) {
	w.Helper()
	random := rand.New(rand.NewPCG(3, 1))
	held := map[string]string{}
	for i := range minutes {
		w.clock.AdvanceTo(start.Add(time.Duration(i)*time.Minute + time.Second))
		for _, key := range keys {
			payload, speaks := minute(key, i, random)
			if !speaks {
				continue
			}
			if random.IntN(20) == 0 && held[key] == "" { // comes after the next one
				held[key] = payload
				continue
			}
			w.say(key, payload)
			if held[key] != "" {
				w.say(key, held[key])
				held[key] = ""
			}
			if random.IntN(10) == 0 {
				w.say(key, payload)
			}
		}
		if i == 250 { // a backlog that comes much too late
			for k := range 10 {
				w.say("M4", fmt.Sprintf(`{"ts":%d,"values":{"oil_temp":99,"ignition":1}}`, start.Add(time.Duration(30+k)*time.Minute+time.Second).UnixMilli()))
			}
		}
		if err := w.ticker().Write(w.Context(), w.clock.Now(), w.clock.Now().Add(-TickEvery), w.clock.Now()); err != nil {
			w.Fatal(err)
		}
	}
	_, last = w.log.Bounds()
	return last
}

// ledger keeps what was committed, in order.
type ledger struct {
	mu       sync.Mutex
	outcomes []Outcome
}

func (l *ledger) add(o Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outcomes = append(l.outcomes, o)
}

// findings is all changes, one after the other.
func (l *ledger) findings(t *testing.T) string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []machines.FindingChange
	for _, o := range l.outcomes {
		for _, c := range o.Changes {
			c.Finding.MachineID = uuid.Nil // other records, other ids
			all = append(all, c)
		}
	}
	return text(t, all)
}

// folded is what the outcomes come to, however the log was cut into batches.
func (l *ledger) folded(t *testing.T) string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := struct {
		Changes []machines.FindingChange
		Scores  map[uuid.UUID]int
		Seen    map[uuid.UUID]machines.Seen
	}{Scores: map[uuid.UUID]int{}, Seen: map[uuid.UUID]machines.Seen{}}
	for _, o := range l.outcomes {
		sum.Changes = append(sum.Changes, o.Changes...)
		for _, s := range o.Seen {
			if s.Score != nil {
				sum.Scores[s.MachineID], s.Score = s.Score.Points, nil
			}
			if !s.At.Before(sum.Seen[s.MachineID].At) {
				sum.Seen[s.MachineID] = s
			}
		}
	}
	return text(t, sum)
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// changes counts the changes of a rule.
func (l *ledger) changes(rule string, change machines.Change) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.outcomes {
		for _, c := range o.Changes {
			if c.Finding.Rule == rule && c.Change == change {
				n++
			}
		}
	}
	return n
}

// upTo is a log that ends at a record, as it was at some time.
type upTo struct {
	*intakelog.Log
	last intakelog.LSN
}

func (u upTo) Read(ctx context.Context, after intakelog.LSN, limit int, buf []intakelog.Record) ([]intakelog.Record, error) {
	if after >= u.last {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return u.Log.Read(ctx, after, min(limit, shortBatch-int(after%shortBatch), int(u.last-after)), buf)
}

// shortBatch is where batches of tests end, so that a run is some of them.
const shortBatch = 256

// job is one evaluation of the log, in as many runs as a test wants.
type job struct {
	works
	shard    int
	dir      string // of the snapshots
	ledger   *ledger
	commit   Commit // after which an outcome is in the ledger
	store    *Store
	decoders telemetry.Decoders
	every    int // a snapshot every so often
	released func(intakelog.LSN)
	tell     func(*sisters.Cohort)
}

// newJob evaluates the log from its start and commits positions alone.
func (w *works) newJob(t *testing.T) *job {
	j := &job{works: *w, shard: int(shards.Add(1)), dir: t.TempDir(), ledger: &ledger{}, every: 400, decoders: telemetry.OwnDecoders()}
	j.T, j.commit = t, j.advance
	j.on(w.pool)
	return j
}

// on puts the job's records into a database.
func (j *job) on(pool *postgres.Pool) {
	j.pool = pool
	j.store = &Store{Pool: pool, Clock: j.clock, Log: j.logger(), Apply: apply}
}

// shards gives each evaluation of one log a checkpoint of its own.
var shards atomic.Int32

// records is a job on a database of its own, which commits as the program does.
func (w *works) records(t *testing.T) *job {
	t.Helper()
	j := w.newJob(t)
	j.commit = j.accept
	j.on(postgrestest.New(t))
	j.enter()
	return j
}

// advance commits the position alone.
func (j *job) advance(ctx context.Context, o Outcome) error {
	return postgres.As(ctx, j.pool, identity.Program("detection"), func(tx pgx.Tx) error { return Advance(ctx, tx, j.clock.Now(), o.Position) })
}

// accept commits as the program does.
func (j *job) accept(ctx context.Context, o Outcome) error { return j.store.Commit(ctx, o) }

func apply(ctx context.Context, tx pgx.Tx, now time.Time, n News) error {
	if len(n.Changes) > 0 {
		if err := maintenance.Accept(ctx, tx, now, n.Changes); err != nil {
			return err
		}
	}
	if err := machines.SetSeen(ctx, tx, n.Seen); err != nil {
		return err
	}
	return machines.NoteSilences(ctx, tx, now, identity.Program("detection"), n.Silences)
}

func (j *job) runner(source telemetry.Records) *Runner {
	j.Helper()
	var at Position
	j.as(j.pool, func(tx pgx.Tx) (err error) {
		at, err = Take(j.Context(), tx, j.clock.Now(), j.shard, j.log.ID())
		return err
	})
	r, err := NewRunner(Config{Fleet: j.fleet, Source: telemetry.NewStageOf(source, j.pool, j.logger(), j.decoders), Position: at, Dir: j.dir, Log: j.logger(), Released: j.released, Tell: j.tell,
		Commit: func(ctx context.Context, o Outcome) error {
			if err := j.commit(ctx, o); err != nil {
				return err
			}
			j.ledger.add(o)
			return nil
		}})
	if err != nil {
		j.Fatal(err)
	}
	r.shotEvery = j.every
	r.retry = func(int) time.Duration { return time.Millisecond }
	return r
}

// run evaluates the log up to a record; killed leaves the snapshots as a kill
// would, which is without a last one.
func (j *job) run(last intakelog.LSN, killed bool) {
	j.Helper()
	r := j.runner(upTo{j.log, last})
	ctx, cancel := context.WithTimeout(j.Context(), time.Minute)
	defer cancel()
	done := r.Stored
	if killed { // with signs of life and a position that were not stored
		done = r.At
	}
	for done() < last && ctx.Err() == nil {
		batch, err := r.next(ctx)
		switch {
		case err == nil && batch == nil:
			err = r.flush(ctx)
		case err == nil:
			err = r.runOnce(ctx, batch)
		}
		if err != nil {
			j.Fatal(err)
		}
	}
	if done() < last {
		j.Fatalf("evaluated %d of %d records", done(), last)
	}
	if !killed {
		r.snapshot()
	}
}

// stored is what the records hold of findings, cases and machines, without what
// differs from run to run (ids) and with the length of batches (a machine's health
// follows at the end of each).
func (w *works) stored() string {
	w.Helper()
	type row struct {
		Text string `db:"text"`
	}
	var all []string
	w.as(w.pool, func(tx pgx.Tx) error {
		for _, sql := range storedSQL {
			rows, err := postgres.All[row](w.Context(), tx, sql, nil)
			if err != nil {
				return err
			}
			for _, r := range rows {
				all = append(all, r.Text)
			}
		}
		return nil
	})
	return text(w.T, all)
}

var storedSQL = []string{
	`SELECT concat_ws(' ', 'machine', key, health, score, last_seen_at, operating_hours, connectivity, connectivity_since, connectivity_why) AS text FROM machine ORDER BY key`,
	`SELECT concat_ws(' ', 'silence', m.key, s.since, s.noticed_at, s.until, s.cause, s.first_cause, s.why) AS text FROM silence s JOIN machine m ON m.id = s.machine_id ORDER BY m.key, s.since`,
	`SELECT concat_ws(' ', 'finding', m.key, f.component, f.rule, f.severity, f.state, f.opened_at, f.updated_at, f.closed_at, f.close_reason, f.evidence, f.case_id IS NOT NULL) AS text
		FROM finding f JOIN machine m ON m.id = f.machine_id ORDER BY m.key, f.rule, f.opened_at`,
	`SELECT concat_ws(' ', 'case', m.key, c.failure_mode, c.state, c.severity, c.onset_at) AS text
		FROM service_case c JOIN machine m ON m.id = c.machine_id ORDER BY m.key, c.failure_mode`,
	`SELECT concat_ws(' ', 'audit', entity, action, count(*)) AS text FROM audit WHERE action <> 'health' GROUP BY entity, action ORDER BY entity, action`,
	`SELECT concat_ws(' ', 'event', kind, said, count(*)) AS text FROM (SELECT kind, regexp_replace(text_en, 'Case [0-9]+', 'Case') AS said FROM lifecycle_event WHERE kind <> 'health') e
		GROUP BY kind, said ORDER BY kind, said`,
}

func same(t *testing.T, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			t.Fatalf("differs at line %d:\n got %q\nwant %q", i, a[min(i, len(a)):min(i+4, len(a))], b[min(i, len(b)):min(i+4, len(b))])
		}
	}
}
