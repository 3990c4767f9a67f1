package api

import (
	"bytes"
	_ "embed" // the reference's template and stylesheet
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/labstack/echo/v4"

	"github.com/thirdstate/thirdstate/internal/identity"
)

//go:embed docs.html
var docsHTML string

//go:embed docs.css
var docsCSS []byte

// mountDocs serves the OpenAPI document and the reference page. Each is rendered
// when it is first asked for: that is most of the work of mounting.
func (s *Server) mountDocs(e *echo.Echo) {
	e.GET(prefix+"/openapi.json", rendered("application/openapi+json", func() ([]byte, error) { return json.Marshal(s.api.OpenAPI()) }))
	e.GET(prefix+"/openapi-3.0.json", rendered("application/openapi+json", s.api.OpenAPI().Downgrade))
	e.GET("/api/docs", rendered("text/html; charset=utf-8", s.renderDocs))
	e.GET("/api/docs/style.css", rendered("text/css; charset=utf-8", func() ([]byte, error) { return docsCSS, nil }))
}

// rendered answers with what render gives, which is called once.
func rendered(mediaType string, render func() ([]byte, error)) echo.HandlerFunc {
	once := sync.OnceValues(render)
	return func(c echo.Context) error {
		body, err := once()
		if err != nil {
			return fmt.Errorf("render %s: %w", c.Path(), err)
		}
		h := c.Response().Header()
		guardHeaders(h, requestIDFrom(c.Request().Header.Get("X-Request-Id")))
		h.Set("Cache-Control", "public, max-age=300")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		return c.Blob(http.StatusOK, mediaType, body)
	}
}

type docsPage struct {
	Title, Version, Description string
	Groups                      []docsGroup
	Problems                    []docsProblem
}

type docsGroup struct {
	Name       string
	Operations []docsOperation
}

type docsOperation struct {
	ID, Method, Path, EN, ZH string
	Roles                    []identity.Role
	Parameters               []docsField
	Body                     string
	Fields                   []docsField
	Status                   string
	Returns                  []docsField
}

type docsField struct {
	Name, In, Type, Doc string
	Required            bool
}

type docsProblem struct {
	Anchor, Kind, Title, ZH string
	Status                  int
}

func (s *Server) renderDocs() ([]byte, error) {
	tmpl, err := template.New("docs").Parse(docsHTML)
	if err != nil {
		return nil, fmt.Errorf("parse the reference's template: %w", err)
	}
	api := s.api.OpenAPI()
	page := docsPage{Title: api.Info.Title, Version: api.Info.Version, Description: api.Info.Description}
	for _, known := range s.operations {
		op := operationAt(api, known.Method, known.Path)
		if op == nil {
			continue
		}
		at := slices.IndexFunc(page.Groups, func(g docsGroup) bool { return g.Name == op.Tags[0] })
		if at < 0 {
			page.Groups = append(page.Groups, docsGroup{Name: op.Tags[0]})
			at = len(page.Groups) - 1
		}
		page.Groups[at].Operations = append(page.Groups[at].Operations, describe(api.Components.Schemas, op, known))
	}
	for _, a := range answers {
		kind := strings.ReplaceAll(string(a.Kind), "_", "-")
		page.Problems = append(page.Problems, docsProblem{"problem-" + kind, kind, a.Title, a.ZH, a.Status})
	}
	var buf bytes.Buffer
	if err := tmpl.Execute(&buf, page); err != nil {
		return nil, fmt.Errorf("render the reference: %w", err)
	}
	return buf.Bytes(), nil
}

func operationAt(api *huma.OpenAPI, method, path string) *huma.Operation {
	item := api.Paths[path]
	if item == nil {
		return nil
	}
	switch method {
	case http.MethodGet:
		return item.Get
	case http.MethodPost:
		return item.Post
	case http.MethodPut:
		return item.Put
	case http.MethodPatch:
		return item.Patch
	default:
		return item.Delete
	}
}

func describe(schemas huma.Registry, op *huma.Operation, known Operation) docsOperation {
	zh, _ := op.Extensions["x-summary-zh"].(string)
	out := docsOperation{ID: op.OperationID, Method: op.Method, Path: op.Path, EN: op.Summary, ZH: zh, Roles: known.Roles}
	for _, p := range op.Parameters {
		out.Parameters = append(out.Parameters, docsField{Name: p.Name, In: p.In, Type: typeName(p.Schema), Doc: docOf(p.Schema, p.Description), Required: p.Required})
	}
	if op.RequestBody != nil {
		for _, mediaType := range slices.Sorted(maps.Keys(op.RequestBody.Content)) {
			out.Body = strings.TrimPrefix(out.Body+", "+mediaType, ", ")
			out.Fields = fields(schemas, op.RequestBody.Content[mediaType].Schema)
		}
	}
	for status, response := range op.Responses {
		if strings.HasPrefix(status, "2") {
			out.Status = status
			for _, media := range response.Content {
				out.Returns = fields(schemas, media.Schema)
			}
		}
	}
	return out
}

// fields lists the properties of a schema one level deep.
func fields(schemas huma.Registry, schema *huma.Schema) []docsField {
	if schema != nil && schema.Ref != "" {
		schema = schemas.SchemaFromRef(schema.Ref)
	}
	if schema == nil {
		return nil
	}
	var out []docsField
	for name, property := range schema.Properties {
		out = append(out, docsField{Name: name, Type: typeName(property), Doc: docOf(property, property.Description), Required: slices.Contains(schema.Required, name)})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

func typeName(schema *huma.Schema) string {
	switch {
	case schema == nil:
		return ""
	case schema.Ref != "":
		return schema.Ref[strings.LastIndexByte(schema.Ref, '/')+1:]
	case schema.Type == huma.TypeArray:
		return "[" + typeName(schema.Items) + "]"
	case schema.Format != "":
		return schema.Format
	}
	return schema.Type
}

func docOf(schema *huma.Schema, text string) string {
	if schema == nil || len(schema.Enum) == 0 {
		return text
	}
	values := make([]string, 0, len(schema.Enum))
	for _, v := range schema.Enum {
		values = append(values, fmt.Sprint(v))
	}
	return strings.TrimSpace(text + " " + strings.Join(values, " | "))
}
