package intakelog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// FS is all that a log asks of its folder; names are relative to it. Tests
// inject faults here.
type FS interface {
	Open(name string, create bool) (File, error) // for reading and appending
	List() ([]Entry, error)                      // the files of the folder itself
	Rename(from, to string) error
	Remove(name string) error
	SyncDir() error
}

// File is one file of a log. Write appends; Sync makes what was written durable.
type File interface {
	io.ReaderAt
	io.Writer
	io.Closer
	Sync() error
	Truncate(size int64) error
}

// allocator is a File that can ask for room on its disk; with keep its size
// stays as it is.
type allocator interface {
	Allocate(offset, size int64, keep bool) error
}

// Entry is one file of the folder.
type Entry struct {
	Name string
	Size int64
}

// DirFS is the real folder dir.
func DirFS(dir string) FS { return folder(dir) }

type folder string

func (d folder) Open(name string, create bool) (File, error) {
	flags := os.O_RDWR | os.O_APPEND
	if create {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(filepath.Join(string(d), name), flags, 0o640)
	if err != nil {
		return nil, err
	}
	return dataFile{f}, nil
}

func (d folder) List() ([]Entry, error) {
	found, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, f := range found {
		info, err := f.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // gone meanwhile, or not ours
		}
		entries = append(entries, Entry{f.Name(), info.Size()})
	}
	return entries, nil
}

func (d folder) Rename(from, to string) error {
	return os.Rename(filepath.Join(string(d), from), filepath.Join(string(d), to))
}

func (d folder) Remove(name string) error { return os.Remove(filepath.Join(string(d), name)) }

// Free is how many bytes the disk still takes from this process.
func (d folder) Free() (int64, error) { return freeBytes(string(d)) }

func (d folder) SyncDir() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// dataFile syncs the data and what is needed to find it, but no timestamps.
type dataFile struct{ *os.File }

func (f dataFile) Sync() error { return datasync(f.File) }

func (f dataFile) Allocate(offset, size int64, keep bool) error {
	return allocate(f.File, offset, size, keep)
}

// lockFolder makes this process the only owner of the log.
func lockFolder(dir string) (*os.File, error) {
	path := filepath.Join(dir, "LOCK")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open intake log: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { //nolint:gosec // a descriptor fits
		owner := make([]byte, 20)
		n, _ := f.ReadAt(owner, 0)
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is held by process %s", ErrInUse, dir, owner[:n])
		}
		return nil, fmt.Errorf("lock intake log %s: %w", dir, err)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt(fmt.Append(nil, os.Getpid()), 0) // who holds it is only said, never relied on
	}
	return f, nil
}

// unlockFolder gives the log free. To close the file alone would not do for as
// long as a child that is just being started has a copy of it.
func unlockFolder(f *os.File) {
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) //nolint:gosec // a descriptor fits
	_ = f.Close()
}

// readAll reads a small file of the log, at most limit bytes.
func readAll(fs FS, name string, limit int64) ([]byte, error) {
	f, err := fs.Open(name, false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.NewSectionReader(f, 0, limit))
}

// replace writes a small file so that either the old or the new one is there.
func replace(fs FS, name string, content []byte) error {
	fresh := name + ".new"
	_ = fs.Remove(fresh) // left by a run that was cut off
	f, err := fs.Open(fresh, true)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(fresh, name); err != nil {
		return err
	}
	return fs.SyncDir()
}

func noRoom(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
