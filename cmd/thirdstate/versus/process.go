package versus

import (
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
	"syscall"
	"time"
)

// within bounds every wait for a process or for what it should do.
const within = 2 * time.Minute

func lookPath(name string) (string, error) { return exec.LookPath(name) }

// process is a program of one chain. It can be killed and started again.
type process struct {
	name    string
	command []string
	log     string   // file
	env     []string // beside ours
	cmd     *exec.Cmd
	done    chan struct{} // closed when it has ended
	born    int64         // size of the log when the present life began
	used    time.Duration // processor time of earlier lives
}

func (p *process) start() error {
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", p.name, err)
	}
	defer out.Close()
	if p.born, err = out.Seek(0, io.SeekEnd); err != nil {
		return fmt.Errorf("measure the log of %s: %w", p.name, err)
	}
	p.cmd = exec.Command(p.command[0], p.command[1:]...) //nolint:gosec,noctx // what the user named; it outlives ctx until stop
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = out, out, append(os.Environ(), p.env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches us first
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) { // end waits for it
		_ = cmd.Wait() // how it ended is in its ProcessState
		close(done)
	}(p.cmd, p.done)
	return nil
}

// end sends a signal and waits; a process that does not listen is killed.
func (p *process) end(signal syscall.Signal) error {
	if p.cmd == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end %s: %w", p.name, err)
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

// lives says whether the process runs still.
func (p *process) lives() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// ticks a second in /proc, the same on every Linux of today.
const ticks = 100

// processor is the processor time that the program has used in all its lives.
func (p *process) processor() time.Duration {
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

// peak is the largest resident memory of the present life, in MiB.
func (p *process) peak() int {
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

// spare is a loopback address below the ports that the kernel gives away, so that
// a killed program can take it again. Each call gives another one.
func (r *runner) spare(ctx context.Context) (string, error) {
	for range 1_000 {
		r.ports++
		address := "127.0.0.1:" + strconv.Itoa(21_000+(os.Getpid()+r.ports)%10_000)
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err == nil {
			return address, l.Close()
		}
	}
	return "", errors.New("no port on 127.0.0.1 is free")
}

// await asks again and again until ready or ctx ends or the time is up.
func await(ctx context.Context, what string, ready func() bool) error {
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

// lasts is await for something that only a living process can bring.
func (p *process) lasts(ctx context.Context, what string, ready func() bool) error {
	err := await(ctx, what, func() bool { return ready() || !p.lives() })
	if err == nil && !p.lives() {
		text, _ := os.ReadFile(p.log) // what there is of it
		err = fmt.Errorf("%s has ended: %s", p.name, text[max(0, len(text)-500):])
	}
	return err
}

func listens(address string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	return c.Close() == nil
}
