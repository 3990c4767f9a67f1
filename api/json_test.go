package api

import (
	"strings"
	"testing"
)

func TestReadJSON_NamesWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, body, want string }{
		{"bad UTF-8", "{\"a\":\"x\xffy\"}", "invalid UTF-8 at byte 7"},
		{"NUL", `{"a":"x\u0000"}`, "NUL at byte 7"},
		{"escaped backslash before u0000 is text", `{"a":"\\u0000"}`, ""},
		{"lone high surrogate", `{"a":"\ud83d"}`, "lone surrogate at byte 6"},
		{"lone low surrogate", `{"a":"\ude00"}`, "lone surrogate at byte 6"},
		{"a pair is fine", `{"a":"\ud83d\ude00"}`, ""},
		{"byte order mark", "\xEF\xBB\xBF{}", "byte order mark"},
		{"doubled key", `{"a":1,"a":2}`, "same key twice"},
		{"doubled key in other case", `{"a":1,"A":2}`, "same key twice"},
		{"cut", `{"a":`, "ends too early"},
		{"syntax", "{\n  \"a\": 01}", "line 2"},
		{"two documents", `{} {}`, "something follows"},
		{"garbage behind", `{}]`, "something follows"},
		{"deep", strings.Repeat("[", 20_000), "deeper than 16"},
		{"many", "[" + strings.Repeat("1,", 6_000) + "1]", "more than 5000 values"},
		{"1e400", `{"a":{"b":1e400}}`, "the number at /a/b is out of range"},
		{"hex", `{"a":0x10}`, "no valid JSON"},
		{"NaN", `{"a":NaN}`, "no valid JSON"},
		{"empty", ``, "ends too early"},
		{"good", `{"a":[1,2,{"b":null}],"文":"泵车"}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var v any
			err := readJSON([]byte(c.body), &v)
			if c.want == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

func FuzzReadJSON_NeverPanicsAndNeverEchoes(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `[[[]]]`, `{"a":"\u0000"}`, `"\ud83d`, "\xff", `{"secret-canary-value":tru}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		if err := readJSON(data, &v); err != nil && strings.Contains(err.Error(), "secret-canary-value") {
			t.Fatalf("the error carries what was sent: %v", err)
		}
	})
}
