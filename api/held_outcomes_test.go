package api

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
)

const heldRowSQL = `INSERT INTO held_outcome (machine_id, machine_key, since, kept, changes, reason, detail, log, lsn)
VALUES (@machine, @key, @at, convert_to(@kept, 'UTF8'), 1, 'E_REFUSED', 'a check', @machine, 7)`

func TestHeldOutcomes_AreTriedAgainOrGivenUp(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	good, bad := h.a.Machine, h.b.Machine
	hold := func(id uuid.UUID, key, severity string) {
		h.do(t, heldRowSQL, pgx.NamedArgs{"machine": id, "key": key, "at": maintenancetest.Now, "kept": `{"changes":[{"Change":"opened","Finding":{"machineId":"` + id.String() + `",
			"rule":"held-rule","severity":"` + severity + `","openedAt":"2026-06-03T08:00:00Z","evidence":{}}}],"seen":[]}`})
	}
	hold(good.ID, good.Key, "warning")
	hold(bad.ID, bad.Key, "no severity")
	h.run(t, []scenario{
		{"listed", manager, false, get, "/held-outcomes", "", nil, 200, []string{good.Key, bad.Key, `"detail":"a check"`, `"changes":1`}, nil, 0},
		{"not for owners", owner, false, get, "/held-outcomes", "", nil, 403, nil, []string{good.Key}, 0},
		{"tried by an owner", owner, false, post, "/held-outcomes/" + good.ID.String() + "/retry", "", nil, 403, nil, nil, 0},
		{"nothing is held", manager, false, post, "/held-outcomes/018f0000-0000-7000-8000-00000000dead/retry", "", nil, 404, nil, nil, 0},
		{"still refused", manager, false, post, "/held-outcomes/" + bad.ID.String() + "/retry", "", nil, 200, []string{`"stored":false`, "finding_severity_check"}, nil, 0},
		{"and counted", manager, false, get, "/held-outcomes", "", nil, 200, []string{`"tries":1`, "finding_severity_check"}, nil, 0},
		{"given up without a reason", manager, false, post, "/held-outcomes/" + bad.ID.String() + "/discard", `{}`, nil, 400, []string{"reason"}, nil, 0},
		{"given up", manager, false, post, "/held-outcomes/" + bad.ID.String() + "/discard", `{"reason":"a rule of another time"}`, nil, 204, nil, nil, 1},
	})
	w := h.ask(manager, post, "/held-outcomes/"+good.ID.String()+"/retry", "")
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	h.run(t, []scenario{
		{"the finding is stored", manager, false, get, "/findings?machineId=" + good.ID.String(), "", nil, 200, []string{"held-rule"}, nil, 0},
		{"nothing is left", manager, false, get, "/held-outcomes", "", nil, 200, []string{`"items":[]`}, nil, 0},
	})
}

func TestDeadLetterGroups_AreReplayedAndDiscarded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	log := h.withLog(t)
	h.do(t, letterRowSQL, pgx.NamedArgs{"log": log.ID(), "at": maintenancetest.Now})
	const group = `{"source":"embedded","decoder":"own-json","reason":"E_JSON_SYNTAX"}`
	h.do(t, `INSERT INTO intake_cursor (log, consumer, lsn, saved_at) VALUES (@log, 'history', 1000, @at)`, pgx.NamedArgs{"log": log.ID(), "at": maintenancetest.Now})
	h.run(t, []scenario{
		{"not for owners", owner, false, post, "/dead-letters/groups/replay", group, nil, 403, nil, nil, 0},
		{"no group", manager, false, post, "/dead-letters/groups/replay", `{"source":"embedded"}`, nil, 400, []string{"reason"}, nil, 0},
		{"of which there is none", manager, false, post, "/dead-letters/groups/replay", `{"source":"embedded","reason":"E_UTF8"}`, nil, 200, []string{`"replayed":0`, `"left":0`}, nil, 0},
		{"replayed", manager, false, post, "/dead-letters/groups/replay", group, nil, 200, []string{`"replayed":7`, `"settled":7`, `"waiting":0`, `"left":0`}, nil, 1},
		{"again", manager, false, post, "/dead-letters/groups/replay", group, nil, 200, []string{`"replayed":0`, `"settled":0`}, nil, 0},
		{"and said so", manager, false, get, "/dead-letters/4", "", nil, 200, []string{`"state":"replayed"`}, nil, 0},
	})
	records, err := log.Read(t.Context(), 0, 10, nil)
	if err != nil || len(records) != 7 || records[6].Source != "replay" || !records[6].Received.Equal(maintenancetest.Now) {
		t.Fatalf("%+v, %v", records, err)
	}
	h.do(t, letterRowSQL, pgx.NamedArgs{"log": h.a.Machine.ID, "at": maintenancetest.Now}) // of another log
	h.run(t, []scenario{
		{"discarded without a reason", manager, false, post, "/dead-letters/groups/discard", group, nil, 400, []string{"why"}, nil, 0},
		{"discarded", manager, false, post, "/dead-letters/groups/discard", `{"source":"embedded","decoder":"own-json","reason":"E_JSON_SYNTAX","why":"a test bench"}`, nil, 200, []string{`"discarded":7`, `"left":0`}, nil, 1},
		{"each has the reason", manager, false, get, "/dead-letters?state=discarded", "", nil, 200, []string{"a test bench"}, nil, 0},
		{"no group is left", manager, false, get, "/dead-letters/groups", "", nil, 200, []string{`"items":[]`}, nil, 0},
	})
}
