package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/api"
	"github.com/thirdstate/thirdstate/dashboards"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
)

// call is one request of the generated test.
type call struct {
	name, method, target, body, mediaType string
	sent                                  []string // of the other customer's: may come back, because the caller knows it
}

// things are the ids of one of everything that a customer has.
type things struct {
	*maintenancetest.Tenant
	w *maintenancetest.World
}

// byCollection is the id behind a path's first part. An operation or page on
// something new must say here which thing of the other customer is asked for.
func (x things) byCollection(name string) (string, bool) {
	ids := map[string]uuid.UUID{
		"customers": x.Customer.ID, "sites": x.Site.ID, "contacts": x.Owner.ID, "machines": x.Machine.ID, "components": x.Component.ID, "findings": x.Finding.ID,
		"readings": x.Reading.ID, "cases": x.Case.ID, "work-orders": x.Order.ID, "inspections": x.Order.ID, "checklist-items": x.Item.ID, "checklist": x.Item.ID,
		"attachments": x.Photo.ID, "photos": x.Photo.ID, "callbacks": x.Callback, "complaints": x.Complaint.ID, "promises": x.Promise.ID, "plans": x.Plan.ID, "trouble-codes": x.Code.ID,
		"users": x.People[identity.OwnerAdmin].ID, "tokens": x.People[identity.OwnerAdmin].TokenID, "models": x.w.Model.ID, "technicians": x.w.Technician,
		"webhooks": x.Webhook.ID, "sweeps": x.Sweep, "backtests": x.Case.ID, "alert-budgets": x.w.Technician, "webhook-deliveries": x.Delivery.ID,
	}
	keys := map[string]string{"observations": x.Machine.Key, "devices": x.Machine.Key, "unclaimed": x.Mark + "-9", "dead-letters": "1", "held-outcomes": x.Machine.ID.String(), "signal-mappings": x.Machine.ID.String(), "mappings": x.Machine.ID.String(), "rules": "BC5430THB-56"}
	if id, ok := ids[name]; ok {
		return id.String(), true
	}
	key, ok := keys[name]
	return key, ok
}

// byName is the id that a parameter or property of that name asks for.
func (x things) byName(name string) (string, bool) {
	ids := map[string]uuid.UUID{
		"customerId": x.Customer.ID, "machineId": x.Machine.ID, "siteId": x.Site.ID, "modelId": x.w.Model.ID, "caseId": x.Case.ID, "workOrderId": x.Order.ID,
		"contactId": x.Owner.ID, "technicianId": x.w.Technician, "responsibleId": x.w.Technician, "parentId": x.Component.ID, "photoId": x.Photo.ID,
		"entityId": x.Case.ID, "findingId": x.Finding.ID,
	}
	id, ok := ids[name]
	return id.String(), ok
}

// words are texts of a customer that somebody else might search for; name is the
// parameter's.
func (x things) words(name string) (string, bool) {
	known := map[string]string{"search": x.Mark + "-S1", "q": x.Mark + "-S1", "phone": x.Phone, "signal": "hydraulic_oil_temp", "signals": "hydraulic_oil_temp", "key": x.Machine.Key, "machine": x.Machine.Key,
		"kind": "concrete_pump", "reason": "unreadable", "raw": "OilTemp", "unit": "Cel", "model": "BC56", "rule": "oil_runs_hot", "ruleHash": "h1", "hash": "h1", "device": x.Machine.Key, "month": "2026-06", "health": "third_state", "show": "third", "all": "1", "days": "30", "cursor": "",
		"code": x.Code.Code, "state": "failed", "entity": "case", "from": "2026-06-03T00:00:00Z", "to": "2026-06-04T08:00:00Z"}
	word, ok := known[name]
	return word, ok
}

// generator makes calls to operations with things of another customer (other) or,
// where a call needs several, with the caller's own.
type generator struct {
	t          *testing.T
	doc        *huma.OpenAPI
	own, other things
}

func (g generator) path(path string, x things) (target string, sent []string) {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if !strings.HasPrefix(part, ":") && !strings.HasPrefix(part, "{") {
			continue
		}
		id, ok := x.byCollection(parts[i-1])
		if !ok {
			g.t.Errorf("%s: say in byCollection which of %q is asked for", path, parts[i-1])
		}
		parts[i] = url.PathEscape(id)
		sent = append(sent, id)
	}
	return strings.Join(parts, "/"), sent
}

