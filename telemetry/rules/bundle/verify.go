package bundle

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// Report is what a verified bundle says.
type Report struct {
	Finding  rules.Finding
	From, To time.Time // first and last observation
	Events   int
	Unless   *rules.Unless // found by replaying; nil = no one value says it
	Seal     string        // SHA-256 of the manifest: names the bundle
}

// Verify reads a bundle, holds every byte of it against its seal, and lets the rules
// find the finding again. The error says in one line what differs.
func Verify(data []byte) (report Report, err error) {
	defer func() {
		if p := recover(); p != nil { // a state made by hand
			err = fmt.Errorf("%s: is no state of these rules", stateFile)
		}
	}()
	files, err := unpack(data)
	if err != nil {
		return Report{}, err
	}
	m, err := readManifest(files)
	if err != nil {
		return Report{}, err
	}
	b, err := m.bundle(files)
	if err != nil {
		return Report{}, err
	}
	if err := b.check(); err != nil {
		return Report{}, err
	}
	unless, err := b.Unless()
	if err != nil {
		return Report{}, err
	}
	if !reflect.DeepEqual(unless, m.Unless) {
		return Report{}, fmt.Errorf("%s: what would have kept the finding from opening is recomputed otherwise", manifestFile)
	}
	return Report{Finding: b.Finding, From: m.From, To: m.To, Events: m.Events, Unless: unless, Seal: sum(files[manifestFile])}, nil
}

// unpack takes an archive apart and holds that it is the one that Write makes of its
// files, byte by byte.
func unpack(data []byte) (map[string][]byte, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("has %d bytes, a bundle at most %d", len(data), MaxBytes)
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("is not a bundle: %w", err)
	}
	files := map[string][]byte{}
	var order []file
	for _, f := range z.File {
		switch {
		case !slices.Contains([]string{findingFile, packFile, rulesFile, eventsFile, stateFile, manifestFile, sealFile}, f.Name):
			return nil, fmt.Errorf("holds %q, which is no file of a bundle", short(f.Name))
		case files[f.Name] != nil:
			return nil, fmt.Errorf("holds %s twice", f.Name)
		case f.Method != zip.Store || f.UncompressedSize64 > uint64(len(data)):
			return nil, fmt.Errorf("%s: is compressed or cut; a bundle stores its files as they are", f.Name)
		}
		text, err := read(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		files[f.Name] = text
		order = append(order, file{f.Name, text})
	}
	again, err := archive(order)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, data) {
		return nil, errors.New("the archive itself was changed: it is not the one that is made of its files")
	}
	return files, nil
}

func read(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, MaxBytes))
	if err == nil && text == nil {
		text = []byte{}
	}
	return text, err
}

// readManifest reads the manifest and holds all files against it.
func readManifest(files map[string][]byte) (*manifest, error) {
	text := files[manifestFile]
	if text == nil || files[sealFile] == nil {
		return nil, fmt.Errorf("%s or %s is missing", manifestFile, sealFile)
	}
	if want := seal(text); !bytes.Equal(files[sealFile], want.data) {
		return nil, fmt.Errorf("%s: its SHA-256 is not the one of %s", manifestFile, sealFile)
	}
	var m manifest
	if err := strict(text, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", manifestFile, err)
	}
	if m.Format != format {
		return nil, fmt.Errorf("%s: format %d; this program reads %d", manifestFile, m.Format, format)
	}
	if len(m.Files) != len(files)-2 {
		return nil, fmt.Errorf("%s: names %d files, there are %d", manifestFile, len(m.Files), len(files)-2)
	}
	for _, e := range m.Files {
		data, ok := files[e.Name]
		switch {
		case !ok:
			return nil, fmt.Errorf("%s is missing", short(e.Name))
		case len(data) != e.Bytes || sum(data) != e.SHA256:
			return nil, fmt.Errorf("%s: its SHA-256 is not the one of the manifest", short(e.Name))
		}
	}
	return &m, nil
}

// bundle reads what the manifest names.
func (m *manifest) bundle(files map[string][]byte) (*Bundle, error) {
	b := &Bundle{State: files[stateFile], Flushed: m.Flushed}
	for _, name := range []string{findingFile, eventsFile, stateFile} {
		if files[name] == nil {
			return nil, fmt.Errorf("%s is missing", name)
		}
	}
	if err := strict(files[findingFile], &b.Finding); err != nil {
		return nil, fmt.Errorf("%s: %w", findingFile, err)
	}
	var err error
	if b.Events, err = decode(files[eventsFile]); err != nil {
		return nil, err
	}
	switch text, held := files[packFile], files[rulesFile]; {
	case text != nil && held == nil:
		pack, err := rules.Parse(packFile, text)
		if err != nil {
			return nil, err
		}
		p := *pack
		p.Lateness = m.Lateness
		b.Pack = &p
	case held != nil && text == nil:
		if err := strict(held, &b.Pack); err != nil {
			return nil, fmt.Errorf("%s: %w", rulesFile, err)
		}
	default:
		return nil, fmt.Errorf("there must be either %s or %s", packFile, rulesFile)
	}
	f, last := &b.Finding, b.Events[len(b.Events)-1].At
	if m.Machine != f.Machine || m.Rule != f.Rule || m.RuleHash != f.RuleHash || m.Events != len(b.Events) || !m.From.Equal(b.Events[0].At) || !m.To.Equal(last) {
		return nil, fmt.Errorf("%s: speaks of another finding or window than the files", manifestFile)
	}
	return b, nil
}

func strict(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("something follows its end")
	}
	return nil
}

// differ names the first field in which two findings differ, with both values.
func differ(a, b rules.Finding) (name, left, right string) {
	return fields(reflect.ValueOf(a), reflect.ValueOf(b))
}

func fields(a, b reflect.Value) (name, left, right string) {
	for i := range a.NumField() {
		x, y := a.Field(i), b.Field(i)
		one, err := json.Marshal(x.Interface())
		other, err2 := json.Marshal(y.Interface())
		if err == nil && err2 == nil && bytes.Equal(one, other) {
			continue
		}
		field := a.Type().Field(i).Name
		if _, isTime := x.Interface().(time.Time); x.Kind() == reflect.Struct && !isTime {
			inner, l, r := fields(x, y)
			return field + "." + inner, l, r
		}
		return field, short(string(one)), short(string(other))
	}
	return "", "", ""
}

func short(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}
