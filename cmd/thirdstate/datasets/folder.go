package datasets

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// Bounds of a folder.
const (
	maxFiles = 10_000
	maxLine  = 1 << 20  // bytes
	maxLabel = 16 << 20 // bytes of a file of labels
)

// folder is what lies in a folder of data sets.
type folder struct {
	fsys  fs.FS
	files []file // in the order of their paths
}

// file is one table, with its first line.
type file struct {
	path string
	head string
}

// name is the file's name without folder and endings.
func (f file) name() string {
	name := strings.TrimSuffix(path.Base(f.path), ".gz")
	return strings.TrimSuffix(name, path.Ext(name))
}

// columns are the names in the first line.
func (f file) columns(sep string) []string {
	names := strings.Split(f.head, sep)
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}

// look lists the tables of a folder.
func look(fsys fs.FS) (*folder, error) {
	d := &folder{fsys: fsys}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() || !isTable(name):
			return nil
		case len(d.files) == maxFiles:
			return fmt.Errorf("more than %d tables", maxFiles)
		}
		head, err := d.head(name)
		if err != nil {
			return err
		}
		d.files = append(d.files, file{name, head})
		return nil
	})
	return d, err
}

func isTable(name string) bool {
	if base := path.Base(name); strings.HasPrefix(base, "LICENSE") || strings.HasPrefix(base, "README") {
		return false
	}
	switch path.Ext(strings.TrimSuffix(name, ".gz")) {
	case ".csv", ".txt", ".dat":
		return true
	}
	return false
}

func (d *folder) head(name string) (string, error) {
	var head string
	err := d.lines(name, func(n int, line string) error {
		head = line
		return io.EOF
	})
	return head, err
}

// lines gives the lines of a file that are not blank, numbered from 1, until it ends or each says io.EOF.
func (d *folder) lines(name string, each func(n int, line string) error) error {
	r, err := d.open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), maxLine)
	for n := 1; s.Scan(); n++ {
		if strings.TrimSpace(s.Text()) == "" {
			continue
		}
		if err := each(n, s.Text()); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("%s: cannot be read on: %w", name, err)
	}
	return nil
}

// open gives a file's text, unzipped.
func (d *folder) open(name string) (io.ReadCloser, error) {
	f, err := d.fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	if path.Ext(name) != ".gz" {
		return f, nil
	}
	text, err := gzip.NewReader(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: is not a whole gzip file: %w", name, err), f.Close())
	}
	return unzipped{text, f}, nil
}

type unzipped struct {
	*gzip.Reader
	file io.Closer
}

// Close closes the file too.
func (u unzipped) Close() error { return errors.Join(u.Reader.Close(), u.file.Close()) }
