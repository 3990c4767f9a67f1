package api

import (
	"testing"
)

func TestMachines_OneFileEach(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id, bare := h.a.Machine.ID.String(), h.a.Bare.ID.String()
	machine := `{"manufacturer":"Beichen","serial":"new 77","customerId":"` + h.a.Customer.ID.String() + `","modelId":"` + h.w.Model.ID.String() + `"}`
	h.run(t, []scenario{
		{"list", manager, false, get, "/machines", "", nil, 200, []string{h.a.Machine.Serial, h.b.Machine.Serial, `"customerName"`}, nil, 0},
		{"an owner's list", owner, false, get, "/machines", "", nil, 200, []string{h.a.Machine.Serial}, []string{h.b.Mark}, 0},
		{"by health", manager, false, get, "/machines?health=third_state&customerId=" + h.a.Customer.ID.String(), "", nil, 200, []string{h.a.Machine.Serial}, []string{h.b.Mark, h.a.Bare.Serial}, 0},
		{"by words", manager, false, get, "/machines?search=quokka-s1", "", nil, 200, []string{h.b.Machine.Serial}, []string{h.a.Mark, h.b.Bare.Serial}, 0},
		{"by words with SQL's own letters", manager, false, get, "/machines?search=%25%27_%5C", "", nil, 200, []string{`"items":[]`}, nil, 0},
		{"an unknown parameter", manager, false, get, "/machines?sort=name", "", nil, 400, []string{`"/sort"`}, nil, 0},
		{"an odd cursor", manager, false, get, "/machines?cursor=bm90IG91cnM", "", nil, 400, []string{"/cursor"}, nil, 0},
		{"a bad enum", manager, false, get, "/machines?health=green", "", nil, 400, []string{`"/health"`, "well"}, nil, 0},
		{"a machine's file", owner, false, get, "/machines/" + id, "", nil, 200,
			[]string{h.a.Machine.Serial, h.a.Component.Serial, `"events":[{`, `"findings":[{`, h.a.Mark + " 清洗散热器", `"plans":[{`}, []string{h.b.Mark}, 0},
		{"another's is not there", owner, true, get, "/machines/" + id, "", nil, 404, []string{`"title":"No such thing"`}, []string{h.a.Mark}, 0},
		{"nothing there", manager, false, get, "/machines/" + nil128, "", nil, 404, nil, nil, 0},
		{"no id at all", manager, false, get, "/machines/x", "", nil, 400, []string{`"/id"`}, nil, 0},

		{"add", manager, false, post, "/machines", machine, nil, 201, []string{`"key":"new-77"`, `"version":1`}, nil, 1},
		{"the same serial number again", manager, false, post, "/machines", machine, nil, 409, nil, nil, 0},
		{"a dispatcher may not", dispatcher, false, post, "/machines", machine, nil, 403, nil, nil, 0},
		{"all faults at once", manager, false, post, "/machines", `{"manufacturer":"","key":"a b","warrantyMonths":-1,"customerId":"x","health":"well"}`, nil, 400,
			[]string{`"/manufacturer"`, `"/key"`, `"/warrantyMonths"`, `"/customerId"`, "serial", `"/health"`}, nil, 0},
		{"an unknown customer", manager, false, post, "/machines", `{"manufacturer":"X","serial":"9","customerId":"` + nil128 + `"}`, nil, 400, []string{"does not exist"}, nil, 0},
		{"a site of somebody else", manager, false, post, "/machines", `{"manufacturer":"X","serial":"9","customerId":"` + h.a.Customer.ID.String() + `","siteId":"` + h.b.Site.ID.String() + `"}`, nil, 400, nil, nil, 0},

		{"operating status", owner, false, post, "/machines/" + bare + "/operating-status", `{"status":"winter_lay_up","note":"冬停"}`, nil, 200, []string{`"operatingStatus":"winter_lay_up"`}, nil, 1},
		{"of another's", owner, true, post, "/machines/" + bare + "/operating-status", `{"status":"scrapped"}`, nil, 404, nil, []string{h.a.Mark}, 0},
		{"a viewer may not", viewer, false, post, "/machines/" + bare + "/operating-status", `{"status":"working"}`, nil, 403, nil, nil, 0},
		{"an unknown status", owner, false, post, "/machines/" + bare + "/operating-status", `{"status":"on"}`, nil, 400, []string{`"/status"`}, nil, 0},

		{"sold to nobody", manager, false, post, "/machines/" + bare + "/transfers", `{"customerId":"` + nil128 + `"}`, nil, 400, []string{"/customerId"}, nil, 0},
		{"an owner may not sell here", owner, false, post, "/machines/" + bare + "/transfers", `{"customerId":"` + h.b.Customer.ID.String() + `"}`, nil, 403, nil, nil, 0},
	})
	if w := h.ask(manager, post, "/machines/"+bare+"/transfers", `{"customerId":"`+h.b.Customer.ID.String()+`"}`); w.Code != 200 {
		t.Fatalf("transfer: %d %s", w.Code, w.Body)
	}
	h.run(t, []scenario{
		{"sold: out of the old owner's sight", owner, false, get, "/machines/" + bare, "", nil, 404, nil, nil, 0},
		{"sold: the new owner's", owner, true, get, "/machines/" + bare, "", nil, 200, []string{h.a.Bare.Serial}, []string{h.a.Customer.Name}, 0},
	})
}

