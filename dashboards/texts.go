package dashboards

import (
	"embed"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/message/catalog"

	"github.com/thirdstate/thirdstate/machines"
)

//go:embed locales/*.json
var locales embed.FS

// texts holds every text that the pages show, in each language.
type texts struct {
	known    map[string]map[string]string
	printers map[string]*message.Printer
}

func loadTexts() (*texts, error) {
	t := &texts{known: map[string]map[string]string{}, printers: map[string]*message.Printer{}}
	builder := catalog.NewBuilder(catalog.Fallback(language.English))
	for name, tag := range map[string]language.Tag{"zh": language.SimplifiedChinese, "en": language.English} {
		raw, err := locales.ReadFile("locales/" + name + ".json")
		if err != nil {
			return nil, fmt.Errorf("read the texts: %w", err)
		}
		entries := map[string]string{}
		if err := json.Unmarshal(raw, &entries); err != nil {
			return nil, fmt.Errorf("read locales/%s.json: %w", name, err)
		}
		for key, text := range entries {
			if err := builder.SetString(tag, key, text); err != nil {
				return nil, fmt.Errorf("text %s in %s: %w", key, name, err)
			}
		}
		t.known[name] = entries
		t.printers[name] = message.NewPrinter(tag, message.Catalog(builder))
	}
	return t, nil
}

// T is the text of a key in the view's language.
func (v view) T(key string, args ...any) string {
	if _, ok := v.known[v.Language][key]; !ok {
		return key
	}
	return v.printers[v.Language].Sprintf(key, args...)
}

// has says whether a text of that key exists.
func (v view) has(key string) bool {
	_, ok := v.known[v.Language][key]
	return ok
}

// Name picks between the Chinese and the English form.
func (v view) Name(zh, en string) string { return machines.InLanguage(v.Language, zh, en) }

// Actor names who did something: a person, or a part of the program.
func (v view) Actor(name string) string {
	if key := "actor." + name; v.has(key) {
		return v.T(key)
	}
	return v.Name(name, v.people[name])
}

// both gives a text of the pages in both languages, for what is kept.
func (v view) both(key string) machines.Text {
	return machines.Text{ZH: v.known["zh"][key], EN: v.known["en"][key]}
}

// gap stands between two sentences.
func (v view) gap() string {
	if v.Language == "zh" {
		return ""
	}
	return " "
}

// reason says in words why a message was not taken.
func (v view) reason(code string) string {
	if key := "dead_letter." + code; v.has(key) {
		return v.T(key)
	}
	return code
}

// Text picks the text in the view's language.
func (v view) Text(t machines.Text) string { return t.In(v.Language) }

// Time shows a day and a time in the service organisation's zone.
func (v view) Time(t time.Time) string {
	t = t.In(v.Zone)
	if v.Language == "zh" {
		return t.Format("1月2日 15:04")
	}
	return t.Format("2 Jan 15:04")
}

// Day shows a date.
func (v view) Day(t time.Time) string {
	t = t.In(v.Zone)
	if v.Language == "zh" {
		return t.Format("2006年1月2日")
	}
	return t.Format("2 Jan 2006")
}

// Month shows a calendar month.
func (v view) Month(t time.Time) string {
	if v.Language == "zh" {
		return t.Format("2006年1月")
	}
	return t.Format("January 2006")
}

// TimeP shows a time or a dash.
func (v view) TimeP(t *time.Time) string {
	if t == nil {
		return "–"
	}
	return v.Time(*t)
}

// Ago says how long ago (or how far ahead) a time is.
func (v view) Ago(t time.Time) string {
	d := v.Now.Sub(t)
	if d < 0 {
		return v.T("time.in", v.Span(-d))
	}
	return v.T("time.ago", v.Span(d))
}

// Span shows a duration with one unit.
func (v view) Span(d time.Duration) string {
	switch {
	case d < time.Hour:
		return v.T("time.minutes", int(d.Minutes()))
	case d < 48*time.Hour:
		return v.T("time.hours", math.Round(d.Hours()*10)/10)
	default:
		return v.T("time.days", int(d.Hours()/24))
	}
}

// Number shows a value with so many decimals in the language's way.
func (v view) Number(x float64, decimals int) string {
	return v.printers[v.Language].Sprintf("%.*f", decimals, x)
}

// Unit shows a UCUM code as people write it.
func Unit(ucum string) string {
	switch ucum {
	case "Cel":
		return "℃"
	case "{rpm}", "r/min":
		return "r/min"
	case "1", "{1}":
		return ""
	}
	return strings.Trim(ucum, "{}")
}

// Phone hides the middle of a phone number.
func Phone(number string) string {
	r := []rune(strings.TrimPrefix(number, "+86"))
	if len(r) < 8 {
		return number
	}
	return string(r[:len(r)-8]) + "****" + string(r[len(r)-4:])
}
