package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// route is one operation as a resource's file declares it.
type route struct {
	ID     string
	Method string
	Path   string // below /api/v1
	Roles  []identity.Role
	EN, ZH string // one line for the reference
	Status int    // of success; 0 means 200
	Body   int64  // limit of the request's body in bytes; 0 means 1 MiB
}

// tag groups the operations of one resource in the reference.
func (r route) tag() string {
	path := r.Path[1:]
	for i := range len(path) {
		if path[i] == '/' {
			return path[:i]
		}
	}
	return path
}

// add registers an operation. The handler's errors are problems; anything else
// is answered as an internal error, whose text stays in the log.
func add[I, O any](s *Server, r route, handle func(context.Context, *I) (*O, error)) {
	if r.Status == 0 {
		r.Status = http.StatusOK
	}
	if r.Body == 0 {
		r.Body = maxBody
	}
	op := huma.Operation{
		OperationID: r.ID, Method: r.Method, Path: prefix + r.Path, Summary: r.EN, Tags: []string{r.tag()},
		DefaultStatus: r.Status, MaxBodyBytes: r.Body + 1, // huma refuses at its limit, not above it
		Security:   []map[string][]string{{"token": {}}, {"session": {}}},
		Extensions: map[string]any{"x-authz": r.Roles, "x-summary-zh": r.ZH},
	}
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		if faults := badTimes(in); faults != nil {
			p := newProblem(ctx, problem.Invalid, "see errors")
			p.Errors = faults
			return nil, p
		}
		out, err := handle(ctx, in)
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		return out, nil
	})
	s.operations = append(s.operations, Operation{ID: r.ID, Method: r.Method, Path: prefix + r.Path, Roles: r.Roles})
}

// uuidText describes a UUID in the OpenAPI document.
type uuidText string

// Schema implements huma.SchemaProvider.
func (uuidText) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "uuid"}
}

func (s *Server) humaConfig() huma.Config {
	version := s.Version
	if version == "" {
		version = "dev"
	}
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	registry.RegisterTypeAlias(typeOf[huma.ErrorModel](), typeOf[Problem]())
	registry.RegisterTypeAlias(typeOf[uuid.UUID](), typeOf[uuidText]())
	format := huma.Format{Marshal: writeJSON, Unmarshal: readJSON}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Third State", Version: version,
				Description: "Finds the third state (latent fault) of machines and follows it until the customer is satisfied. " +
					"Errors are problem details (RFC 9457); lists are paged by cursor; versioned resources take If-Match; " +
					"each operation names the roles that may use it in x-authz.",
				License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			Components: &huma.Components{
				Schemas: registry,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"token":   {Type: "http", Scheme: "bearer", Description: "made by: thirdstate token create"},
					"session": {Type: "apiKey", In: "cookie", Name: "thirdstate", Description: "signed in on the pages; same origin only for writes"},
				},
			},
		},
		Formats:                      map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{asProblem},
	}
}
