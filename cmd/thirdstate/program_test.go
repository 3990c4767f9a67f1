package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asProgram makes this binary the program itself, so that tests can kill it.
const asProgram = "RUN_AS_THIRDSTATE"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run())
	}
	code := m.Run()
	closeChromium()
	os.Exit(code)
}

// command is the program with arguments, not started yet.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), asProgram+"=1")
	c.Stderr = t.Output()
	return c
}

// said runs the program to its end and returns what it printed.
func said(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(t, args...).Output()
	if err != nil {
		t.Fatalf("thirdstate %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out))
}

// program is thirdstate serve as a process of its own.
type program struct {
	*exec.Cmd
	args  []string
	url   string
	token string
}

// startProgram serves and, when the test ends, ends in good order, which ends its
// private database too.
func startProgram(t *testing.T, data string, args ...string) *program {
	t.Helper()
	return startAs(t, "serve", data, args...)
}

func startAs(t *testing.T, command, data string, args ...string) *program {
	t.Helper()
	p := &program{args: append([]string{command, "--log-level", "warn", "--http", "127.0.0.1:0", "--data", data}, args...)}
	t.Cleanup(func() {
		_ = p.Process.Signal(syscall.SIGTERM)
		if err := p.Wait(); err != nil {
			t.Errorf("the program did not end in order: %v", err)
		}
	})
	p.start(t)
	p.token = said(t, "token", "create", "--role", "admin", "--data", data)
	return p
}

// start starts it, again too, and waits until it serves.
func (p *program) start(t *testing.T) {
	t.Helper()
	p.Cmd = command(t, p.args...)
	out, err := p.StdoutPipe()
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, rest, ok := strings.Cut(lines.Text(), " serves "); ok {
			p.url, _, _ = strings.Cut(rest, " ")
			go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the process
			return
		}
	}
	t.Fatal("the program does not serve")
}

// kill is kill -9.
func (p *program) kill(t *testing.T) {
	t.Helper()
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait() // says that it was killed
}

// get asks the running program and returns the status; out may be nil.
func (p *program) get(t *testing.T, path string, out any) int {
	t.Helper()
	answer, body := fetch(t, p.url+path, p.token)
	if out == nil || answer.StatusCode != http.StatusOK {
		return answer.StatusCode
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(out); err != nil {
		t.Fatalf("GET %s answered no JSON: %v\n%s", path, err, body)
	}
	return answer.StatusCode
}

// fetch gives an answer, whatever it is, and its body.
func fetch(t *testing.T, url, token string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, body
}

// spareAddress can be taken more than once: it is not among the ports that the
// system itself gives away, to tests that run beside this one.
func spareAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000)))
		if err == nil {
			l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// awhile is a random time of the wall.
func awhile(random *rand.Rand, least, most time.Duration) {
	timer := time.NewTimer(least + time.Duration(random.Int64N(int64(most-least))))
	<-timer.C
}