func TestCustomersSitesAndPeople(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a, b := h.a.Customer.ID.String(), h.b.Customer.ID.String()
	h.run(t, []scenario{
		{"customers", manager, false, get, "/customers", "", nil, 200, []string{h.a.Mark, h.b.Mark}, nil, 0},
		{"a customer sees itself", viewer, false, get, "/customers", "", nil, 200, []string{h.a.Mark}, []string{h.b.Mark}, 0},
		{"one", delegate, false, get, "/customers/" + a, "", nil, 200, []string{h.a.Mark}, nil, 0},
		{"another", delegate, false, get, "/customers/" + b, "", nil, 404, nil, []string{h.b.Mark}, 0},
		{"add", manager, false, post, "/customers", `{"name":"新客户"}`, nil, 201, []string{`"tier":"B"`, `"language":"zh"`}, nil, 1},
		{"twice", manager, false, post, "/customers", `{"name":"新客户"}`, nil, 409, nil, nil, 0},
		{"an agent may not", agent, false, post, "/customers", `{"name":"x"}`, nil, 403, nil, nil, 0},
		{"a bad one", manager, false, post, "/customers", `{"name":"","tier":"Z","id":"` + a + `"}`, nil, 400, []string{`"/name"`, `"/tier"`, `"/id"`}, nil, 0},
		{"trailing garbage", manager, false, post, "/customers", `{"name":"x"} {"name":"y"}`, nil, 400, []string{"something follows"}, nil, 0},

		{"sites", owner, false, get, "/sites", "", nil, 200, []string{h.a.Site.Name}, []string{h.b.Mark}, 0},
		{"sites of another", owner, false, get, "/sites?customerId=" + b, "", nil, 200, []string{`"items":[]`}, nil, 0},
		{"add a site", manager, false, post, "/sites", `{"customerId":"` + a + `","name":"二号工地","latitude":26.9,"longitude":112.6}`, nil, 201, []string{"Asia/Shanghai"}, nil, 1},
		{"off the globe", manager, false, post, "/sites", `{"customerId":"` + a + `","name":"x","latitude":91,"longitude":-181}`, nil, 400, []string{`"/latitude"`, `"/longitude"`}, nil, 0},
		{"an odd zone", manager, false, post, "/sites", `{"customerId":"` + a + `","name":"x","timeZone":"Mars/Olympus"}`, nil, 400, []string{"timeZone"}, nil, 0},
		{"of nobody", manager, false, post, "/sites", `{"customerId":"` + nil128 + `","name":"x"}`, nil, 400, nil, nil, 0},

		{"people", agent, false, get, "/contacts?customerId=" + a, "", nil, 200, []string{h.a.Owner.Phone}, []string{h.b.Mark}, 0},
		{"an owner's people", owner, true, get, "/contacts", "", nil, 200, []string{h.b.Owner.Phone}, []string{h.a.Phone}, 0},
		{"add one", agent, false, post, "/contacts", `{"customerId":"` + a + `","name":"王工","capacity":"manager","phone":"+8613700000001"}`, nil, 201, nil, nil, 1},
		{"an odd number", agent, false, post, "/contacts", `{"customerId":"` + a + `","name":"王工","capacity":"boss","phone":"call me"}`, nil, 400, []string{`"/phone"`, `"/capacity"`}, []string{"call me"}, 0},

		{"models", viewer, false, get, "/models", "", nil, 200, []string{`"BC56"`}, nil, 0},
		{"add a model", manager, false, post, "/models", `{"manufacturer":"Beichen","name":"BE215","kind":"excavator"}`, nil, 201, nil, nil, 1},
		{"twice", manager, false, post, "/models", `{"manufacturer":"Beichen","name":"BE215","kind":"excavator"}`, nil, 409, nil, nil, 0},
		{"signals", viewer, false, get, "/signals?modelId=" + h.w.Model.ID.String(), "", nil, 200, []string{"hydraulic_oil_temp"}, nil, 0},
		{"signals of what", viewer, false, get, "/signals", "", nil, 400, []string{"modelId"}, nil, 0},
		{"add signals", manager, false, post, "/signals", `{"modelId":"` + h.w.Model.ID.String() + `","signals":[{"name":"fan_speed","unit":"{rpm}"}]}`, nil, 201, []string{"fan_speed"}, nil, 1},
		{"a signal's odd name, where it stands", manager, false, post, "/signals", `{"modelId":"` + h.w.Model.ID.String() + `","signals":[{"name":"ok"},{"name":"not ok"}]}`, nil, 400, []string{`"/signals/1/name"`}, nil, 0},
	})
}

