package datasets

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// following is one stream of a text that is learnt and a file that comes after it.
func following(d *folder, first func() (io.ReadCloser, error), second string, header bool) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		a, err := first()
		if err != nil {
			return nil, err
		}
		b, err := d.open(second)
		if err != nil {
			return nil, errors.Join(err, a.Close())
		}
		rest := bufio.NewReaderSize(b, maxLine)
		if header {
			if _, err := rest.ReadSlice('\n'); err != nil {
				return nil, errors.Join(err, a.Close(), b.Close())
			}
		}
		return &joined{Reader: io.MultiReader(a, rest), parts: []io.Closer{a, b}}, nil
	}
}

type joined struct {
	io.Reader
	parts []io.Closer
}

// Close closes all parts.
func (j *joined) Close() error {
	var errs []error
	for _, p := range j.parts {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// rows counts the lines of a file.
func (d *folder) rows(name string) (int, error) {
	rows := 0
	err := d.lines(name, func(int, string) error {
		rows++
		return nil
	})
	return rows, err
}

// in is a text as a file's content.
func in(text string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
}
