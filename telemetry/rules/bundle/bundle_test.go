package bundle

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

const limits = `model: m
signals: {temp: {unit: Cel}, load: {unit: "1", role: context}}
rules:
- {id: hot, kind: threshold, title: Hot, title_zh: 热, signal: temp, above: 90, hold: 2m}
`

func pack(t testing.TB, text string) *rules.Pack {
	t.Helper()
	p, err := rules.Parse("p.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// recorded lets a machine see rows until a rule opens something and makes its bundle.
func recorded(t testing.TB, p *rules.Pack, every int, values func(row int) []observation.Value) *Bundle {
	t.Helper()
	m, r := rules.New("m1", p), Recorder{Every: every}
	for row := range 5000 {
		o := observation.Observation{Machine: "m1", At: time.Date(2026, 6, 1, 0, row, 0, 0, time.UTC), Values: values(row)}
		r.Record(m, o)
		for _, f := range m.Observe(o) {
			if f.Change == rules.Opened {
				return r.Bundle(f, p, false)
			}
		}
	}
	t.Fatal("nothing was found")
	return nil
}

// hot is a small bundle: a limit that is passed.
func hot(t testing.TB) *Bundle {
	return recorded(t, pack(t, limits), 4, func(row int) []observation.Value {
		return []observation.Value{{Signal: "temp", Value: 80 + float64(row)}, {Signal: "load", Value: math.Inf(1), Quality: observation.Implausible}}
	})
}

// drifting is one of the default watcher: two signals, one of which leaves its normal.
func drifting(t testing.TB) *Bundle {
	random := rand.New(rand.NewPCG(3, 4))
	return recorded(t, nil, 200, func(row int) []observation.Value {
		drift := 0.03 * math.Max(0, float64(row-500))
		return []observation.Value{{Signal: "flow", Value: 9 + random.NormFloat64()}, {Signal: "temp", Value: 40 + random.NormFloat64() + drift}}
	})
}

func written(t testing.TB, b *Bundle) []byte {
	t.Helper()
	data, err := Write(b)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestVerify_FindsTheFindingAgain(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]*Bundle{"limit": hot(t), "watcher": drifting(t)} {
		data := written(t, b)
		if again := written(t, b); !bytes.Equal(again, data) {
			t.Errorf("%s: the same finding makes two bundles", name)
		}
		r, err := Verify(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.Finding.Rule != b.Finding.Rule || !r.Finding.OpenedAt.Equal(b.Finding.OpenedAt) || r.Events != len(b.Events) || r.Unless == nil || len(r.Seal) != 64 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if u, err := hot(t).Unless(); err != nil || u.Signal != "temp" || !u.Below || math.Abs(u.Value-90) > 1e-3 {
		t.Errorf("the limit is 90: %+v %v", u, err)
	}
}

// What would have kept a finding from opening does so, and a little more does not.
func TestUnless_HoldsWhenItIsTried(t *testing.T) {
	t.Parallel()
	b := drifting(t)
	u, err := b.Unless()
	if err != nil || u == nil || u.Signal != "temp" || !u.Below {
		t.Fatalf("%+v %v", u, err)
	}
	for limit, want := range map[float64]bool{u.Value: false, u.Value + 0.01: true, b.Finding.Evidence.Unless.Value: false} {
		_, open, err := b.replay(func(e *Event) {
			if !e.At.Before(b.Finding.Evidence.Since) {
				e.clamp("temp", limit, true)
			}
		})
		if open != want || err != nil {
			t.Errorf("temp below %g: open %v %v", limit, open, err)
		}
	}
}

func TestVerify_OneChangedByteFails(t *testing.T) {
	t.Parallel()
	data := written(t, hot(t))
	if len(data) > 20_000 {
		t.Fatalf("%d bytes: too many to change them all", len(data))
	}
	for i := range data {
		for _, flip := range []byte{0x01, 0x20, 0xff} {
			data[i] ^= flip
			if _, err := Verify(data); err == nil || strings.Contains(err.Error(), "\n") {
				t.Errorf("byte %d of %d changed by %#x: %v", i, len(data), flip, err)
			}
			data[i] ^= flip
		}
	}
	for n := range data {
		if _, err := Verify(data[:n]); err == nil {
			t.Errorf("cut to %d bytes, and verified", n)
		}
	}
}

// forge changes the files of a bundle and seals them anew, as somebody would who knows
// how bundles are made.
func forge(t *testing.T, data []byte, change func(files []file) []file) []byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var files []file
	for _, f := range z.File {
		text, err := read(f)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file{f.Name, text})
	}
	var m manifest
	if err := strict(files[len(files)-2].data, &m); err != nil {
		t.Fatal(err)
	}
	files = change(files[:len(files)-2])
	m.Files = nil
	for _, f := range files {
		m.Files = append(m.Files, entry{f.name, len(f.data), sum(f.data)})
	}
	text, err := indented(m)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := archive(append(files, file{manifestFile, text}, seal(text)))
	if err != nil {
		t.Fatal(err)
	}
	return forged
}

func TestVerify_ForgedBundlesDoNotFollowFromTheirObservations(t *testing.T) {
	t.Parallel()
	data := written(t, hot(t))
	replace := func(name, old, with string) func([]file) []file {
		return func(files []file) []file {
			for i := range files {
				if files[i].name == name {
					if !bytes.Contains(files[i].data, []byte(old)) {
						t.Errorf("%s does not hold %s", name, old)
					}
					files[i].data = bytes.Replace(files[i].data, []byte(old), []byte(with), 1)
				}
			}
			return files
		}
	}
	if _, err := Verify(forge(t, data, func(f []file) []file { return f })); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func([]file) []file
		want   string
	}{
		"worse than it was":   {replace(findingFile, `"observed": 93`, `"observed": 99`), "finding.json: Evidence.Observed is recomputed as 93, the bundle says 99"},
		"other severity":      {replace(findingFile, `"Severity": "`, `"Severity": "x`), "finding.json: Severity is recomputed as"},
		"milder observations": {replace(eventsFile, `"value":"92"`, `"value":"72"`), "opens nothing at 2026-06-01T00:13:00Z"},
		"other limit":         {replace(packFile, "above: 90", "above: 95"), "opens nothing"},
		"other rule's text":   {replace(packFile, "kind: threshold", "kind: treshold"), "did you mean"},
		"no text":             {replace(packFile, "model: m", "%%%"), "pack.yaml"},
		"other machine":       {replace(findingFile, `"Machine": "m1"`, `"Machine": "m2"`), "speaks of another finding"},
		"state of nothing": {func(f []file) []file {
			i := slices.IndexFunc(f, func(x file) bool { return x.name == stateFile })
			f[i].data = append([]byte{0x7f}, f[i].data[1:]...)
			return f
		}, "state.bin: restore rules of machine m1: snapshot has version"},
		"two of them": {func(f []file) []file { return append(f, f[0]) }, "holds finding.json twice"},
		"no observations": {func(f []file) []file {
			return slices.DeleteFunc(f, func(x file) bool { return x.name == eventsFile })
		}, "observations.ndjson is missing"},
		"both kinds of rules": {func(f []file) []file { return append(f, file{rulesFile, []byte("null\n")}) }, "either pack.yaml or rules.json"},
		"path":                {func(f []file) []file { return append(f, file{"../../etc/passwd", []byte("x")}) }, `holds "../../etc/passwd", which is no file of a bundle`},
		"unknown field":       {replace(findingFile, `"Machine"`, `"Maschine"`), "unknown field"},
		"words for numbers":   {replace(eventsFile, `"value":"92"`, `"value":"hot"`), `"hot" is not a number`},
		"not lines":           {replace(eventsFile, `{"at"`, `["at"`), "observations.ndjson:1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := Verify(forge(t, data, c.change)); err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "\n", " "), c.want) {
				t.Errorf("error %v\nwant %s", err, c.want)
			}
		})
	}
}

