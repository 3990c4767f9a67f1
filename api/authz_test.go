package api

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/thirdstate/thirdstate/internal/identity"
)

var update = flag.Bool("update", false, "write the files of testdata anew")

// Who may do what stands in a file, so that a change of it is seen in a review.
func TestAuthz_IsWhatTheFileSays(t *testing.T) {
	t.Parallel()
	operations, err := Operations()
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, o := range operations {
		var roles []string
		for _, role := range identity.Roles {
			if slices.Contains(o.Roles, role) {
				roles = append(roles, string(role))
			}
		}
		fmt.Fprintf(&got, "%s: %s\n", o.ID, strings.Join(roles, " "))
	}
	if *update {
		if err := os.WriteFile("testdata/authz.txt", []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/authz.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("who may do what has changed; if that is meant, run the test with -update:\n%s", got.String())
	}
}

// Every operation by every role: nobody gets 401, who is not listed gets 403 and
// writes nothing, who is listed gets past the gate.
func TestAuthz_EveryOperationByEveryRole(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	before := h.audits(t)
	for _, o := range h.s.Operations() {
		path := strings.TrimPrefix(o.Path, prefix)
		for _, name := range []string{"{id}", "{key}", "{hash}", "{name}"} {
			path = strings.ReplaceAll(path, name, nil128)
		}
		body := ""
		if o.Method != http.MethodGet && o.Method != http.MethodDelete {
			body = `{}`
		}
		if w := h.ask(nobody, o.Method, path, body); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s by nobody: %d %s", o.ID, w.Code, w.Body)
		}
		if w := h.askAs("ts_no_such_token", o.Method, path, body); w.Code != http.StatusUnauthorized {
			t.Errorf("%s by an unknown token: %d %s", o.ID, w.Code, w.Body)
		}
		for _, role := range identity.Roles {
			w := h.ask(role, o.Method, path, body)
			switch {
			case !slices.Contains(o.Roles, role) && w.Code != http.StatusForbidden:
				t.Errorf("%s by %s, who is not listed: %d %s", o.ID, role, w.Code, w.Body)
			case slices.Contains(o.Roles, role) && (w.Code == http.StatusUnauthorized || w.Code == http.StatusForbidden || w.Code >= 500):
				t.Errorf("%s by %s, who is listed: %d %s\n%s", o.ID, role, w.Code, w.Body, h.logs)
			}
		}
	}
	if n := h.audits(t) - before; n != 0 {
		t.Errorf("refused requests left %d audit entries", n)
	}
}

func TestToken_IsWorthNothingOnceItIsOver(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.run(t, []scenario{
		{"a token works", viewer, false, get, "/machines", "", nil, 200, []string{h.a.Mark}, []string{h.b.Mark}, 0},
		{"it is revoked", admin, false, remove, "/tokens/" + h.a.People[viewer].TokenID.String(), "", nil, 204, nil, nil, 1},
		{"and is unknown from now on", viewer, false, get, "/machines", "", nil, 401, []string{"unknown, expired or revoked"}, []string{h.a.Mark}, 0},
		{"the secret is never listed", admin, false, get, "/tokens", "", nil, 200, []string{`"revokedAt"`}, []string{h.a.People[viewer].Token, "secret"}, 0},
		{"nobody may make himself more", manager, false, post, "/tokens", `{"name":"x","role":"admin"}`, nil, 403, nil, nil, 0},
		{"an owner's token needs a customer", admin, false, post, "/tokens", `{"name":"x","role":"owner-viewer"}`, nil, 400, []string{"customerId"}, nil, 0},
		{"a token is made", admin, false, post, "/tokens", `{"name":"x","role":"dispatcher"}`, nil, 201, []string{`"secret":"`}, nil, 1},
		{"an unknown role", admin, false, post, "/tokens", `{"name":"x","role":"system"}`, nil, 400, []string{`"/role"`}, nil, 0},
	})
}

func TestUsers_AreAddedAndShutOut(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.run(t, []scenario{
		{"a user is added", admin, false, post, "/users", `{"login":"New.One","name":"新人","role":"dispatcher","password":"a long enough password 1"}`, nil, 201, []string{`"login":"new.one"`}, []string{"password", "hash"}, 1},
		{"twice", admin, false, post, "/users", `{"login":"new.one","name":"新人","role":"dispatcher","password":"a long enough password 1"}`, nil, 409, nil, nil, 0},
		{"a short password", admin, false, post, "/users", `{"login":"two","name":"二","role":"dispatcher","password":"short"}`, nil, 400, []string{`"/password"`}, []string{"short\""}, 0},
		{"all faults at once", admin, false, post, "/users", `{"login":"","name":"","role":"king","password":"","customerId":"x"}`, nil, 400, []string{`"/login"`, `"/name"`, `"/role"`, `"/password"`, `"/customerId"`}, nil, 0},
		{"staff may not have a customer", admin, false, post, "/users", `{"login":"two","name":"二","role":"dispatcher","password":"a long enough password 1","customerId":"` + h.a.Customer.ID.String() + `"}`, nil, 400, []string{"customerId"}, nil, 0},
		{"no hash is listed", admin, false, get, "/users", "", nil, 200, []string{"new.one"}, []string{"$argon2", "$2a$", "passwordHash"}, 0},
		{"a manager sees no users", manager, false, get, "/users", "", nil, 403, nil, nil, 0},
		{"a user is shut out", admin, false, post, "/users/" + h.a.People[viewer].ID.String() + "/disable", "", nil, 204, nil, nil, 1},
		{"nobody", admin, false, post, "/users/" + nil128 + "/disable", "", nil, 404, nil, nil, 0},
	})
}
