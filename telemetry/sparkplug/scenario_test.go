package sparkplug

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what the scenarios give now")

// A scenario is what one edge node sends, a line each that begins with ">", and
// below it what that means. A line of a time alone is a moment in which nothing
// comes. Metrics stand after a colon: name#alias, datatype (- for none), value.
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(raw))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got != string(raw) {
				t.Errorf("%s gives\n%s", file, got)
			}
		})
	}
}

// The corpus of bad inputs stays as large as it was promised to be.
func TestScenarios_HaveFortyBadMessages(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/scenarios/bad.txt")
	if err != nil {
		t.Fatal(err)
	}
	bad := 0
	reasons := map[string]bool{}
	for _, block := range strings.Split(string(raw), "\n>")[1:] {
		if _, rest, ok := strings.Cut(block, "E_SPB_"); ok {
			bad++
			reasons[strings.FieldsFunc(rest, func(r rune) bool { return r < 'A' || r > 'Z' })[0]] = true
		}
	}
	if bad < 40 || len(reasons) < 7 {
		t.Errorf("%d bad messages with %d reasons, want 40 and 7: %v", bad, len(reasons), reasons)
	}
}

func play(t *testing.T, text string) string {
	t.Helper()
	var out strings.Builder
	session := &Session{}
	watch := NewWatch(WatchConfig{Reorder: 2 * time.Second, AskMalformed: true})
	start := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") || line == "" {
			out.WriteString(line + "\n")
			continue
		}
		message, isMessage := strings.CutPrefix(line, "> ")
		if !isMessage {
			continue // an old expectation
		}
		out.WriteString(line + "\n")
		head, metrics, _ := strings.Cut(message, " : ")
		fields := strings.Fields(head)
		offset, err := time.ParseDuration(fields[0])
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		now := start.Add(offset)
		if len(fields) > 1 {
			show(t, &out, session, watch, fields[1:], metrics, now)
		}
		for _, ask := range watch.Due(now) {
			fmt.Fprintf(&out, "ask %s\n", ask.Reason)
		}
	}
	return out.String()
}

func show(t *testing.T, out *strings.Builder, session *Session, watch *Watch, fields []string, metrics string, now time.Time) {
	t.Helper()
	topic, ok, fault := ParseTopic(Namespace + fields[0])
	if !ok || fault != nil {
		fmt.Fprintf(out, "refused %v\n", fault)
		return
	}
	payload := &Payload{Timestamp: uint64(now.UnixMilli()), HasTimestamp: true}
	for _, field := range fields[1:] {
		parseField(t, payload, field)
	}
	for text := range strings.SplitSeq(metrics, " ; ") {
		if strings.TrimSpace(text) != "" {
			payload.Metrics = append(payload.Metrics, parseMetric(t, strings.Fields(text)))
		}
	}
	p, fault := Decode(Encode(payload)) // through the wire
	watch.See(topic, p, now)
	if fault != nil {
		fmt.Fprintf(out, "refused %v\n", fault)
		session.Apply(topic, nil)
		return
	}
	showChange(out, session.Apply(topic, p))
	if topic.Type == NDeath || topic.Type == DDeath {
		return
	}
	reading := session.Read(topic, p)
	for _, point := range reading.Points {
		fmt.Fprintf(out, "%s %v", point.Signal, point.Value)
		if point.Unit != "" {
			fmt.Fprintf(out, " %s", point.Unit)
		}
		if point.Historical {
			fmt.Fprintf(out, " of %s", time.UnixMilli(int64(point.At)).UTC().Format(time.TimeOnly))
		}
		fmt.Fprintf(out, "%s\n", [...]string{"", " bad", " stale"}[point.Quality])
	}
	if reading.Attributes > 0 {
		fmt.Fprintf(out, "%d attributes\n", reading.Attributes)
	}
	for _, fault := range reading.Faults {
		fmt.Fprintf(out, "fault %v\n", &fault)
	}
}