// zipped is an archive as other programs make it.
func zipped(t *testing.T, name, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// bomb is an archive of 200 MB of zeros: a megabyte is compressed, and is there so often.
func bomb(t *testing.T) []byte {
	t.Helper()
	const times = 200
	zeros := make([]byte, 1<<20)
	var block, b bytes.Buffer
	f, err := flate.NewWriter(&block, flate.DefaultCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(zeros); err != nil {
		t.Fatal(err)
	}
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	text := append(bytes.Repeat(block.Bytes(), times), 1, 0, 0, 0xff, 0xff) // an empty block is the last
	h := &zip.FileHeader{Name: eventsFile, Method: zip.Deflate, CompressedSize64: uint64(len(text)), UncompressedSize64: times << 20}
	for range times {
		h.CRC32 = crc32.Update(h.CRC32, crc32.IEEETable, zeros)
	}
	z := zip.NewWriter(&b)
	w, err := z.CreateRaw(h)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestVerify_BadArchivesAreNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":  {nil, "is not a bundle"},
		"text":     {[]byte("a,b\n1,2\n"), "is not a bundle"},
		"bomb":     {bomb(t), "is compressed or cut"},
		"stranger": {zipped(t, "holiday.jpg", "0123456789"), `holds "holiday.jpg"`},
		"too long": {make([]byte, MaxBytes+1), "a bundle at most"},
		"empty":    {zipped(t, "", ""), `holds ""`},
	} {
		if _, err := Verify(c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v\nwant %s", name, err, c.want)
		}
	}
}

func TestWrite_RefusesWhatItCannotFindAgain(t *testing.T) {
	t.Parallel()
	b := hot(t)
	b.Events = b.Events[:len(b.Events)-1]
	if _, err := Write(b); err == nil || !strings.Contains(err.Error(), "opens nothing") {
		t.Errorf("error %v", err)
	}
	b.Events = nil
	if _, err := Write(b); err == nil {
		t.Error("a bundle without observations")
	}
}

// A recorder holds at most twice what it is asked for, whatever comes.
func TestRecorder_IsBounded(t *testing.T) {
	t.Parallel()
	m, r := rules.New("m1", nil), Recorder{Every: 10}
	for row := range 1000 {
		o := observation.Observation{Machine: "m1", At: time.Unix(int64(1_780_000_000+row), 0).UTC(), Values: []observation.Value{{Signal: "a", Value: 1}}}
		r.Record(m, o)
		m.Observe(o)
		if n := len(r.Bundle(rules.Finding{}, nil, false).Events); n > 20 || row >= 10 && n <= 10 {
			t.Fatalf("row %d: %d events", row, n)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(written(f, hot(f)))
	f.Add([]byte("PK"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := Verify(data); err == nil && !bytes.Equal(data, written(t, hot(t))) {
			t.Error("something else was verified")
		}
	})
}
