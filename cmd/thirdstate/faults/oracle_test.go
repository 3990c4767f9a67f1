package faults

import (
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
)

// account is the intake's own, as it tells it.
type account struct {
	Received, Stored, Duplicates, Dead, Unclaimed, Refused, Waiting int
	Last                                                            float64
	Holds                                                           bool
}

// settle waits until the history and the rules have all that is in the log by now.
func (p *plant) settle() {
	p.Helper()
	end := 0.0
	p.until("everything is stored and evaluated", func() bool {
		var a account
		if status, _ := p.get("/api/v1/intake", &a); status != 200 {
			return false
		}
		if end == 0 {
			end = a.Last
		}
		return a.Last-float64(a.Waiting) >= end && p.figures()["thirdstate_rules_lsn"] >= end
	})
}

// verdict is what the oracle has found.
type verdict struct {
	sent, acked, lost, wrong, stored int
	resent                           uint64
	account                          account
	findings                         int
}

// judge lets the fleet finish, waits until everything is stored and evaluated, and
// compares the stores with the ledger. Nothing of it may be lost or wrong or doubled.
func (p *plant) judge(f *fleet) verdict {
	p.Helper()
	acked, resent := f.finish()
	p.settle()
	v := verdict{acked: acked, resent: resent}
	p.until("all that was acknowledged is in the store", func() bool { // what InfluxDB has lost is written again by and by
		v.stored, v.lost, v.wrong = p.compare(f)
		return v.lost == 0
	})
	for _, words := range f.words {
		v.sent += len(words)
	}
	p.get("/api/v1/intake", &v.account)
	if a := v.account; !a.Holds || a.Stored != v.sent || a.Dead+a.Unclaimed+a.Refused > 0 {
		p.Errorf("the account of %d messages is %+v", v.sent, a)
	}
	if v.acked != v.sent || v.wrong > 0 || v.stored != v.sent {
		p.Errorf("%d said, %d acknowledged, %d stored, %d of them at a wrong time", v.sent, v.acked, v.stored, v.wrong)
	}
	p.until("what was found is committed", func() bool { return p.committed(f) })
	v.findings = p.found(f)
	p.Logf("%d messages acknowledged, %d sent again, %d lost; %d findings, each with one case; %+v", v.acked, v.resent, v.lost, v.findings, v.account)
	return v
}

// compare counts what the store has, what the ledger has and it has not, and what
// it has at another time than it was said for.
func (p *plant) compare(f *fleet) (stored, lost, wrong int) {
	p.Helper()
	read := p.storedInPostgres
	if p.influx != nil {
		read = p.storedInInflux
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for machine, rows := range read(f.machines) {
		found := make([]bool, len(f.words[machine])+1)
		for at, seq := range rows {
			if seq < 1 || seq >= len(found) || at != f.words[machine][seq-1].ts {
				wrong++
				continue
			}
			found[seq] = true
			stored++
		}
		for i, w := range f.words[machine] {
			if w.took > 0 && !found[i+1] {
				lost++
			}
		}
	}
	return stored, lost, wrong
}

// storedInInflux reads sequence numbers by time, in milliseconds, of each machine.
func (p *plant) storedInInflux(machines int) []map[int64]int {
	p.Helper()
	all := make([]map[int64]int, machines)
	for i := range all {
		all[i] = map[int64]int{}
		series, err := p.influx.Query(p.Context(), fmt.Sprintf(`SELECT "seq" FROM "telemetry" WHERE "machine" = '%s'`, key(i)))
		p.must(err)
		for _, s := range series {
			for _, row := range s.Values {
				all[i][int64(row[0].(float64))] = int(row[1].(float64))
			}
		}
	}
	return all
}

const storedSQL = `SELECT m.key, s.at, s.vals[array_position(s.signal_nos, n.no)]
FROM sample s JOIN machine m ON m.no = s.machine_no JOIN signal_no n ON n.name = 'seq'
WHERE n.no = ANY (s.signal_nos)`

func (p *plant) storedInPostgres(machines int) []map[int64]int {
	p.Helper()
	all, places := make([]map[int64]int, machines), map[string]int{}
	for i := range all {
		all[i], places[key(i)] = map[int64]int{}, i
	}
	var machine string
	var at time.Time
	var seq float64
	p.read(storedSQL, []any{&machine, &at, &seq}, func() { all[places[machine]][at.UnixMilli()] = int(seq) })
	return all
}

// read asks PostgreSQL without the program.
func (p *plant) read(sql string, into []any, each func()) {
	p.Helper()
	p.must(p.ask(sql, into, each))
}

// ask is read where PostgreSQL may be away.
func (p *plant) ask(sql string, into []any, each func()) error {
	conn, err := pgx.Connect(p.Context(), p.records)
	if err != nil {
		return err
	}
	defer conn.Close(p.Context())
	if _, err = conn.Exec(p.Context(), `SELECT set_config('app.scope', 'all', false)`); err != nil {
		return err
	}
	rows, err := conn.Query(p.Context(), sql)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, into, func() error { each(); return nil })
	return err
}

const (
	findingsSQL = `SELECT m.key, f.rule, count(*)::int FROM finding f JOIN machine m ON m.id = f.machine_id GROUP BY 1, 2`
	casesSQL    = `SELECT m.key, c.failure_mode, count(*)::int FROM service_case c JOIN machine m ON m.id = c.machine_id GROUP BY 1, 2`
)

// hold is how long an oil pressure must be low, and a little more.
const hold = 2*time.Minute + 10*time.Second

const openSQL = `SELECT count(*)::int FROM finding WHERE rule = 'oil-pressure-low'`

// committed says whether there are as many findings as machines that fail: what is
// evaluated may wait for a database that has just come back.
func (p *plant) committed(f *fleet) bool {
	p.Helper()
	want, got := 0, 0
	for i := range f.machines {
		if f.faultAt(i) > 0 {
			want++
		}
	}
	p.read(openSQL, []any{&got}, func() {})
	return got >= want
}

// found must be one finding and one case of each machine whose oil pressure fell, and
// none of another; it returns how many there are.
func (p *plant) found(f *fleet) (n int) {
	p.Helper()
	counts := map[string]int{}
	for _, sql := range []string{findingsSQL, casesSQL} {
		var machine, what string
		var times int
		p.read(sql, []any{&machine, &what, &times}, func() { counts[machine+" "+what] = times })
	}
	others := maps.Clone(counts)
	for i := range f.machines {
		want := 0
		if f.faultAt(i) > 0 {
			want = 1
			n++
			if words := f.words[i]; words[len(words)-1].ts-words[f.faultAt(i)-1].ts < hold.Milliseconds() {
				p.Fatalf("%s did not speak for long enough to be found: say more", key(i))
			}
		}
		for _, what := range []string{" oil-pressure-low", " low_oil_pressure"} {
			if got := counts[key(i)+what]; got != want {
				p.Errorf("%s has %d of%s, not %d", key(i), got, what, want)
			}
			delete(others, key(i)+what)
		}
	}
	for what, times := range others {
		p.Errorf("%d times %s, which no machine has", times, what)
	}
	return n
}
