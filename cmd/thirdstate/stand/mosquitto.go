package stand

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Mosquitto is a real broker with a folder of its own, in which it may keep what it
// likes over a restart; more is what its configuration says beside that.
func Mosquitto(program, dir, address, more string) (*Process, error) {
	host, port, _ := strings.Cut(address, ":")
	text := fmt.Sprintf("listener %s %s\nallow_anonymous true\nlog_type error\nlog_type subscribe\npersistence true\npersistence_location %s/\n%s", port, host, dir, more)
	if os.Geteuid() == 0 {
		text += "user root\n" // the folder is root's alone
	}
	config := filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write the configuration of Mosquitto: %w", err)
	}
	return &Process{Name: "mosquitto", Command: []string{program, "-c", config}, Log: filepath.Join(dir, "mosquitto.log")}, nil
}

// BeginAt starts it, again too, and waits until it listens at address.
func (p *Process) BeginAt(ctx context.Context, address string) error {
	if err := p.Start(); err != nil {
		return err
	}
	return p.Lasts(ctx, p.Name+" listens", func() bool { return Listens(address) })
}
