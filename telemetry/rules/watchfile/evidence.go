package watchfile

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/bundle"
)

// maxBundles bounds what is written of one file.
const maxBundles = 1_000

// window is how many rows of the machine that comes as number n are kept at least
// once, at most twice: many machines keep few each.
func window(n int) int {
	switch {
	case n < 100:
		return 512
	case n < 1000:
		return 64
	}
	return 16
}

// bundle hands out the evidence of a finding that has opened.
func (r *run) bundle(m *watched, f rules.Finding, flushed bool) error {
	if m.recorder == nil {
		return nil
	}
	if r.bundles++; r.bundles > maxBundles {
		return nil
	}
	data, err := bundle.Write(m.recorder.Bundle(f, m.pack, flushed))
	if err != nil {
		return fmt.Errorf("evidence of episode %d of machine %s: %w", m.episodes, short(m.name), err)
	}
	of, _, _ := strings.Cut(path.Base(filepath.ToSlash(r.table.name)), ".")
	name := fmt.Sprintf("%s-%04d-%s-%d-%s.zip", plain(of), r.bundles, plain(m.name), m.episodes, plain(f.Rule))
	if err := r.opts.Bundle(name, data); err != nil {
		return fmt.Errorf("write the evidence %s: %w", name, err)
	}
	return nil
}

// plain makes a part of a file's name of any name.
func plain(name string) string {
	clean := strings.Map(func(c rune) rune {
		if c < 0x80 && (c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '-') {
			return c
		}
		return '_'
	}, name)
	return clean[:min(len(clean), 60)]
}
