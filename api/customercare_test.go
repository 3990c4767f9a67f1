package api

import (
	"testing"
)

func TestCallbacks_OnlySatisfiedCloses(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	call := h.a.Callback.String()
	h.run(t, []scenario{
		{"due now", agent, false, get, "/callbacks?due=true", "", nil, 200, []string{call, `"script":{"zh":"`}, nil, 0},
		{"of a case", agent, false, get, "/callbacks?caseId=" + h.a.Case.ID.String(), "", nil, 200, []string{call}, []string{h.b.Callback.String()}, 0},
		{"an owner sees his own", owner, true, get, "/callbacks", "", nil, 200, []string{h.b.Callback.String()}, []string{call, h.a.Mark}, 0},
		{"one", viewer, false, get, "/callbacks/" + call, "", nil, 200, []string{call}, nil, 0},
		{"another's", viewer, true, get, "/callbacks/" + call, "", nil, 404, nil, nil, 0},
		{"no version", agent, false, post, "/callbacks/" + call + "/attempts", `{"outcome":"satisfied"}`, nil, 428, nil, nil, 0},
		{"stale", agent, false, post, "/callbacks/" + call + "/attempts", `{"outcome":"satisfied","version":7}`, nil, 412, nil, nil, 0},
		{"the case is not there yet", agent, false, post, "/callbacks/" + call + "/attempts", `{"outcome":"satisfied"}`, now, 409, []string{`"allowed":["awaiting_callback"]`}, nil, 0},
		{"no such outcome", agent, false, post, "/callbacks/" + call + "/attempts", `{"outcome":"happy"}`, now, 400, []string{`"/outcome"`}, nil, 0},
		{"an owner does not call himself", owner, false, post, "/callbacks/" + call + "/attempts", `{"outcome":"satisfied"}`, now, 403, nil, nil, 0},
		{"nothing there", agent, false, post, "/callbacks/" + nil128 + "/attempts", `{"outcome":"satisfied"}`, now, 404, nil, nil, 0},
	})
}

