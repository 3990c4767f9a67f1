package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestOpenAPI_IsWellFormed checks the document as a reader's tools would: every
// reference leads somewhere, every path parameter is described, every operation
// has its words, its roles and its problems.
func TestOpenAPI_IsWellFormed(t *testing.T) {
	t.Parallel()
	e, s := bare(t)
	for _, file := range []string{"/openapi.json", "/openapi-3.0.json"} {
		w := ask(e, http.MethodGet, prefix+file, "")
		var doc map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: %d %v", file, w.Code, err)
		}
		info, _ := doc["info"].(map[string]any)
		if info["title"] == "" || info["version"] == "" {
			t.Errorf("%s: info %v", file, info)
		}
		checkRefs(t, file, doc, doc, "#")
		operations := 0
		for path, item := range doc["paths"].(map[string]any) {
			for method, op := range item.(map[string]any) {
				operations++
				checkOperation(t, file+" "+method+" "+path, path, op.(map[string]any))
			}
		}
		if operations != len(s.Operations()) {
			t.Errorf("%s: %d operations, %d are mounted", file, operations, len(s.Operations()))
		}
	}
}

func checkRefs(t *testing.T, file string, doc map[string]any, at any, where string) {
	t.Helper()
	switch v := at.(type) {
	case []any:
		for i, one := range v {
			checkRefs(t, file, doc, one, fmt.Sprintf("%s/%d", where, i))
		}
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			var target any = doc
			for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
				inside, _ := target.(map[string]any)
				target = inside[part]
			}
			if target == nil {
				t.Errorf("%s: %s leads nowhere: %s", file, where, ref)
			}
		}
		for name, one := range v {
			checkRefs(t, file, doc, one, where+"/"+name)
		}
	}
}

func checkOperation(t *testing.T, name, path string, op map[string]any) {
	t.Helper()
	for _, field := range []string{"operationId", "summary", "x-summary-zh", "tags", "security", "x-authz"} {
		if op[field] == nil || op[field] == "" {
			t.Errorf("%s has no %s", name, field)
		}
	}
	if roles, ok := op["x-authz"].([]any); !ok || len(roles) == 0 {
		t.Errorf("%s: x-authz is %v", name, op["x-authz"])
	}
	if zh, _ := op["x-summary-zh"].(string); !strings.ContainsFunc(zh, func(r rune) bool { return r >= 0x4e00 && r <= 0x9fff }) {
		t.Errorf("%s: the Chinese summary is %q", name, zh)
	}
	var described []string
	parameters, _ := op["parameters"].([]any)
	for _, p := range parameters {
		one := p.(map[string]any)
		if one["in"] == "path" {
			described = append(described, one["name"].(string))
			if one["required"] != true {
				t.Errorf("%s: path parameter %v is not required", name, one["name"])
			}
		}
		if one["schema"] == nil {
			t.Errorf("%s: parameter %v has no schema", name, one["name"])
		}
	}
	for part := range strings.SplitSeq(path, "/") {
		if inner, ok := strings.CutPrefix(part, "{"); ok && !slices.Contains(described, strings.TrimSuffix(inner, "}")) {
			t.Errorf("%s does not describe %s", name, part)
		}
	}
	responses, _ := op["responses"].(map[string]any)
	fault, _ := responses["default"].(map[string]any)
	if !strings.Contains(fmt.Sprint(fault), "application/problem+json") {
		t.Errorf("%s: its problems are described as %v", name, fault)
	}
	if !slices.ContainsFunc([]string{"200", "201", "204"}, func(code string) bool { return responses[code] != nil }) {
		t.Errorf("%s says no success: %v", name, responses)
	}
}
