package packs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// File is a pack as it was read: the pack, or what is wrong with it.
type File struct {
	Name   string
	Pack   *rules.Pack // nil with faults
	Faults rules.Errors
	Text   []byte
}

// maxFiles bounds the packs of one folder, maxText what is read of one.
const (
	maxFiles = 1_000
	maxText  = 1 << 20
)

// Read reads the pack of that name, or all packs (*.yaml, *.yml) below it, in the order
// of their names. The folder that fsys stands for goes before the names that are told.
func Read(fsys fs.FS, folder, name string) []File {
	var files []File
	err := fs.WalkDir(fsys, name, func(at string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case len(files) == maxFiles:
			return fmt.Errorf("more than %d packs", maxFiles)
		case d.IsDir(), at != name && !slices.Contains([]string{".yaml", ".yml"}, path.Ext(at)):
			return nil
		}
		files = append(files, read(fsys, folder, at))
		return nil
	})
	if err == nil && len(files) == 0 {
		err = errors.New("holds no packs (*.yaml)")
	}
	if err != nil {
		files = append(files, unreadable(path.Join(folder, name), err))
	}
	return files
}

func read(fsys fs.FS, folder, name string) File {
	shown := path.Join(folder, name)
	f, err := fsys.Open(name)
	if err != nil {
		return unreadable(shown, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxText))
	if err != nil {
		return unreadable(shown, err)
	}
	out := File{Name: shown, Text: text}
	out.Pack, err = rules.Parse(shown, text)
	if err != nil && !errors.As(err, &out.Faults) {
		return unreadable(shown, err)
	}
	return out
}

func unreadable(name string, err error) File {
	if inner, ok := errors.AsType[*fs.PathError](err); ok {
		err = inner.Err
	}
	return File{Name: name, Faults: rules.Errors{{File: name, Line: 1, Col: 1, Text: err.Error()}}}
}

// OnePerModel refuses packs of a model that has one in an earlier file.
func OnePerModel(files []File) {
	first := map[string]string{}
	for i := range files {
		f := &files[i]
		if f.Pack == nil {
			continue
		}
		if other, taken := first[f.Pack.Model]; taken {
			f.Faults = rules.Errors{{File: f.Name, Line: 1, Col: 1, Text: fmt.Sprintf("model %q has a pack in %s already", f.Pack.Model, other)}}
			f.Pack = nil
			continue
		}
		first[f.Pack.Model] = f.Name
	}
}
