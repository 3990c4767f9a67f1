// Package stand is the test stand for the program and for what stands beside it in a
// plant: each runs as a process of its own, with its own files, and can be killed,
// frozen and started again. It knows nothing of what is measured on it.
package stand

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// within bounds every wait for a process or for what it should do.
const within = 2 * time.Minute

// Find looks for a program; places are folders that are tried after PATH.
func Find(name string, places ...string) (string, error) {
	for _, place := range append([]string{""}, places...) {
		if path, err := exec.LookPath(filepath.Join(place, name)); err == nil {
			return path, nil
		}
	}
	return "", problem.New(problem.Invalid, "%s is not installed; `make versus` brings it", name)
}

// Process is a program that can be killed and started again.
type Process struct {
	Name    string
	Command []string
	Log     string   // file for all that it prints, in all its lives
	Env     []string // beside ours

	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	born int64         // size of the log when the present life began
	used time.Duration // processor time of earlier lives
}

// Start starts it, again too. It outlives whoever starts it until End.
func (p *Process) Start() error {
	out, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", p.Name, err)
	}
	defer out.Close()
	if p.born, err = out.Seek(0, io.SeekEnd); err != nil {
		return fmt.Errorf("measure the log of %s: %w", p.Name, err)
	}
	p.cmd = exec.Command(p.Command[0], p.Command[1:]...) //nolint:gosec,noctx // what the user named; it outlives ctx until stop
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = out, out, append(os.Environ(), p.Env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches us first
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) { // end waits for it
		_ = cmd.Wait() // how it ended is in its ProcessState
		close(done)
	}(p.cmd, p.done)
	return nil
}

// End sends a signal and waits; a process that does not listen is killed.
func (p *Process) End(signal syscall.Signal) error {
	if p.cmd == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end %s: %w", p.Name, err)
	}
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill() // it may have ended just now
		<-p.done
	}
	p.used += p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	p.cmd = nil
	return nil
}

// Lives says whether the process runs still.
func (p *Process) Lives() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// ticks a second in /proc, the same on every Linux of today.
const ticks = 100

// Processor is the processor time that the program has used in all its lives.
func (p *Process) Processor() time.Duration {
	if p.cmd == nil {
		return p.used
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "stat"))
	if err != nil {
		return p.used
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return p.used
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return p.used + time.Duration(user+system)*time.Second/ticks
}

// Peak is the largest resident memory of the present life, in MiB.
func (p *Process) Peak() int {
	if p.cmd == nil {
		return 0
	}
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "status"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kib >> 10
		}
	}
	return 0
}

// Ports gives away loopback addresses below the ports that the kernel gives away, so
// that a killed program can take its address again. Its zero value is ready.
type Ports struct {
	mu    sync.Mutex
	given int
}

// Spare is an address that nobody listens at. Each call gives another one.
func (p *Ports) Spare(ctx context.Context) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range 1_000 {
		p.given++
		address := "127.0.0.1:" + strconv.Itoa(21_000+(os.Getpid()*37+p.given)%10_000)
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err == nil {
			return address, l.Close()
		}
	}
	return "", errors.New("no port on 127.0.0.1 is free")
}

// Await asks again and again until ready or ctx ends or the time is up.
func Await(ctx context.Context, what string, ready func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// Lasts is Await for something that only a living process can bring.
func (p *Process) Lasts(ctx context.Context, what string, ready func() bool) error {
	err := Await(ctx, what, func() bool { return ready() || !p.Lives() })
	if err == nil && !p.Lives() {
		text, _ := os.ReadFile(p.Log) // what there is of it
		err = fmt.Errorf("%s has ended: %s", p.Name, text[max(0, len(text)-500):])
	}
	return err
}

// Listens says whether somebody takes connections at an address.
func Listens(address string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// Said says whether the process has written a text in its present life.
func (p *Process) Said(text string) bool {
	f, err := os.Open(p.Log)
	if err != nil {
		return false
	}
	defer f.Close()
	if _, err := f.Seek(p.born, 0); err != nil {
		return false
	}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.Contains(lines.Text(), text) {
			return true
		}
	}
	return false
}

// Runs says whether the process was started and not ended since.
func (p *Process) Runs() bool { return p.cmd != nil && p.Lives() }

// PID is the number of the process, 0 while there is none.
func (p *Process) PID() int {
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Freeze stops it without its noticing, until Thaw.
func (p *Process) Freeze() error { return p.signal(syscall.SIGSTOP) }

// Thaw lets it go on.
func (p *Process) Thaw() error { return p.signal(syscall.SIGCONT) }

func (p *Process) signal(s syscall.Signal) error {
	if p.cmd == nil {
		return fmt.Errorf("%s does not run", p.Name)
	}
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %s to %s: %w", s, p.Name, err)
	}
	return nil
}
