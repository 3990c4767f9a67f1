package formats

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// badCase is one message of testdata/bad/<reason>.txtar, of which something is
// refused with that reason. Its lines are:
//
//	topic "fleet/PM1/telemetry"
//	device "PM1"                   who had signed in
//	payload "{\"a\":"              a piece of the payload, as in Go
//	repeat 20000 "["               a piece many times
//	whole E_JSON_DEPTH 21 a.b      refused whole: reason, byte and path
//	part E_NUM_RANGE 12 values.a   refused in part, what else there was is kept
//	kept 3                         readings that were kept
type badCase struct {
	name  string
	given []string // topic, device, payload
	want  []string
	m     Message
}

func badCases(t testing.TB, file string) (head string, cases []badCase) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(b), "\n")
	for line := range strings.SplitSeq(strings.TrimSuffix(rest, "\n"), "\n") {
		if name, ok := strings.CutPrefix(line, "-- "); ok {
			cases = append(cases, badCase{name: strings.TrimSuffix(name, " --"), m: Message{Received: received}})
			continue
		}
		c := &cases[len(cases)-1]
		if word, _, _ := strings.Cut(line, " "); word == "whole" || word == "part" || word == "kept" {
			c.want = append(c.want, line)
			continue
		}
		c.given = append(c.given, line)
		if err := c.read(line); err != nil {
			t.Fatalf("%s %s: %q: %v", file, c.name, line, err)
		}
	}
	return head, cases
}

func (c *badCase) read(line string) error {
	word, text, _ := strings.Cut(line, " ")
	times := 1
	if word == "repeat" {
		count, piece, _ := strings.Cut(text, " ")
		n, err := strconv.Atoi(count)
		if err != nil {
			return err
		}
		times, text = n, piece
	}
	piece, err := strconv.Unquote(text)
	switch word {
	case "topic":
		c.m.Topic = piece
	case "device":
		c.m.Device = piece
	case "payload", "repeat":
		c.m.Payload = append(c.m.Payload, strings.Repeat(piece, times)...)
	default:
		return errors.New("unknown word")
	}
	return err
}

// seen decodes the case and tells what became of it.
func (c *badCase) seen(t *testing.T) (lines, reasons []string) {
	t.Helper()
	var out Decoded
	_, err := Decode(c.m, &out)
	tell := func(how string, f Fault) {
		if f.Detail == "" || f.Offset < 0 || f.Offset > len(c.m.Payload) {
			t.Errorf("%s: refused without saying why or where: %+v", c.name, f)
		}
		reasons = append(reasons, f.Reason)
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %d %s", how, f.Reason, f.Offset, strconv.QuoteToASCII(f.Path))))
	}
	if err != nil {
		f, ok := errors.AsType[*Fault](err)
		if !ok || len(out.Readings)+len(out.Presences)+len(out.Faults) > 0 {
			t.Fatalf("%s: %v, and %d readings are left", c.name, err, len(out.Readings))
		}
		tell("whole", *f)
		return lines, reasons
	}
	checkDecoded(t, &out)
	for _, f := range out.Faults {
		tell("part", f)
	}
	return append(lines, fmt.Sprintf("kept %d", len(out.Readings))), reasons
}

// TestDecode_NamesEveryRefusal runs the corpus of bad messages: nothing panics, and
// each refusal has the reason of its file, with its place in the message.
func TestDecode_NamesEveryRefusal(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/bad/E_*.txtar")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d families of bad messages: %v", len(files), err)
	}
	total := 0
	for _, file := range files {
		reason := strings.TrimSuffix(filepath.Base(file), ".txtar")
		head, cases := badCases(t, file)
		if len(cases) < 40 {
			t.Errorf("%s has %d cases, at least 40 are needed", reason, len(cases))
		}
		total += len(cases)
		var text bytes.Buffer
		fmt.Fprintln(&text, head)
		for _, c := range cases {
			got, reasons := c.seen(t)
			if !strings.Contains(strings.Join(reasons, " ")+" ", reason+" ") {
				t.Errorf("%s %s: refused with %v\n%.200q on %s", reason, c.name, reasons, c.m.Payload, c.m.Topic)
			}
			if !*update && strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("%s %s: got\n%s\nwant\n%s", reason, c.name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			fmt.Fprintf(&text, "-- %s --\n%s\n%s\n", c.name, strings.Join(c.given, "\n"), strings.Join(got, "\n"))
		}
		if *update {
			if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if total < 1_000 {
		t.Errorf("%d bad messages, at least 1,000 are needed", total)
	}
}
