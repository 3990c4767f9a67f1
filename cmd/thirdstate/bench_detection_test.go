package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/thirdstate/thirdstate/internal/problem"
)

func TestBenchDetection_SaysInOneLineWhatIsWrongWithAFolder(t *testing.T) {
	t.Parallel()
	empty, cut := t.TempDir(), t.TempDir()
	if err := os.CopyFS(cut, fstest.MapFS{"a.csv.gz": {Data: []byte{0x1f, 0x8b, 8}}}); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		filepath.Join(empty, "none"): "is not a folder",
		empty:                        "holds no data set that is known",
		cut:                          "a.csv.gz: is not a whole gzip file",
	} {
		err := (&benchDetection{Dir: dir}).measure(t.Context(), io.Discard)
		if problem.Of(err) != problem.Invalid || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want one line with %q", err, want)
		}
	}
}

func TestBenchDetection_PrintsWhatIsThereAndNamesTheRest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := "datetime;Flow;anomaly;changepoint\n" + strings.Repeat("2020-03-09 10:00:00;1.5;0;0\n", 420) + "2020-03-09 10:00:01;1.5;1;1\n"
	if err := os.CopyFS(dir, fstest.MapFS{"pump/a.csv": {Data: []byte(text)}}); err != nil {
		t.Fatal(err)
	}
	for format, want := range map[string]string{"text": "SKAB, 1 channels  F1", "markdown": "| SKAB, 1 channels | F1 |"} {
		var out strings.Builder
		if err := (&benchDetection{Dir: dir, Format: format}).measure(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		copies := &benchDetection{Dir: dir, Format: format, Copies: true}
		var twisted strings.Builder
		if err := copies.measure(t.Context(), &twisted); err != nil || !strings.Contains(twisted.String(), "half the rate") {
			t.Errorf("%v, want a column for half the rate in\n%s", err, twisted.String())
		}
		if !strings.Contains(out.String(), want) || !strings.Contains(out.String(), "not in this folder: NAB") {
			t.Errorf("want %q and what is not there in\n%s", want, out.String())
		}
	}
}
