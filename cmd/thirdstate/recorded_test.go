package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/api"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/bundle"
	"github.com/thirdstate/thirdstate/telemetry/rules/watchfile"
)

// recorded is one of the shipped recordings, with what is known of it.
type recorded struct {
	file, mapping string
	every         time.Duration     // between two rows of a machine
	rows, longest int               // of all machines, of the one with most
	watch         watchfile.Options // what tells `watch` the same as the mapping tells `simulate`
	machines      []recordedMachine
}

// recordedMachine may be found at rows after healthy, up to last.
type recordedMachine struct {
	key, group    string
	healthy, last int
}

// recordings are the examples. An engine fails in its last row; it must be found in
// the second half of its life and 20 flights ahead. The plant is disturbed after
// row 160.
func recordings() []recorded {
	return []recorded{
		{
			file: "cmapss-fd001.csv.gz", mapping: "cmapss.yaml", every: 3 * time.Hour, rows: 192 + 259 + 150 + 234, longest: 259,
			watch: watchfile.Options{Time: "none", Group: "unit", Ignore: []string{"cycle", "altitude", "mach", "throttle"}},
			machines: []recordedMachine{
				{"FD001-1", "1", 192 / 2, 192 - 20}, {"FD001-7", "7", 259 / 2, 259 - 20}, {"FD001-8", "8", 150 / 2, 150 - 20}, {"FD001-20", "20", 234 / 2, 234 - 20},
			},
		},
		{
			file: "tep-fault04.csv.gz", mapping: "tep.yaml", every: 3 * time.Minute, rows: 960, longest: 960,
			watch:    watchfile.Options{Time: "none"},
			machines: []recordedMachine{{"TEP-04", "1", 160, 200}},
		},
	}
}

// begin is the time of the first row when the last one is now.
func (r recorded) begin(now time.Time) time.Time {
	return now.Add(-time.Duration(r.longest-1) * r.every)
}

func example(name string) string { return filepath.Join("..", "..", "examples", name) }

