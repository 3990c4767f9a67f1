package simulate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// maxMapping bounds a mapping file, in bytes.
const maxMapping = 256 << 10

// Mapping says what the columns of a recorded file mean. Columns are named by
// their header or numbered from 1.
type Mapping struct {
	Separator   string            `yaml:"separator"`    // one character, or tab, or space (any run of blanks); default: comma
	Header      *bool             `yaml:"header"`       // the first line names the columns; default: true
	Time        string            `yaml:"time"`         // column of the time ...
	TimeFormat  string            `yaml:"time_format"`  // its layout as in Go's package time, or unix, or unix_ms; default: looks for one
	RowInterval string            `yaml:"row_interval"` // ... or the distance of a machine's rows
	Machine     MachineName       `yaml:"machine"`
	Signals     map[string]string `yaml:"signals"` // column by signal; none = every other column, under its own name
	Ignore      []string          `yaml:"ignore"`  // columns that are left out then

	interval time.Duration
	sep      byte
}

// MachineName says which machine a row is about. Name may hold {file}, which
// stands for the file's name without its endings; a column's value is appended.
type MachineName struct {
	Name   string `yaml:"name"`
	Column string `yaml:"column"`
}

var (
	keyPattern    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	signalPattern = regexp.MustCompile(`^[^\s"',=\\]{1,64}$`)
)

// ReadMapping reads a mapping file. An error is one line.
func ReadMapping(name string) (*Mapping, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the mapping: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxMapping+1))
	if err != nil {
		return nil, fmt.Errorf("read the mapping: %w", err)
	}
	if len(text) > maxMapping {
		return nil, fmt.Errorf("%s: is larger than %d bytes: not a mapping", name, maxMapping)
	}
	m, err := parseMapping(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

func parseMapping(text []byte) (m *Mapping, err error) {
	defer func() {
		if r := recover(); r != nil { // the YAML library is not ours
			m, err = nil, errors.New("is not YAML that can be read")
		}
	}()
	if bytes.IndexByte(text, 0) >= 0 {
		return nil, errors.New("holds a zero byte: not a text")
	}
	m = &Mapping{}
	if err := yaml.UnmarshalWithOptions(text, m, yaml.Strict()); err != nil {
		line, _, _ := strings.Cut(err.Error(), "\n")
		return nil, errors.New(line)
	}
	return m, m.check()
}

// check finds what is missing or contradicts itself.
func (m *Mapping) check() error {
	switch m.Separator {
	case "", ",":
		m.sep = ','
	case "tab", "\t":
		m.sep = '\t'
	case "space", " ":
		m.sep = ' '
	default:
		if len(m.Separator) != 1 {
			return fmt.Errorf("separator %q must be one character, tab or space", m.Separator)
		}
		m.sep = m.Separator[0]
	}
	if (m.Time == "") == (m.RowInterval == "") {
		return errors.New("needs either time (a column) or row_interval (such as 3m)")
	}
	if m.RowInterval != "" {
		d, err := time.ParseDuration(m.RowInterval)
		if err != nil || d < time.Millisecond || d > 31*24*time.Hour {
			return fmt.Errorf("row_interval %q must be a duration such as 10s, 3m or 24h", m.RowInterval)
		}
		m.interval = d
	}
	if m.Machine.Name == "" && m.Machine.Column == "" {
		return errors.New("needs machine: a name, a column or both")
	}
	for signal := range m.Signals {
		if !signalPattern.MatchString(signal) {
			return fmt.Errorf("signal %q must have 1 to 64 characters, no blanks, quotes, commas or equal signs", signal)
		}
	}
	return nil
}

func (m *Mapping) headed() bool { return m.Header == nil || *m.Header }
