package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// Engines that ran to failure teach what remains, and watch says it.
func TestTrain_WritesAModelThatWatchApplies(t *testing.T) {
	t.Parallel()
	var lives strings.Builder
	lives.WriteString("machine,heat,flow\n")
	for machine := range 12 {
		life := 60 + 5*machine
		for row := range life {
			wear := float64(row) / float64(life)
			lives.WriteString(strings.Join([]string{
				string(rune('a' + machine)), formatted(60 + 20*wear + float64(row*7%5)/5), formatted(5 - 2*wear + float64(row*3%7)/50),
			}, ",") + "\n")
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "lives.csv")
	if err := os.WriteFile(file, []byte(lives.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, notes bytes.Buffer
	c := trainCommand{Files: []string{file}, Time: "none", Name: "泵 56/X", Data: dir}
	if err := c.train(t.Context(), &out, &notes); err != nil {
		t.Fatal(err)
	}
	model := modelFile(dir, "泵 56/X")
	if !strings.Contains(out.String(), "learnt from 12 machines") || !strings.Contains(out.String(), model) || !strings.Contains(notes.String(), "column machine is taken") {
		t.Errorf("%s\n%s", out.String(), notes.String())
	}
	out.Reset()
	w := watchCommand{File: file, Time: "none", Every: 6e10, Format: "table", Model: model}
	if err := w.watch(t.Context(), strings.NewReader(""), &out, &notes); err != nil || !strings.Contains(out.String(), "  remaining life\n") || !strings.Contains(out.String(), "  about ") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func formatted(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) }

func TestTrain_SaysWhatYouCanMend(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "short.csv")
	if err := os.WriteFile(file, []byte("machine,heat\na,1\na,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]trainCommand{
		"give one":             {Files: []string{file}},
		"two places":           {Files: []string{file}, Name: "a", Output: "b"},
		"no such file":         {Files: []string{filepath.Join(dir, "none.csv")}, Output: filepath.Join(dir, "m")},
		"give --age or --time": {Files: []string{file}, Output: filepath.Join(dir, "m"), Time: "none", Every: time.Hour},
		"1 machines that were": {Files: []string{file}, Output: filepath.Join(dir, "m"), Time: "none"},
	} {
		err := c.train(t.Context(), &bytes.Buffer{}, &bytes.Buffer{})
		if problem.Of(err) != problem.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	w := watchCommand{File: file, Every: 6e10, Model: file}
	if err := w.watch(t.Context(), strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}); problem.Of(err) != problem.Invalid || !strings.Contains(err.Error(), "thirdstate train writes one") {
		t.Errorf("%v", err)
	}
}
