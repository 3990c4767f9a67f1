package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// lock is a lock on a file that several processes share; it is free again when
// its process ends, however it ends.
type lock struct{ file *os.File }

// lockWithin bounds the wait for another process that starts or stops the server.
const lockWithin = 2 * time.Minute

// openLock takes nothing yet.
func openLock(path string) (*lock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // in our own folder
	if err != nil {
		return nil, fmt.Errorf("%w: %w", problem.New(problem.Invalid, "cannot write %s: give a folder that user %s may write with --data", path, userName(os.Geteuid())), err)
	}
	return &lock{f}, nil
}

// alone waits until no other process holds the lock.
func (l *lock) alone(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lockWithin)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		if free, err := l.tryAlone(); free || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another process holds %s: %w", l.file.Name(), ctx.Err())
		case <-poll.C:
		}
	}
}

// tryAlone says whether no other process holds the lock; then we do.
func (l *lock) tryAlone() (bool, error) {
	return l.try(syscall.LOCK_EX)
}

// shared holds the lock together with others.
func (l *lock) shared() error {
	free, err := l.try(syscall.LOCK_SH)
	if err == nil && !free {
		err = problem.New(problem.Unavailable, "another process is stopping the database; try again in a moment")
	}
	return err
}

func (l *lock) try(how int) (bool, error) {
	for {
		err := syscall.Flock(int(l.file.Fd()), how|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		default:
			return false, fmt.Errorf("lock %s: %w", l.file.Name(), err)
		}
	}
}

func (l *lock) release() { _ = l.file.Close() }
