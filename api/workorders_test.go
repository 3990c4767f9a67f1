package api

import (
	"fmt"
	"testing"
)

func TestWorkOrders_AreScheduledAndMoved(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	order, machine, item := h.a.Order.ID.String(), h.a.Machine.ID.String(), h.a.Item.ID.String()
	h.run(t, []scenario{
		{"list", dispatcher, false, get, "/work-orders?open=true", "", nil, 200, []string{order, h.b.Order.ID.String()}, nil, 0},
		{"of a kind", dispatcher, false, get, "/work-orders?kind=patrol", "", nil, 200, []string{`"items":[]`}, nil, 0},
		{"an owner's", owner, false, get, "/work-orders", "", nil, 200, []string{order}, []string{h.b.Mark}, 0},
		{"one", owner, false, get, "/work-orders/" + order, "", nil, 200, []string{`"checklist":[{`, `"assignments":[{`, "陈海波"}, []string{h.b.Mark}, 0},
		{"another's", owner, true, get, "/work-orders/" + order, "", nil, 404, nil, []string{h.a.Mark}, 0},
		{"candidates", dispatcher, false, get, "/work-orders/" + order + "/candidates", "", nil, 200, []string{`"terms":[`, "陈海波"}, nil, 0},
		{"candidates of nothing", dispatcher, false, get, "/work-orders/" + nil128 + "/candidates", "", nil, 404, nil, nil, 0},

		{"an inspection", dispatcher, false, post, "/inspections", `{"machineId":"` + machine + `","plannedAt":"2026-06-05T01:00:00Z"}`, nil, 201, []string{`"kind":"inspection"`, `"state":"open"`}, nil, 1},
		{"inspections", viewer, false, get, "/inspections", "", nil, 200, []string{`"kind":"inspection"`}, []string{`"kind":"repair"`, h.b.Mark}, 0},
		{"of nothing", dispatcher, false, post, "/inspections", `{"machineId":"` + nil128 + `"}`, nil, 404, nil, nil, 0},
		{"an owner schedules nothing", owner, false, post, "/inspections", `{"machineId":"` + machine + `"}`, nil, 403, nil, nil, 0},
		{"all faults at once", dispatcher, false, post, "/work-orders", `{"machineId":"x","kind":"party","priority":9,"technicianId":"` + nil128 + `"}`, nil, 400,
			[]string{`"/machineId"`, `"/kind"`, `"/priority"`, `"/technicianId"`}, nil, 0},
		{"a case of another machine", dispatcher, false, post, "/work-orders", `{"machineId":"` + machine + `","kind":"repair","caseId":"` + h.b.Case.ID.String() + `"}`, nil, 400, nil, nil, 0},

		{"no version", engineer, false, post, "/work-orders/" + order + "/transitions", `{"to":"en_route"}`, nil, 428, nil, nil, 0},
		{"stale", engineer, false, post, "/work-orders/" + order + "/transitions", `{"to":"en_route","version":99}`, nil, 412, nil, nil, 0},
		{"not from here", engineer, false, post, "/work-orders/" + order + "/transitions", `{"to":"completed","result":"x"}`, now, 409, []string{`"allowed":[`, `"en_route"`}, nil, 0},
		{"an owner moves nothing", owner, false, post, "/work-orders/" + order + "/transitions", `{"to":"cancelled","reason":"x"}`, now, 403, nil, nil, 0},
		{"nothing there", engineer, false, post, "/work-orders/" + nil128 + "/transitions", `{"to":"en_route"}`, now, 404, nil, nil, 0},
		{"the body cannot name another order", engineer, false, post, "/work-orders/" + order + "/transitions", `{"to":"en_route","id":"` + h.b.Order.ID.String() + `"}`, now, 400, []string{`"/id"`}, nil, 0},
		{"an answer that is too early", engineer, false, post, "/checklist-items/" + item + "/answers", `{"result":"pass"}`, nil, 409, nil, nil, 0},
	})
	for _, to := range []string{"en_route", "on_site"} {
		if w := h.ask(engineer, post, "/work-orders/"+order+"/transitions", fmt.Sprintf(`{"to":%q}`, to), now...); w.Code != 200 {
			t.Fatalf("%s: %d %s", to, w.Code, w.Body)
		}
	}
	h.run(t, []scenario{
		{"an owner answers no item", owner, false, post, "/checklist-items/" + item + "/answers", `{"result":"pass"}`, nil, 403, nil, nil, 0},
		{"a bad answer", engineer, false, post, "/checklist-items/" + item + "/answers", `{"result":"maybe"}`, nil, 400, []string{`"/result"`}, nil, 0},
		{"another's photo", engineer, false, post, "/checklist-items/" + item + "/answers", `{"result":"pass","photoId":"` + h.b.Photo.ID.String() + `"}`, nil, 400, nil, nil, 0},
		{"nothing there", engineer, false, post, "/checklist-items/" + nil128 + "/answers", `{"result":"pass"}`, nil, 404, nil, nil, 0},
		{"not with an unfinished checklist", engineer, false, post, "/work-orders/" + order + "/transitions", `{"to":"completed","result":"清洗"}`, now, 400, nil, nil, 0},
		{"no reason", engineer, false, post, "/work-orders/" + order + "/transitions", `{"to":"cannot_complete"}`, now, 400, []string{"/reason"}, nil, 0},
	})
}

func TestPlansAndTechnicians(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	machine := h.a.Machine.ID.String()
	h.run(t, []scenario{
		{"plans", owner, false, get, "/plans", "", nil, 200, []string{h.a.Plan.ID.String()}, []string{h.b.Mark}, 0},
		{"of a machine", manager, false, get, "/plans?machineId=" + machine, "", nil, 200, []string{h.a.Plan.ID.String()}, []string{h.b.Mark}, 0},
		{"add", dispatcher, false, post, "/plans", `{"machineId":"` + machine + `","name":"季检","intervalDays":90,"dueAt":"2026-07-01T00:00:00Z"}`, nil, 201, []string{`"leadDays":7`}, nil, 1},
		{"every never", dispatcher, false, post, "/plans", `{"machineId":"` + machine + `","name":"","intervalDays":0,"dueAt":"soon"}`, nil, 400, []string{`"/name"`, `"/intervalDays"`, `"/dueAt"`}, nil, 0},
		{"of nothing", dispatcher, false, post, "/plans", `{"machineId":"` + nil128 + `","name":"x","intervalDays":9,"dueAt":"2026-07-01T00:00:00Z"}`, nil, 404, nil, nil, 0},
		{"an owner plans nothing", owner, false, post, "/plans", `{"machineId":"` + machine + `","name":"x","intervalDays":9,"dueAt":"2026-07-01T00:00:00Z"}`, nil, 403, nil, nil, 0},
		{"technicians", engineer, false, get, "/technicians", "", nil, 200, []string{"陈海波", `"concrete_pump"`}, nil, 0},
		{"an owner does not see them all", owner, false, get, "/technicians", "", nil, 403, nil, nil, 0},
	})
}