// importRecorded enters the machines of the examples with the command, no model.
func (p *product) importRecorded(t *testing.T) {
	t.Helper()
	address := p.DatabaseURL
	if address == "" {
		address = p.cluster.URL()
	}
	c := importMachines{store: store{Data: p.Data, DatabaseURL: address}, File: example("machines.csv")}
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// replay plays a recording over MQTT with the command and waits until all of it is
// evaluated and stored.
func (p *product) replay(t *testing.T, r recorded, start time.Time) {
	t.Helper()
	before := p.intake.Stats().Appended
	c := simulateCommand{MQTTURL: "mqtt://" + p.embedded.Addr().String(), Machines: 1, Interval: time.Second, Start: start,
		Replay: []string{example(r.file)}, Mapping: example(r.mapping)}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := p.intake.Stats().Appended - before; got < uint64(r.rows) {
		t.Errorf("%s: %d messages came in, there are %d rows", r.file, got, r.rows)
	}
}

// TestRecorded_FaultsAreFoundOverMQTTAsInTheFile plays recorded machines, which no
// pack describes, into the whole product: each opens a finding and a case in time and
// not while healthy, and it is the finding that `watch` has of the file.
func TestRecorded_FaultsAreFoundOverMQTTAsInTheFile(t *testing.T) {
	t.Parallel()
	s := testSettings(t)
	s.ClockStart, s.Speed = time.Date(2026, 5, 4, 8, 0, 0, 0, time.UTC), 0
	p := serveProduct(t, s)
	p.importRecorded(t)
	var rows int
	for _, r := range recordings() {
		p.replay(t, r, r.begin(s.ClockStart))
		rows += r.rows
	}
	// A last row waits for what could still come before it; a tick ends that.
	if err := p.ticker().Write(t.Context(), p.clock.Now(), s.ClockStart.Add(-detection.TickEvery), s.ClockStart); err != nil {
		t.Fatal(err)
	}
	if err := p.settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.holdsAll(t, rows)
	for _, r := range recordings() {
		inFile := r.watched(t)
		for _, m := range r.machines {
			p.foundInTime(t, m, r, s.ClockStart, inFile[m.group])
		}
	}
}

// watched is what `watch` finds in the file, by machine.
func (r recorded) watched(t *testing.T) map[string][]watchfile.Episode {
	t.Helper()
	in, err := os.Open(example(r.file))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	options := r.watch
	options.Every = r.every
	summary, err := watchfile.Run(t.Context(), in, r.file, options, io.Discard)
	if err != nil || summary.Rows != r.rows {
		t.Fatalf("%s: %d rows, not %d: %v", r.file, summary.Rows, r.rows, err)
	}
	found := map[string][]watchfile.Episode{}
	for _, e := range summary.Episodes {
		found[e.Machine] = append(found[e.Machine], e)
	}
	return found
}

// holdsAll holds that each row is stored, and nothing twice.
func (p *product) holdsAll(t *testing.T, rows int) {
	t.Helper()
	_, last := p.intake.Bounds()
	p.as(t, func(tx pgx.Tx) error {
		account, err := telemetry.ReadAccount(t.Context(), tx, p.intake.ID(), uint64(last))
		if err == nil && (!account.Holds() || account.Stored != int64(rows)) {
			t.Errorf("of %d rows: %+v", rows, account)
		}
		return err
	})
}

// machineFile asks the API for the machine with this key.
func (p *product) machineFile(t *testing.T, key string) (file api.MachineFile) {
	t.Helper()
	var list api.Items[machines.Row]
	p.call(t, http.MethodGet, "/machines?search="+key, nil, &list, http.StatusOK)
	for _, m := range list.Items {
		if m.Key == key {
			p.call(t, http.MethodGet, "/machines/"+m.ID.String(), nil, &file, http.StatusOK)
			return file
		}
	}
	t.Fatalf("there is no machine %s", key)
	return file
}

// foundInTime compares a machine's file with what is known, and with the file of
// its rows.
func (p *product) foundInTime(t *testing.T, m recordedMachine, r recorded, now time.Time, inFile []watchfile.Episode) {
	t.Helper()
	file := p.machineFile(t, m.key)
	if len(file.Findings) != len(inFile) || len(inFile) == 0 {
		t.Fatalf("%s: %d findings, `watch` has %d episodes", m.key, len(file.Findings), len(inFile))
	}
	for i, e := range inFile {
		f := file.Findings[len(inFile)-1-i] // newest first
		row := int(f.OpenedAt.Sub(r.begin(now))/r.every) + 1
		var evidence rules.Evidence
		if err := json.Unmarshal(f.Evidence, &evidence); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %s at row %d, %s", m.key, f.State, row, evidence.Signal)
		if row <= m.healthy || row > m.last {
			t.Errorf("%s: found at row %d, not between %d and %d", m.key, row, m.healthy+1, m.last)
		}
		if row != e.Opened || (f.ClosedAt != nil) != (e.Closed != 0) || evidence.Signal != e.Evidence.Signal || evidence.Sigma != e.Evidence.Sigma {
			t.Errorf("%s: over MQTT %s %s at row %d (%+v), in the file at row %d (%+v)", m.key, f.Rule, f.State, row, evidence, e.Opened, e.Evidence)
		}
		if f.CaseID == nil || len(file.Work.Cases) != 1 || file.Work.Cases[0].ID != *f.CaseID {
			t.Errorf("%s: the finding's case is %v, the file has %+v", m.key, f.CaseID, file.Work.Cases)
		}
		p.provesItself(t, f)
	}
	if file.Machine.Health != machines.ThirdState {
		t.Errorf("%s is held to be %s", m.key, file.Machine.Health)
	}
}

// provesItself holds that the finding's bundle is verified without the server.
func (p *product) provesItself(t *testing.T, f machines.Finding) {
	t.Helper()
	answer, data := fetch(t, p.url+"/api/v1/findings/"+f.ID.String()+"/bundle", p.token)
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "application/zip" {
		t.Fatalf("bundle: %d %.300s", answer.StatusCode, data)
	}
	report, err := bundle.Verify(data)
	if err != nil || report.Finding.Rule != f.Rule || report.Finding.RuleHash != f.RuleHash || !report.Finding.OpenedAt.Equal(f.OpenedAt) {
		t.Errorf("%+v is not %s at %s: %v", report, f.Rule, f.OpenedAt, err)
	}
}