// operation gives the calls of one operation: as it is, with each parameter, and
// with each property of its body pointing to the other customer's things.
func (g generator) operation(o api.Operation) []call {
	item := g.doc.Paths[o.Path]
	op := map[string]*huma.Operation{http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodPatch: item.Patch, http.MethodDelete: item.Delete}[o.Method]
	foreign, sent := g.path(o.Path, g.other)
	base := call{name: o.ID, method: o.Method, target: foreign + g.required(op, g.other), sent: sent}
	if op.RequestBody == nil {
		return append([]call{base}, g.queries(op, base, foreign)...)
	}
	var calls []call
	for mediaType, media := range op.RequestBody.Content {
		base.mediaType = mediaType
		if mediaType != "application/json" {
			base.body, base.mediaType = g.upload(mediaType, media.Schema, g.other)
			calls = append(calls, base)
			continue
		}
		schema := g.resolve(media.Schema)
		base.body = g.write(schema, g.other, g.other)
		calls = append(calls, base)
		own, _ := g.path(o.Path, g.own)
		for name := range schema.Properties { // own, with one thing of the other's
			if _, isID := g.other.byName(name); !isID || name == "technicianId" || name == "responsibleId" || name == "modelId" {
				continue // technicians and models are no customer's
			}
			one := base
			one.name, one.target = o.ID+" with another's "+name, own+g.required(op, g.own)
			one.body = g.write(schema, g.own, g.other, name)
			calls = append(calls, one)
		}
	}
	sort.Slice(calls, func(i, j int) bool { return calls[i].name < calls[j].name })
	return calls
}

// required is the query of an operation's required parameters.
func (g generator) required(op *huma.Operation, x things) string {
	query := url.Values{}
	for _, p := range op.Parameters {
		if p.In == "query" && p.Required {
			query.Set(p.Name, g.parameter(op.OperationID, p, x))
		}
	}
	if len(query) == 0 {
		return ""
	}
	return "?" + query.Encode()
}

func (g generator) parameter(operation string, p *huma.Param, x things) string {
	if id, ok := x.byName(p.Name); ok {
		return id
	}
	if p.Schema.Format == "uuid" {
		g.t.Errorf("%s: say in byName what %q asks for", operation, p.Name)
	}
	switch {
	case len(p.Schema.Enum) > 0:
		return fmt.Sprint(p.Schema.Enum[0])
	case p.Schema.Type == huma.TypeBoolean:
		return "true"
	case p.Schema.Type == huma.TypeInteger:
		return "500"
	}
	word, ok := x.words(p.Name)
	if !ok {
		g.t.Errorf("%s: say in words what %q asks for", operation, p.Name)
	}
	return word
}

// queries asks with each optional parameter in turn.
func (g generator) queries(op *huma.Operation, base call, path string) []call {
	var calls []call
	for _, p := range op.Parameters {
		if p.In != "query" || p.Name == "cursor" {
			continue
		}
		value := g.parameter(op.OperationID, p, g.other)
		query, err := url.ParseQuery(strings.TrimPrefix(g.required(op, g.other), "?"))
		if err != nil {
			g.t.Fatal(err)
		}
		query.Set(p.Name, value)
		one := base
		one.name = base.name + " by " + p.Name
		one.target = path + "?" + query.Encode()
		one.sent = append([]string{value}, base.sent...)
		for _, values := range query {
			one.sent = append(one.sent, values...)
		}
		calls = append(calls, one)
	}
	return calls
}

func (g generator) resolve(s *huma.Schema) *huma.Schema {
	if s.Ref != "" {
		return g.doc.Components.Schemas.SchemaFromRef(s.Ref)
	}
	return s
}

// write fills a body: with x's things, but those named foreign with y's.
func (g generator) write(s *huma.Schema, x, y things, foreign ...string) string {
	body := map[string]any{}
	for name, property := range s.Properties {
		if name == "$schema" || property.ReadOnly {
			continue
		}
		from := x
		for _, f := range foreign {
			if f == name {
				from = y
			}
		}
		body[name] = g.value(name, property, from)
	}
	delete(body, "version") // If-Match says it
	b, err := json.Marshal(body)
	if err != nil {
		g.t.Fatal(err)
	}
	return string(b)
}

