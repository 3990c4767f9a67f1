// Package packs holds the rule packs that the product brings with it, one YAML
// file for each machine model: which signals it has, what is normal for them, and
// what the trade knows of each way to fail.
package packs

import (
	"embed"
	"fmt"
	"io/fs"
	"path"

	"github.com/thirdstate/thirdstate/telemetry/rules"
)

//go:embed *.yaml
var files embed.FS

// All parses every pack and gives them by the model's name.
func All() (map[string]*rules.Pack, error) {
	names, err := fs.Glob(files, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list the packs: %w", err)
	}
	all := make(map[string]*rules.Pack, len(names))
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read pack %s: %w", path.Base(name), err)
		}
		pack, err := rules.Parse("telemetry/rules/packs/"+name, text)
		if err != nil {
			return nil, fmt.Errorf("read pack %s: %w", name, err)
		}
		if all[pack.Model] != nil {
			return nil, fmt.Errorf("pack %s: model %s has a pack already", name, pack.Model)
		}
		all[pack.Model] = pack
	}
	return all, nil
}
