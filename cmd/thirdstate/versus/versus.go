// Package versus runs the product beside its peers on this machine: the same
// devices send the same messages, which end in the same kind of InfluxDB, first
// through Mosquitto and Telegraf and then through this program. It prints what
// each of them could do, used and lost; ours too.
package versus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/stand"
)

// Config says what runs, with how much.
type Config struct {
	Program                      string // thirdstate itself
	Mosquitto, Telegraf, Influxd string // programs of the peers; without Telegraf ours runs alone
	Messages, Machines           int    // of the speed run
	Connections                  int
	FaultMessages                int // of each run with a fault, sent at 1,000/s; 0 = no such runs
	Out                          io.Writer
}

// Run compares and prints; it ends every process that it started.
func Run(ctx context.Context, c Config) error {
	dir, err := os.MkdirTemp("", "thirdstate-versus")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // the database's user must pass through
		return fmt.Errorf("open the folder to the database's user: %w", err)
	}
	r := &runner{Config: c, dir: dir}
	err = r.speed(ctx)
	if err == nil && c.FaultMessages > 0 {
		err = r.faults(ctx)
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// runner is one comparison.
type runner struct {
	Config
	dir   string
	runs  int // chains started so far
	ports stand.Ports
}

func (r *runner) print(format string, args ...any) { fmt.Fprintf(r.Out, format+"\n", args...) }

// with starts a chain on a fresh InfluxDB, does something with it and ends it.
func (r *runner) with(ctx context.Context, kind chainKind, machines int, do func(*chain) error) (err error) {
	r.runs++
	dir := filepath.Join(r.dir, fmt.Sprintf("%02d", r.runs))
	if err := os.Mkdir(dir, 0o711); err != nil { //nolint:gosec // as above
		return fmt.Errorf("make a folder: %w", err)
	}
	c, err := r.start(ctx, kind, dir, machines)
	if c != nil {
		defer func() {
			err = errors.Join(err, c.stop(), os.RemoveAll(dir))
		}()
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", kind.name, err)
	}
	return do(c)
}
