package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/gate"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/packs"
)

// ruleFolder is a folder of rule packs beside those that are built in. What it held
// when all of it was good last is kept, so that a file that is being edited does not
// leave the fleet without its rules when the program starts.
type ruleFolder struct {
	dir  string // "" = only the packs that are built in
	kept string // file of name to text
	log  *slog.Logger
}

// start reads the packs; while some are bad, those that were good last go on.
func (f ruleFolder) start() (gate.Base, error) {
	all, err := f.read()
	if err == nil || f.dir == "" {
		return all, err
	}
	kept, keptErr := f.readKept()
	if keptErr != nil {
		if !errors.Is(keptErr, fs.ErrNotExist) {
			err = errors.Join(err, keptErr)
		}
		return gate.Base{}, err
	}
	f.log.Error("rule packs are bad; the rules of before go on", "folder", f.dir, "faults", err)
	return kept, nil
}

// read reads the folder; the error names every fault.
func (f ruleFolder) read() (gate.Base, error) {
	if f.dir == "" {
		all, err := packs.All()
		return gate.Base{Packs: all}, err
	}
	files := readPacks([]string{f.dir})
	all, err := under(files)
	if err != nil {
		return gate.Base{}, err
	}
	texts := map[string]string{}
	for _, p := range files {
		texts[p.Name] = string(p.Text)
	}
	return all, f.keep(texts)
}

// under puts packs over those that are built in, by their models.
func under(files []packs.File) (gate.Base, error) {
	var faults []string
	for _, p := range files {
		for _, fault := range p.Faults {
			faults = append(faults, fault.String())
		}
	}
	if len(faults) > 0 {
		return gate.Base{}, problem.New(problem.Invalid, "%d faults in the rule packs:\n\t%s", len(faults), strings.Join(faults, "\n\t"))
	}
	all, err := packs.All()
	if err != nil {
		return gate.Base{}, err
	}
	own := map[string]bool{}
	for _, p := range files {
		all[p.Pack.Model], own[p.Pack.Model] = p.Pack, true
	}
	return gate.Base{Packs: all, Folder: own}, nil
}

func (f ruleFolder) keep(texts map[string]string) error {
	b, err := json.Marshal(texts)
	if err != nil {
		return fmt.Errorf("keep the rule packs: %w", err)
	}
	next, err := os.OpenFile(f.kept+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep the rule packs: %w", err)
	}
	_, err = next.Write(b)
	if err = errors.Join(err, next.Sync(), next.Close()); err == nil {
		err = os.Rename(next.Name(), f.kept)
	}
	if err != nil {
		return fmt.Errorf("keep the rule packs: %w", err)
	}
	return nil
}

func (f ruleFolder) readKept() (gate.Base, error) {
	b, err := os.ReadFile(f.kept)
	if err != nil {
		return gate.Base{}, fmt.Errorf("read the rule packs of before: %w", err)
	}
	texts := map[string]string{}
	if err := json.Unmarshal(b, &texts); err != nil {
		return gate.Base{}, fmt.Errorf("read the rule packs of before: %w", err)
	}
	var files []packs.File
	for name, text := range texts {
		p := packs.File{Name: name}
		if p.Pack, err = rules.Parse(name, []byte(text)); err != nil {
			return gate.Base{}, fmt.Errorf("read the rule packs of before: %w", err)
		}
		files = append(files, p)
	}
	return under(files)
}

func (y *system) ruleFolder() ruleFolder {
	return ruleFolder{dir: y.Rules, kept: filepath.Join(y.Data, "rules-in-force.json"), log: y.log}
}

// reloadRules puts what the folder holds now in force. After an error nothing has
// changed.
func (y *system) reloadRules(ctx context.Context) error {
	base, err := y.ruleFolder().read()
	if err != nil {
		return err
	}
	machines, err := y.gate.Rebase(ctx, base)
	if err != nil {
		return err
	}
	y.log.Info("the rule packs are read again", "packs", len(y.fleet.Packs()), "machines", machines)
	return postgres.As(ctx, y.pool, identity.Program("detection"), func(tx pgx.Tx) error {
		return y.fleet.NameSignals(ctx, tx, y.clock.Now(), identity.Program("detection"))
	})
}

// runRules reads the folder of rule packs again at each SIGHUP until ctx ends. Without
// a folder SIGHUP says that the terminal was closed, and ends all in good order.
func (y *system) runRules(ctx context.Context) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-hangup:
			if y.Rules == "" {
				return context.Canceled
			}
			if err := y.reloadRules(ctx); err != nil {
				y.log.Error("the rule packs are not read again; the rules of before go on", "folder", y.Rules, "error", err)
			}
		}
	}
}
