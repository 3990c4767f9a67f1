package api

import (
	"testing"
)

// What remains of a machine is its owner's to see, and of what models there are the managers'.
func TestRemainingLife_IsShownToThoseWhoseMachineItIs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	machine := "/machines/" + h.a.Machine.ID.String() + "/remaining-life"
	none := "/machines/" + h.a.Bare.ID.String() + "/remaining-life"
	h.run(t, []scenario{
		{"of a machine", manager, false, get, machine, "", nil, 200, []string{`"remaining":340`, `"low":210`, `"high":520`, `"unit":"hour"`, `"reason":""`, h.a.Machine.Key}, nil, 0},
		{"of one's own", owner, false, get, machine, "", nil, 200, []string{`"remaining":340`}, nil, 0},
		{"no model is of it", owner, false, get, none, "", nil, 200, []string{`"items":[]`}, nil, 0},
		{"of another's", owner, false, get, "/machines/" + h.b.Machine.ID.String() + "/remaining-life", "", nil, 404, nil, nil, 0},
		{"the shortest", manager, false, get, "/remaining-lives", "", nil, 200, []string{h.a.Machine.Key, h.b.Machine.Key}, nil, 0},
		{"one's own shortest", owner, false, get, "/remaining-lives", "", nil, 200, []string{h.a.Machine.Key}, []string{h.b.Machine.Key}, 0},
		{"models", manager, false, get, "/remaining-life-models", "", nil, 200, []string{`"items":[]`}, nil, 0},
		{"models are not for owners", owner, false, get, "/remaining-life-models", "", nil, 403, nil, nil, 0},
	})
}