func (g generator) value(name string, s *huma.Schema, x things) any {
	s = g.resolve(s)
	if id, ok := x.byName(name); ok {
		return id
	}
	switch {
	case name == "url":
		return "https://hooks.example.com/" + x.Mark
	case name == "events":
		return []string{"*"}
	case name == "machine":
		return x.Machine.Key
	case name == "values":
		return map[string]any{"hydraulic_oil_temp": 61.5}
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Format == "uuid":
		g.t.Errorf("say in byName what %q asks for", name)
	case s.Format == "date-time" && slices.Contains([]string{"at", "installedAt", "since"}, name):
		return "2026-06-04T07:00:00Z" // what has happened
	case s.Format == "date-time":
		return "2026-07-04T07:00:00Z" // what is to come
	}
	switch s.Type {
	case huma.TypeBoolean:
		return true
	case huma.TypeInteger, huma.TypeNumber:
		if s.Minimum != nil {
			return max(*s.Minimum, 1)
		}
		return 1
	case huma.TypeArray:
		return []any{g.value("", s.Items, x)}
	case huma.TypeObject:
		object := map[string]any{}
		for name, property := range s.Properties {
			object[name] = g.value(name, property, x)
		}
		return object
	}
	if strings.Contains(s.Pattern, "[0-9]{3,15}") {
		return "+8613800000999"
	}
	if s.MinLength != nil && *s.MinLength > 8 {
		return "a long enough password"
	}
	return "x9"
}

// upload writes a multipart body or a bare picture.
func (g generator) upload(mediaType string, s *huma.Schema, x things) (body, contentType string) {
	if !strings.HasPrefix(mediaType, "multipart/") {
		return string(maintenancetest.PNG()), mediaType
	}
	var buf bytes.Buffer
	form := multipart.NewWriter(&buf)
	for name, property := range g.resolve(s).Properties {
		property = g.resolve(property)
		header := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name=%q`, name)}}
		content := fmt.Sprint(g.value(name, property, x))
		if property.Format == "binary" {
			header = textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name=%q; filename="x.png"`, name)}, "Content-Type": {"image/png"}}
			content = string(maintenancetest.PNG())
		}
		part, err := form.CreatePart(header)
		if err != nil {
			g.t.Fatal(err)
		}
		if _, err := part.Write([]byte(content)); err != nil {
			g.t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		g.t.Fatal(err)
	}
	return buf.String(), form.FormDataContentType()
}

// pages gives the calls of every page and every action of one.
func (g generator) pages() []call {
	var calls []call
	for _, p := range dashboards.Pages() {
		target, sent := g.path(p.Path, g.other)
		whole := target
		if strings.HasSuffix(p.Path, "/chart") {
			whole += "?signal=hydraulic_oil_temp"
		}
		calls = append(calls, call{name: "page " + p.Path, method: http.MethodGet, target: whole, sent: sent})
		for _, name := range p.Params {
			word, ok := g.other.words(name)
			if !ok {
				g.t.Errorf("page %s: say in words what %q asks for", p.Path, name)
			}
			calls = append(calls, call{name: "page " + p.Path + " by " + name, method: http.MethodGet, target: target + "?" + url.Values{name: {word}}.Encode(), sent: append([]string{word}, sent...)})
		}
	}
	for _, a := range dashboards.Actions() {
		target, sent := g.path(a.Path, g.other)
		calls = append(calls, call{name: "action " + a.Path, method: http.MethodPost, target: target, sent: sent, mediaType: "application/x-www-form-urlencoded", body: g.form()})
	}
	return calls
}

// form fills every field that a page has.
func (g generator) form() string {
	return url.Values{"since": {"2026-06-01T00:00"}, "to": {"deferred"}, "note": {"x"}, "reason": {"x"}, "person": {"x"}, "days": {"3"}, "text": {"x"}, "contact": {g.other.Owner.ID.String()}, "kind": {"repair"},
		"down": {"yes"}, "phone": {"+8613800000999"}, "description": {"x"}, "source": {"patrol"}, "signal": {"hydraulic_oil_temp"}, "value": {"61"}, "unit": {"Cel"},
		"result": {"pass"}, "outcome": {"satisfied"}, "machine": {g.other.Machine.Key}, "technician": {g.other.w.Technician.String()}}.Encode()
}
