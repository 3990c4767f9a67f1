package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"

	"github.com/thirdstate/thirdstate/internal/accounts"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// Who may do what. An operation names one of these lists (or its own), it stands
// in the OpenAPI document as x-authz, and nothing is allowed that is not listed.
// What of a resource one sees is the database's word (row-level security).
var (
	admins      = []identity.Role{identity.Admin}
	managers    = []identity.Role{identity.Admin, identity.ServiceManager}
	dispatchers = []identity.Role{identity.Admin, identity.ServiceManager, identity.Dispatcher}
	callers     = []identity.Role{identity.Admin, identity.ServiceManager, identity.CallCentre}
	office      = []identity.Role{identity.Admin, identity.ServiceManager, identity.Dispatcher, identity.CallCentre}
	engineers   = []identity.Role{identity.Admin, identity.ServiceManager, identity.Dispatcher, identity.FieldEngineer}
	staff       = []identity.Role{identity.Admin, identity.ServiceManager, identity.Dispatcher, identity.FieldEngineer, identity.CallCentre}
	everyone    = slices.Clone(identity.Roles)
	requesters  = []identity.Role{identity.Admin, identity.ServiceManager, identity.Dispatcher, identity.FieldEngineer, identity.CallCentre,
		identity.OwnerAdmin}
	reporters = []identity.Role{identity.Admin, identity.ServiceManager, identity.Dispatcher, identity.FieldEngineer, identity.OwnerAdmin}
	packers   = []identity.Role{identity.Admin, identity.ServiceManager, identity.CustomerRepresentative}
	// subscribers manage webhooks: managers all, an owner his own.
	subscribers = []identity.Role{identity.Admin, identity.ServiceManager, identity.OwnerAdmin}
	auditors    = []identity.Role{identity.Admin, identity.ServiceManager, identity.OwnerAdmin}
)

// authenticate finds out who is asking and refuses who may not.
func (s *Server) authenticate(hc huma.Context, next func(huma.Context)) {
	x, ok := hc.(*exchange)
	if !ok {
		return
	}
	who, refusal := s.principal(x)
	if refusal != nil {
		s.refuse(x, refusal)
		return
	}
	roles, _ := x.Operation().Extensions["x-authz"].([]identity.Role)
	if !who.Has(roles...) {
		s.refuse(x, newProblem(x.ctx, problem.Forbidden, "the role "+string(who.Role)+" may not use this operation"))
		return
	}
	next(x.with(identity.With(x.ctx, who)))
}

func (s *Server) principal(x *exchange) (identity.Principal, *Problem) {
	req := humaecho.Unwrap(x.humaContext).Request()
	if header := req.Header.Values("Authorization"); len(header) > 0 {
		scheme, token, _ := strings.Cut(header[0], " ")
		if len(header) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > 512 {
			return identity.Principal{}, newProblem(x.ctx, problem.Unauthenticated, "the Authorization header must be: Bearer <token>")
		}
		who, err := accounts.PrincipalOfToken(x.ctx, s.Pool, s.Clock.Now(), token)
		if err == nil {
			return who, nil
		}
		if kind := problem.Of(err); kind == problem.Unauthenticated || kind == problem.NotFound || kind == problem.Forbidden || kind == problem.Invalid {
			return identity.Principal{}, newProblem(x.ctx, problem.Unauthenticated, "the token is unknown, expired or revoked")
		}
		s.Log.ErrorContext(x.ctx, "token not checked", "error", err, "request_id", requestID(x.ctx))
		return identity.Principal{}, newProblem(x.ctx, problem.Unavailable, "the token could not be checked; try again")
	}
	if s.SessionPrincipal != nil {
		if who, ok := s.SessionPrincipal(req); ok {
			if !sameOrigin(req) {
				return identity.Principal{}, newProblem(x.ctx, problem.Forbidden, "a signed-in browser may write from our own pages only")
			}
			return who, nil
		}
	}
	return identity.Principal{}, newProblem(x.ctx, problem.Unauthenticated, "send Authorization: Bearer <token>")
}

// sameOrigin says whether a request that a session authenticates comes from our
// own pages; a read always does no harm.
func sameOrigin(req *http.Request) bool {
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		return true
	}
	if site := req.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	origin, err := url.Parse(req.Header.Get("Origin"))
	return err == nil && origin.Host != "" && origin.Host == req.Host
}
