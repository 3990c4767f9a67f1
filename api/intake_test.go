package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/rules/packs"
)

// withLog mounts the house's API again, with an intake log and the rule packs.
func (h *house) withLog(t *testing.T) *intakelog.Log {
	t.Helper()
	log, err := intakelog.Open(t.TempDir(), intakelog.Options{MaxBytes: 16 << 20, SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	all, err := packs.All()
	if err != nil {
		t.Fatal(err)
	}
	cfg := h.s.Config
	cfg.Registry, cfg.IntakeLog, cfg.Fleet = nil, log, detection.NewFleet(all)
	h.e = echo.New()
	if h.s, err = Mount(h.e, cfg); err != nil {
		t.Fatal(err)
	}
	return log
}

func (h *house) do(t *testing.T, sql string, args pgx.NamedArgs) {
	t.Helper()
	err := postgres.As(t.Context(), h.w.Pool, maintenancetest.Program, func(tx pgx.Tx) error {
		_, err := postgres.Run(t.Context(), tx, sql, args)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestObservations_AreInTheLogWhenTheSenderIsAnswered(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	log := h.withLog(t)
	key, other := h.a.Machine.Key, h.b.Machine.Key
	at := maintenancetest.Now.UTC().Format("2006-01-02T15:04:05Z")
	body := func(machine, rest string) string {
		return fmt.Sprintf(`{"machine":%q,"observations":[%s]}`, machine, rest)
	}
	h.run(t, []scenario{
		{"one", manager, false, post, "/observations", body(key, `{"at":"`+at+`","boot":"b","seq":1,"values":{"oil_temp":61.5,"油温":1}}`), nil, 201, []string{`"lsn":1`}, nil, 0},
		{"an owner for his machine", owner, false, post, "/observations", body(key, `{"values":{"oil_temp":62}}`), nil, 201, []string{`"lsn":2`}, nil, 0},
		{"an owner for another's", owner, false, post, "/observations", body(other, `{"values":{"oil_temp":62}}`), nil, 404, nil, []string{other}, 0},
		{"who may only look", viewer, false, post, "/observations", body(key, `{"values":{"oil_temp":62}}`), nil, 403, nil, nil, 0},
		{"no such machine", manager, false, post, "/observations", body("nobody", `{"values":{"oil_temp":62}}`), nil, 404, nil, nil, 0},
		{"too old", manager, false, post, "/observations", body(key, `{"at":"1999-01-01T00:00:00Z","values":{"a":1}},{"values":{"\\":1}}`), nil, 400, []string{"E_TS_PAST", "E_SIGNAL_NAME"}, nil, 0},
		{"no numbers", manager, false, post, "/observations", body(key, `{"values":{"a":"1"}}`), nil, 400, []string{"/observations/0/values/a"}, nil, 0},
		{"none", manager, false, post, "/observations", body(key, ``), nil, 400, []string{"/observations"}, nil, 0},
	})
	records, err := log.Read(t.Context(), 0, 10, nil)
	if err != nil || len(records) != 2 || records[0].Topic != "fleet/"+key+"/telemetry" || records[0].Source != "http" {
		t.Fatalf("%+v, %v", records, err)
	}
	var out formats.Decoded
	m := formats.Message{Topic: records[0].Topic, Received: records[0].Received, Payload: records[0].Payload}
	if _, err := formats.Decode(m, &out); err != nil || len(out.Readings) != 1 || out.Readings[0].Seq != 1 || len(out.Readings[0].Values) != 2 {
		t.Fatalf("%s: %+v, %v", records[0].Payload, out.Readings, err)
	}
	h.run(t, []scenario{
		{"the account", manager, false, get, "/intake", "", nil, 200, []string{`"received":2`, `"waiting":2`, `"holds":true`, `"last":2`, log.ID().String()}, nil, 0},
		{"not for owners", owner, false, get, "/intake", "", nil, 403, nil, nil, 0},
	})
}

const letterRowSQL = `INSERT INTO dead_letter (log, lsn, received_at, source, topic, device, payload, payload_bytes, reason, detail, decoder)
SELECT @log, n, @at, 'embedded', 'fleet/PM1/telemetry', 'PM1', '{', 1, 'E_JSON_SYNTAX', 'cut', 'own-json' FROM generate_series(1, 7) AS n`

func TestDeadLetters_AreListedReplayedAndDiscarded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	log := h.withLog(t)
	h.do(t, letterRowSQL, pgx.NamedArgs{"log": log.ID(), "at": maintenancetest.Now})
	h.run(t, []scenario{
		{"a list", manager, false, get, "/dead-letters?state=open&reason=E_JSON_SYNTAX&limit=3", "", nil, 200, []string{`"id":7`, `"payload":"` + base64.StdEncoding.EncodeToString([]byte("{")) + `"`, `"next":"`}, []string{`"id":4`}, 0},
		{"groups", manager, false, get, "/dead-letters/groups", "", nil, 200, []string{`"open":7`, `"reason":"E_JSON_SYNTAX"`}, nil, 0},
		{"one", manager, false, get, "/dead-letters/3", "", nil, 200, []string{`"detail":"cut"`}, nil, 0},
		{"not for owners", owner, false, get, "/dead-letters", "", nil, 403, nil, nil, 0},
		{"none", manager, false, get, "/dead-letters/99", "", nil, 404, nil, nil, 0},
		{"no number", manager, false, get, "/dead-letters/x", "", nil, 400, nil, nil, 0},
		{"a foreign cursor", manager, false, get, "/dead-letters?cursor=x", "", nil, 400, []string{"/cursor"}, nil, 0},
		{"replayed", manager, false, post, "/dead-letters/3/replay", "", nil, 204, nil, nil, 1},
		{"again", manager, false, post, "/dead-letters/3/replay", "", nil, 409, []string{"already"}, nil, 0},
		{"discarded without a reason", manager, false, post, "/dead-letters/4/discard", `{}`, nil, 400, []string{"reason"}, nil, 0},
		{"discarded", manager, false, post, "/dead-letters/4/discard", `{"reason":"a test bench"}`, nil, 204, nil, nil, 1},
		{"and said so", manager, false, get, "/dead-letters/4", "", nil, 200, []string{`"state":"discarded"`, "a test bench"}, nil, 0},
	})
	records, err := log.Read(t.Context(), 0, 10, nil)
	if err != nil || len(records) != 1 || string(records[0].Payload) != "{" {
		t.Fatalf("%+v, %v", records, err)
	}
	seen := 0
	for path := "/dead-letters?limit=2"; path != ""; {
		w := h.ask(manager, http.MethodGet, path, "")
		var page Items[telemetry.DeadLetter]
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		seen += len(page.Items)
		if path = ""; page.Next != "" {
			path = "/dead-letters?limit=2&cursor=" + page.Next
		}
	}
	if seen != 7 {
		t.Fatalf("the pages hold %d letters", seen)
	}
}

const strangerSQL = `WITH u AS (INSERT INTO unclaimed (key, first_seen_at, last_seen_at, messages, kept, topic, payload) VALUES (@key, @at, @at, 1, 1, 't', '{}'))
SELECT 1`

func TestUnclaimed_AreListedAndClaimed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.withLog(t)
	for _, key := range []string{"GW-7", "油泵/a b"} {
		h.do(t, strangerSQL, pgx.NamedArgs{"key": key, "at": maintenancetest.Now})
	}
	claim := func(key string) string { return fmt.Sprintf(`{"key":%q,"machineId":%q}`, key, h.a.Machine.ID) }
	h.run(t, []scenario{
		{"a list", manager, false, get, "/unclaimed", "", nil, 200, []string{`"key":"GW-7"`, "油泵/a b"}, nil, 0},
		{"not for owners", owner, false, get, "/unclaimed", "", nil, 403, nil, nil, 0},
		{"claimed", manager, false, post, "/unclaimed/claims", claim("GW-7"), nil, 204, nil, nil, 1},
		{"again", manager, false, post, "/unclaimed/claims", claim("GW-7"), nil, 409, nil, nil, 0},
		{"a name that needs quoting", manager, false, post, "/unclaimed/claims", claim("油泵/a b"), nil, 204, nil, nil, 1},
		{"no such name", manager, false, post, "/unclaimed/claims", claim("x"), nil, 404, nil, nil, 0},
		{"no machine", manager, false, post, "/unclaimed/claims", `{}`, nil, 400, []string{"machineId", "key"}, nil, 0},
		{"gone from the list", manager, false, get, "/unclaimed", "", nil, 200, nil, []string{"GW-7"}, 0},
	})
}

func TestDevices_GetATokenAndLoseIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.run(t, []scenario{
		{"added", manager, false, post, "/devices", `{"key":"DEV-9","machineId":"` + h.a.Machine.ID.String() + `"}`, []string{"Idempotency-Key", "one"}, 201, []string{`"token":"3sd_`}, nil, 1},
		{"listed without its token", manager, false, get, "/devices", "", nil, 200, []string{`"key":"DEV-9"`}, []string{"3sd_", "hash"}, 0},
		{"a bad key", manager, false, post, "/devices", `{"key":"#"}`, nil, 400, []string{`"/key"`}, nil, 0},
		{"not for owners", owner, false, get, "/devices", "", nil, 403, nil, nil, 0},
		{"revoked", manager, false, remove, "/devices/DEV-9", "", nil, 204, nil, nil, 1},
		{"again", manager, false, remove, "/devices/DEV-9", "", nil, 404, nil, nil, 0},
	})
}

func TestRules_AreShownAndChecked(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.withLog(t)
	bad, _ := json.Marshal(map[string]string{"name": "mine.yaml", "text": "model: X\nmodelo: Y\nrules:\n  - id: \"\"\n\tx: 1\n"})
	twice, _ := json.Marshal(map[string]string{"text": "modelo: Y\nnamed: Z\n"})
	h.run(t, []scenario{
		{"packs", owner, false, get, "/rules", "", nil, 200, []string{`"model":"`, `"firstChecks":[`, `"unit":"`, `"hash":"`}, nil, 0},
		{"not for the call centre", identity.CallCentre, false, get, "/rules", "", nil, 403, nil, nil, 0},
		{"a bad one", manager, false, post, "/rules/check", string(bad), nil, 200, []string{`"ok":false`, `"line":`}, nil, 0},
		{"every fault at once", manager, false, post, "/rules/check", string(twice), nil, 200, []string{`modelo`, `named`, `"line":1`, `"line":2`}, nil, 0},
		{"no text", manager, false, post, "/rules/check", `{}`, nil, 400, []string{"text"}, nil, 0},
	})
	if n := strings.Count(h.ask(manager, http.MethodGet, "/rules", "").Body.String(), `"latenessSeconds"`); n == 0 {
		t.Fatal("no pack is shown")
	}
}