func showChange(out *strings.Builder, c Change) {
	word := "offline"
	if c.Online {
		word = "online"
	}
	if c.Node {
		fmt.Fprintf(out, "%s: the node\n", word)
	}
	for _, device := range c.Devices {
		fmt.Fprintf(out, "%s: %s\n", word, device)
	}
	for _, fault := range c.Faults {
		fmt.Fprintf(out, "fault %v\n", &fault)
	}
	if c.Refused != nil {
		fmt.Fprintf(out, "refused %v\n", c.Refused)
	}
}

func parseField(t *testing.T, p *Payload, field string) {
	t.Helper()
	key, value, _ := strings.Cut(field, "=")
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil && value != "none" {
		t.Fatalf("%s: %v", field, err)
	}
	switch key {
	case "seq":
		p.Seq, p.HasSeq = n, true
	case "bdSeq":
		m := Metric{Name: "bdSeq", HasName: true, Datatype: Int64, HasDatatype: true, Value: Value{Kind: LongValue, Bits: n}}
		if value == "none" {
			m.Value, m.Null = Value{}, true
		}
		p.Metrics = append(p.Metrics, m)
	default:
		t.Fatalf("what is %s?", field)
	}
}

// parseMetric reads name#alias, a datatype, a value and flags.
func parseMetric(t *testing.T, words []string) Metric {
	t.Helper()
	m := Metric{}
	name, alias, hasAlias := strings.Cut(words[0], "#")
	if m.Name, m.HasName = name, name != ""; hasAlias {
		n, err := strconv.ParseUint(alias, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		m.Alias, m.HasAlias = n, true
	}
	datatype := Unknown
	if word := words[1]; word != "-" {
		m.HasDatatype, m.Datatype = true, Datatype(99)
		for i, known := range datatypeNames {
			if known == word {
				m.Datatype = Datatype(i)
			}
		}
		datatype = m.Datatype
	}
	for _, word := range words[2:] {
		key, value, isFlag := strings.Cut(word, "=")
		switch {
		case word == "null":
			m.Null = true
		case word == "transient":
			m.Transient = true
		case isFlag && key == "historical":
			at, err := time.Parse(time.DateTime, "2026-03-01 "+value)
			if err != nil {
				t.Fatal(err)
			}
			m.Historical, m.Timestamp, m.HasTimestamp = true, uint64(at.UnixMilli()), true
		case isFlag && key == "quality":
			n, _ := strconv.ParseUint(value, 10, 32)
			m.Properties = append(m.Properties, Property{Key: "Quality", Type: Int32, Value: Value{Kind: IntValue, Bits: n}})
		case isFlag && key == "unit":
			m.Properties = append(m.Properties, Property{Key: "engUnit", Type: String, Value: Value{Kind: StringValue, Text: value}})
		default:
			m.Value = parseValue(t, datatype, word)
		}
	}
	return m
}

func parseValue(t *testing.T, d Datatype, word string) Value {
	t.Helper()
	if kind, rest, ok := strings.Cut(word, ":"); ok { // in a field that does not fit
		v := parseValue(t, map[string]Datatype{"int": Int32, "long": Int64, "double": Double, "bool": Boolean, "text": String, "bytes": Bytes}[kind], rest)
		return v
	}
	n, err := strconv.ParseFloat(word, 64)
	switch {
	case word == "true" || word == "false":
		return Value{Kind: BooleanValue, Bits: uint64(len(word) % 5 / 4)}
	case d == Bytes || d.class() == array:
		return Value{Kind: BytesValue, Bytes: []byte(word)}
	case d == TemplateType:
		member := Metric{Name: word, HasName: true, Datatype: Double, HasDatatype: true, Value: Value{Kind: DoubleValue, Number: 1}}
		return Value{Kind: TemplateValue, Template: &Template{Reference: "t", Metrics: []Metric{member}}}
	case d == String || d == Text || err != nil:
		return Value{Kind: StringValue, Text: word}
	case d == Int64 || d == UInt64 || d == DateTime:
		return Value{Kind: LongValue, Bits: uint64(int64(n))}
	case d.class() == signed || d.class() == unsigned || d == Datatype(99):
		return Value{Kind: IntValue, Bits: uint64(uint32(int64(n)))}
	case d == Float:
		return Value{Kind: FloatValue, Number: n}
	}
	return Value{Kind: DoubleValue, Number: n}
}