func TestComplaintsAndPromises(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	complaint, promise, customer := h.a.Complaint.ID.String(), h.a.Promise.ID.String(), h.a.Customer.ID.String()
	h.run(t, []scenario{
		{"complaints", delegate, false, get, "/complaints", "", nil, 200, []string{complaint}, []string{h.b.Mark}, 0},
		{"by state", manager, false, get, "/complaints?state=answered", "", nil, 200, []string{`"items":[]`}, nil, 0},
		{"an owner complains", owner, false, post, "/complaints", `{"text":"又跑一趟","class":"quality"}`, nil, 201, []string{`"state":"received"`, `"customerId":"` + customer + `"`, `"promiseDueAt":"2026-06-06T08:00:00Z"`}, nil, 1},
		{"in another's name", owner, false, post, "/complaints", `{"text":"x","customerId":"` + h.b.Customer.ID.String() + `"}`, nil, 404, nil, []string{h.b.Mark}, 0},
		{"of another's case", owner, false, post, "/complaints", `{"text":"x","caseId":"` + h.b.Case.ID.String() + `"}`, nil, 404, nil, []string{h.b.Mark}, 0},
		{"a bad one", owner, false, post, "/complaints", `{"text":"","class":"mood"}`, nil, 400, []string{`"/text"`, `"/class"`}, nil, 0},
		{"an owner does not answer himself", owner, false, post, "/complaints/" + complaint + "/answers", `{"answer":"x"}`, now, 403, nil, nil, 0},
		{"no version", agent, false, post, "/complaints/" + complaint + "/answers", `{"answer":"对不起"}`, nil, 428, nil, nil, 0},
		{"stale", agent, false, post, "/complaints/" + complaint + "/answers", `{"answer":"对不起","version":9}`, nil, 412, nil, nil, 0},
		{"answered", agent, false, post, "/complaints/" + complaint + "/answers", `{"answer":"对不起","version":1}`, nil, 200, []string{`"state":"answered"`}, nil, 1},
		{"nothing there", agent, false, post, "/complaints/" + nil128 + "/answers", `{"answer":"x"}`, now, 404, nil, nil, 0},

		{"promises", owner, false, get, "/promises", "", nil, 200, []string{promise}, []string{h.b.Mark}, 0},
		{"a promise", agent, false, post, "/promises", `{"customerId":"` + customer + `","text":"备两台马达","person":"赵敏","dueAt":"2026-06-10T00:00:00Z"}`, nil, 201, []string{`"state":"open"`}, nil, 1},
		{"to nobody", agent, false, post, "/promises", `{"text":"x","person":"赵敏","dueAt":"2026-06-10T00:00:00Z"}`, nil, 400, []string{"/customerId"}, nil, 0},
		{"for yesterday", agent, false, post, "/promises", `{"customerId":"` + customer + `","text":"x","person":"赵敏","dueAt":"2026-06-03T00:00:00Z"}`, nil, 400, []string{"/dueAt"}, nil, 0},
		{"across two customers", agent, false, post, "/promises", `{"customerId":"` + customer + `","caseId":"` + h.b.Case.ID.String() + `","text":"x","person":"y","dueAt":"2026-06-10T00:00:00Z"}`, nil, 400, nil, nil, 0},
		{"an owner promises nothing", owner, false, post, "/promises", `{"text":"x","person":"y","dueAt":"2026-06-10T00:00:00Z"}`, nil, 403, nil, nil, 0},
		{"kept", manager, false, post, "/promises/" + promise + "/settlements", `{"state":"kept","evidence":"11:40 到场"}`, nil, 200, []string{`"state":"kept"`}, nil, 1},
		{"kept twice", manager, false, post, "/promises/" + promise + "/settlements", `{"state":"broken"}`, nil, 409, nil, nil, 0},
		{"settled as what", manager, false, post, "/promises/" + promise + "/settlements", `{"state":"open"}`, nil, 400, []string{`"/state"`}, nil, 0},
		{"nothing there", manager, false, post, "/promises/" + nil128 + "/settlements", `{"state":"kept"}`, nil, 404, nil, nil, 0},
	})
}

func TestOverviews(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.b.Customer.ID.String()
	h.run(t, []scenario{
		{"today", dispatcher, false, get, "/today", "", nil, 200, []string{h.a.Case.ID.String(), h.a.Request.ID.String(), `"promisesAtRisk":[{`, `"callbacksDue":[{`}, nil, 0},
		{"an owner has no Today", owner, false, get, "/today", "", nil, 403, nil, nil, 0},
		{"fault to fix", manager, false, get, "/fault-to-fix", "", nil, 200, []string{`"waits":[`}, nil, 0},
		{"a span that ends first", manager, false, get, "/fault-to-fix?from=2026-06-04T00:00:00Z&to=2026-06-03T00:00:00Z", "", nil, 400, []string{`"/from"`}, nil, 0},
		{"ten years", manager, false, get, "/fault-to-fix?from=2016-06-04T00:00:00Z&to=2026-06-03T00:00:00Z", "", nil, 400, []string{"366 days"}, nil, 0},
		{"no time", manager, false, get, "/fault-to-fix?from=yesterday", "", nil, 400, []string{`"/from"`}, []string{"yesterday"}, 0},
		{"the pack", delegate, false, get, "/meetings/pack", "", nil, 200, []string{h.a.Machine.Serial, `"others":{`, h.a.Mark + " 一字不改"}, []string{h.b.Mark}, 0},
		{"another's pack", delegate, false, get, "/meetings/pack?customerId=" + b, "", nil, 404, nil, []string{h.b.Mark}, 0},
		{"staff choose", manager, false, get, "/meetings/pack?customerId=" + b + "&month=2026-06", "", nil, 200, []string{h.b.Machine.Serial}, nil, 0},
		{"month 13", manager, false, get, "/meetings/pack?month=2026-13", "", nil, 400, []string{`"/month"`}, nil, 0},
		{"the clock", viewer, false, get, "/clock", "", nil, 200, []string{`"now":"2026-06-04T08:00:00Z"`}, nil, 0},
	})
}
