package api

import (
	"fmt"
	"testing"
)

func TestCases_FromRequestToCallback(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	third, phoned, machine := h.a.Case.ID.String(), h.a.Request.ID.String(), h.a.Machine.ID.String()
	request := `{"machineId":"` + machine + `","down":false,"pouringNow":true,"operatorPhone":"+8613800000009","description":"异响","failureMode":"noise"}`
	h.run(t, []scenario{
		{"list", manager, false, get, "/cases?open=true", "", nil, 200, []string{third, phoned, h.b.Case.ID.String()}, nil, 0},
		{"an owner's", owner, false, get, "/cases", "", nil, 200, []string{third, phoned}, []string{h.b.Mark}, 0},
		{"by state and machine", manager, false, get, "/cases?state=open&machineId=" + h.a.Bare.ID.String(), "", nil, 200, []string{phoned}, []string{third}, 0},
		{"a representative reads", delegate, false, get, "/cases/" + third, "", nil, 200, []string{`"allowed":[]`, `"workOrders":[{`, h.a.Mark + " 来晚了"}, []string{h.b.Mark}, 0},
		{"another's", owner, true, get, "/cases/" + third, "", nil, 404, nil, []string{h.a.Mark}, 0},

		{"a request", owner, false, post, "/cases", request, nil, 201, []string{`"state":"open"`, `"pouringNow":true`, `"origin":"request"`}, nil, 3},
		{"all faults at once", owner, false, post, "/cases", `{"machineId":"x","operatorPhone":"soon","description":"","latitude":100,"state":"closed"}`, nil, 400,
			[]string{`"/machineId"`, `"/operatorPhone"`, `"/description"`, `"/latitude"`, `"/state"`, "down", "pouringNow"}, nil, 0},
		{"half a position", owner, false, post, "/cases", `{"machineId":"` + machine + `","down":true,"pouringNow":false,"operatorPhone":"+86138000","description":"x","latitude":20}`, nil, 400, []string{"longitude"}, nil, 0},
		{"for another's machine", owner, true, post, "/cases", request, nil, 404, nil, []string{h.a.Mark}, 0},
		{"a representative only reads", delegate, false, post, "/cases", request, nil, 403, nil, nil, 0},
		{"a viewer only reads", viewer, false, post, "/cases", request, nil, 403, nil, nil, 0},

		{"no version named", manager, false, post, "/cases/" + phoned + "/transitions", `{"to":"triaged"}`, nil, 428, []string{"If-Match"}, nil, 0},
		{"a stale one", manager, false, post, "/cases/" + phoned + "/transitions", `{"to":"triaged","version":99}`, nil, 412, nil, nil, 0},
		{"not from here", manager, false, post, "/cases/" + phoned + "/transitions", `{"to":"closed"}`, now, 409, []string{`"allowed":[`, `"triaged"`}, nil, 0},
		{"no such state", manager, false, post, "/cases/" + phoned + "/transitions", `{"to":"done"}`, now, 400, []string{`"/to"`, "triaged"}, nil, 0},
		{"an owner does not triage", owner, false, post, "/cases/" + phoned + "/transitions", `{"to":"triaged"}`, now, 403, nil, nil, 0},
		{"another's case", owner, true, post, "/cases/" + phoned + "/transitions", `{"to":"triaged"}`, now, 404, nil, []string{h.a.Mark}, 0},
		{"triaged", manager, false, post, "/cases/" + phoned + "/transitions", `{"to":"triaged"}`, []string{"If-Match", fmt.Sprintf(`"%d-x"`, h.a.Request.Version)}, 200, []string{`"state":"triaged"`}, nil, 1},
		{"the same version again", manager, false, post, "/cases/" + phoned + "/transitions", `{"to":"waiting","waitingFor":"parts"}`, []string{"If-Match", fmt.Sprintf(`"%d-x"`, h.a.Request.Version)}, 412, nil, nil, 0},
		{"what a deferral lacks, all at once", manager, false, post, "/cases/" + third + "/transitions", `{"to":"deferred"}`, now, 400, []string{`"/until"`, `"/person"`, `"/reason"`}, nil, 0},

		{"a comment", engineer, false, post, "/cases/" + phoned + "/comments", `{"text":"在路上"}`, nil, 204, nil, nil, 1},
		{"an owner's comment", owner, false, post, "/cases/" + phoned + "/comments", `{"text":"快点"}`, nil, 204, nil, nil, 1},
		{"an empty one", engineer, false, post, "/cases/" + phoned + "/comments", `{"text":""}`, nil, 400, []string{`"/text"`}, nil, 0},
		{"on another's", owner, true, post, "/cases/" + phoned + "/comments", `{"text":"x"}`, nil, 404, nil, nil, 0},
		{"looked after", manager, false, post, "/cases/" + phoned + "/assignee", `{"assignee":"何琳"}`, now, 200, []string{`"assignee":"何琳"`}, nil, 1},
		{"looked after, no version", manager, false, post, "/cases/" + phoned + "/assignee", `{"assignee":"何琳"}`, nil, 428, nil, nil, 0},

		{"told by a stranger's contact", manager, false, post, "/cases/" + phoned + "/inform", `{"channel":"sms","text":"x","contactId":"` + h.b.Owner.ID.String() + `"}`, nil, 404, nil, []string{h.b.Mark}, 0},
		{"on an unknown channel", manager, false, post, "/cases/" + phoned + "/inform", `{"channel":"pigeon","text":"x"}`, nil, 400, nil, nil, 0},
		{"no proof to waive", manager, false, post, "/cases/" + phoned + "/verification", `{"person":"赵敏","reason":"x"}`, now, 409, nil, nil, 0},
		{"a dispatcher waives nothing", dispatcher, false, post, "/cases/" + phoned + "/verification", `{"person":"赵敏","reason":"x"}`, now, 403, nil, nil, 0},
	})
	if w := h.ask(manager, post, "/cases/"+phoned+"/inform", `{"channel":"sms","text":"陈海波今晚到"}`); w.Code != 200 {
		t.Fatalf("tell the owner: %d %s", w.Code, w.Body)
	}
	h.run(t, []scenario{
		{"the notice is on the case", owner, false, get, "/cases/" + phoned, "", nil, 200, []string{`"state":"informed"`, "陈海波今晚到"}, nil, 0},
		{"the owner puts it off himself", owner, false, post, "/cases/" + phoned + "/transitions", `{"to":"deferred","until":"2026-06-07T08:00:00Z","reason":"浇筑中可能停泵"}`, now, 200, []string{`"state":"deferred"`, `"deferredBy":"`}, nil, 1},
	})
}

func TestCallers_AreKnownByTheirNumber(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	number := "%2B" + h.a.Phone[1:]
	h.run(t, []scenario{
		{"known", agent, false, get, "/callers?phone=" + number, "", nil, 200, []string{h.a.Mark, `"firstSentence":{"zh":"`, `"openCases":[{`}, []string{h.b.Mark}, 0},
		{"unknown", agent, false, get, "/callers?phone=999000999", "", nil, 404, nil, nil, 0},
		{"no number", agent, false, get, "/callers", "", nil, 400, []string{"phone"}, nil, 0},
		{"words", agent, false, get, "/callers?phone=abc", "", nil, 400, []string{`"/phone"`}, nil, 0},
		{"an owner may not look others up", owner, false, get, "/callers?phone=" + number, "", nil, 403, nil, nil, 0},
	})
}