func TestComponentsReadingsFindings(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id, bare := h.a.Machine.ID.String(), h.a.Bare.ID.String()
	h.run(t, []scenario{
		{"the tree", owner, false, get, "/components?machineId=" + id, "", nil, 200, []string{h.a.Component.Serial}, nil, 0},
		{"another's", owner, true, get, "/components?machineId=" + id, "", nil, 404, nil, []string{h.a.Mark}, 0},
		{"install", manager, false, post, "/components", `{"machineId":"` + id + `","code":"fan_motor","name":"风扇马达","parentId":"` + h.a.Component.ID.String() + `"}`, nil, 201, []string{"fan_motor"}, nil, 1},
		{"a parent on another machine", manager, false, post, "/components", `{"machineId":"` + bare + `","code":"fan_motor","name":"风扇马达","parentId":"` + h.a.Component.ID.String() + `"}`, nil, 400, []string{"parentId"}, nil, 0},

		{"findings", owner, false, get, "/findings", "", nil, 200, []string{h.a.Finding.ID.String(), "hydraulic_oil_temp"}, []string{h.b.Mark}, 0},
		{"of a machine", manager, false, get, "/findings?machineId=" + id + "&state=open", "", nil, 200, []string{h.a.Finding.ID.String()}, []string{h.b.Mark}, 0},
		{"one", viewer, false, get, "/findings/" + h.a.Finding.ID.String(), "", nil, 200, []string{`"firstChecks":[`, `"pfDays":12`}, nil, 0},
		{"another's", viewer, true, get, "/findings/" + h.a.Finding.ID.String(), "", nil, 404, nil, []string{h.a.Mark}, 0},
		{"its bundle", viewer, false, get, "/findings/" + h.a.Finding.ID.String() + "/bundle", "", nil, 503, []string{"no rules"}, nil, 0},
		{"another's bundle", viewer, true, get, "/findings/" + h.a.Finding.ID.String() + "/bundle", "", nil, 404, nil, []string{h.a.Mark}, 0},

		{"a reading", owner, false, post, "/readings", `{"machineId":"` + bare + `","signal":"hydraulic_oil_temp","value":61.5,"unit":"Cel","source":"daily_check"}`, nil, 201, []string{`"finding":null`, `"value":61.5`}, nil, 1},
		{"on another's machine", owner, true, post, "/readings", `{"machineId":"` + bare + `","signal":"hydraulic_oil_temp","value":61.5,"source":"daily_check"}`, nil, 404, nil, []string{h.a.Mark}, 0},
		{"tomorrow's", owner, false, post, "/readings", `{"machineId":"` + bare + `","signal":"hydraulic_oil_temp","value":1,"source":"patrol","at":"2026-06-05T08:00:00Z"}`, nil, 400, []string{`"/at"`, "future"}, nil, 0},
		{"no number", owner, false, post, "/readings", `{"machineId":"` + bare + `","signal":"hydraulic_oil_temp","value":"NaN","source":"patrol"}`, nil, 400, []string{`"/value"`}, nil, 0},
		{"a viewer may not", viewer, false, post, "/readings", `{"machineId":"` + bare + `","signal":"x","value":1,"source":"patrol"}`, nil, 403, nil, nil, 0},
	})
}
