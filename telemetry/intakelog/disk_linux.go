package intakelog

import (
	"os"
	"syscall"
)

func datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); err != syscall.EINTR { //nolint:gosec // a descriptor fits
			return err
		}
	}
}

func freeBytes(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil //nolint:gosec // no disk has 2^63 blocks
}

// allocate asks for room that is not written yet.
func allocate(f *os.File, offset, size int64, keep bool) error {
	const keepSize = 1 // FALLOC_FL_KEEP_SIZE
	mode := uint32(0)
	if keep {
		mode = keepSize
	}
	for {
		if err := syscall.Fallocate(int(f.Fd()), mode, offset, size); err != syscall.EINTR { //nolint:gosec // a descriptor fits
			return err
		}
	}
}
