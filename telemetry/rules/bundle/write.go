package bundle

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// The files of a bundle, in their order. A pack is there as it was written, or, when
// it was not, as the engine holds it.
const (
	findingFile  = "finding.json"
	packFile     = "pack.yaml"
	rulesFile    = "rules.json"
	eventsFile   = "observations.ndjson"
	stateFile    = "state.bin"
	manifestFile = "manifest.json"
	sealFile     = "manifest.sha256"
)

// format is the version of all that is written here.
const format = 1

// manifest says what a bundle is about, and holds its files together.
type manifest struct {
	Format   int           `json:"format"`
	Machine  string        `json:"machine"`
	Rule     string        `json:"rule"`
	RuleHash string        `json:"ruleHash"`
	From     time.Time     `json:"from"` // first and last event
	To       time.Time     `json:"to"`
	Events   int           `json:"events"`
	Flushed  bool          `json:"flushed"`
	Lateness time.Duration `json:"lateness"` // of the pack, ns; a file is evaluated without waiting
	Unless   *rules.Unless `json:"unless"`   // found by replaying
	Files    []entry       `json:"files"`
}

// entry is a file of a manifest.
type entry struct {
	Name   string `json:"name"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// file is one of the archive.
type file struct {
	name string
	data []byte
}

// Write makes the one file of a bundle. It finds the finding again first: what Verify
// would refuse is not written.
func Write(b *Bundle) ([]byte, error) {
	if len(b.Events) == 0 || len(b.Events) > maxEvents {
		return nil, fmt.Errorf("a bundle has 1 to %d observations, not %d", maxEvents, len(b.Events))
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	unless, err := b.Unless()
	if err != nil {
		return nil, err
	}
	finding, err := indented(b.Finding)
	if err != nil {
		return nil, err
	}
	pack := file{name: rulesFile}
	m := manifest{
		Format: format, Machine: b.Finding.Machine, Rule: b.Finding.Rule, RuleHash: b.Finding.RuleHash, Flushed: b.Flushed,
		From: b.Events[0].At, To: b.Events[len(b.Events)-1].At, Events: len(b.Events), Unless: unless,
	}
	if b.Pack != nil && b.Pack.Text != nil {
		pack = file{packFile, b.Pack.Text}
	} else if pack.data, err = indented(b.Pack); err != nil {
		return nil, err
	}
	if b.Pack != nil {
		m.Lateness = b.Pack.Lateness
	}
	files := []file{{findingFile, finding}, pack, {eventsFile, encode(b.Events)}, {stateFile, b.State}}
	for _, f := range files {
		m.Files = append(m.Files, entry{f.name, len(f.data), sum(f.data)})
	}
	text, err := indented(m)
	if err != nil {
		return nil, err
	}
	data, err := archive(append(files, file{manifestFile, text}, seal(text)))
	if err == nil && len(data) > MaxBytes {
		err = fmt.Errorf("the bundle has %d bytes, at most %d", len(data), MaxBytes)
	}
	return data, err
}

// seal is the line that sha256sum -c reads.
func seal(manifest []byte) file {
	return file{sealFile, []byte(sum(manifest) + "  " + manifestFile + "\n")}
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

func indented(v any) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write as JSON: %w", err)
	}
	return append(text, '\n'), nil
}

// archive stores files without compression and without dates, so that the same files
// are always the same bytes.
func archive(files []file) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		size := uint64(len(f.data))
		w, err := z.CreateRaw(&zip.FileHeader{
			Name: f.name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(f.data), CompressedSize64: size, UncompressedSize64: size,
		})
		if err == nil {
			_, err = w.Write(f.data)
		}
		if err != nil {
			return nil, fmt.Errorf("put %s into the bundle: %w", f.name, err)
		}
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("end the bundle: %w", err)
	}
	return b.Bytes(), nil
}
