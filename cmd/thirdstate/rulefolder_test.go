package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
)

const (
	goodPack = "model: PS90\nsignals: {a: {unit: \"1\"}}\nrules:\n  - {id: high, kind: threshold, title: High, title_zh: 高, signal: a, above: 1}\n"
	badPack  = "model: PS90\nsignals: {a: {unit: \"1\"}}\nrules:\n  - {id: high, kind: threshold, title: High, title_zh: 高, signal: b, above: .nan}\n"
)

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRules_AFolderThatIsBadLeavesTheRulesOfBefore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := ruleFolder{dir: dir, kept: filepath.Join(t.TempDir(), "kept.json"), log: slog.New(slog.NewTextHandler(testLog{t}, nil))}
	pack := filepath.Join(dir, "station.yaml")
	write(t, pack, badPack)
	if _, err := f.start(); problem.Of(err) != problem.Invalid || !strings.Contains(err.Error(), "station.yaml:4:67: signal") || !strings.Contains(err.Error(), "4:77: above") {
		t.Errorf("a first start with a bad pack: %v", err)
	}
	write(t, pack, goodPack)
	good, err := f.start()
	if err != nil || good.Packs["PS90"] == nil || good.Packs["BE365"] == nil {
		t.Fatalf("packs %v, %v", good, err)
	}
	write(t, pack, badPack)
	if _, err := f.read(); problem.Of(err) != problem.Invalid {
		t.Errorf("a bad pack is read: %v", err)
	}
	again, err := f.start()
	if err != nil || again.Packs["PS90"] == nil || again.Packs["PS90"].Hash != good.Packs["PS90"].Hash || len(again.Packs) != len(good.Packs) || !again.Folder["PS90"] || again.Folder["BE365"] {
		t.Errorf("packs %v, %v", again, err)
	}
	write(t, filepath.Join(dir, "another.yaml"), goodPack)
	write(t, pack, goodPack)
	if _, err := f.read(); problem.Of(err) != problem.Invalid || !strings.Contains(err.Error(), "has a pack in") {
		t.Errorf("two packs of a model: %v", err)
	}
}

func TestServe_ReadsItsRulesAgainAtAHangUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pack := filepath.Join(dir, "station.yaml")
	write(t, pack, goodPack)
	p := startProgram(t, postgrestest.Folder(t), "--mqtt-listen", spareAddress(t), "--rules", dir)
	hash := func() string {
		var list struct {
			Items []struct{ Model, Hash string }
		}
		p.get(t, "/api/v1/rules", &list)
		for _, r := range list.Items {
			if r.Model == "PS90" {
				return r.Hash
			}
		}
		return ""
	}
	hangUp := func() {
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	before := hash()
	if before == "" {
		t.Fatal("the folder's pack is not in force")
	}
	write(t, pack, strings.Replace(goodPack, "above: 1", "above: 2", 1))
	hangUp()
	until(t, "the new pack is in force", func() bool { return hash() != before })
	changed := hash()
	write(t, pack, badPack)
	hangUp()
	p.kill(t)
	p.start(t)
	if now := hash(); now != changed {
		t.Errorf("after a start with a bad pack %q is in force, want %q", now, changed)
	}
}

// Who closes the terminal of a program that has no folder to read again ends it.
func TestServe_WithoutAFolderAHangUpEndsIt(t *testing.T) {
	t.Parallel()
	p := startProgram(t, postgrestest.Folder(t), "--mqtt-listen", spareAddress(t))
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("it did not end in order: %v", err)
	}
	p.start(t) // its data are well
}
