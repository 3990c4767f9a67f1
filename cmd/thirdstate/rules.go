package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/rules/packs"
)

type rulesCommand struct {
	Check      rulesCheckCommand      `cmd:"" help:"Check rule packs and name every fault of all of them with its line; says hash, rules and signals of the good ones."`
	Precursors rulesPrecursorsCommand `cmd:"" help:"Learn from a fleet's log of trouble codes and failures after which codes machines fail; prints the rule."`
	List       rulesListCommand       `cmd:"" help:"List the rules of the packs that are built in."`
}

type rulesCheckCommand struct {
	Files  []string `arg:"" help:"Rule packs (YAML), or folders of them." placeholder:"FILE|DIR"`
	Format string   `help:"text (a line a fault, as compilers have them) or json." enum:"text,json" default:"text"`
}

// Run checks the files.
func (c *rulesCheckCommand) Run() error { return c.check(os.Stdout) }

func (c *rulesCheckCommand) check(out io.Writer) error {
	files := readPacks(c.Files)
	write := writeChecked
	if c.Format == "json" {
		write = writeCheckedJSON
	}
	if err := write(out, files); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	faults, bad := 0, 0
	for _, f := range files {
		if faults += len(f.Faults); len(f.Faults) > 0 {
			bad++
		}
	}
	if faults > 0 {
		return problem.New(problem.Invalid, "%d faults in %d of %d files", faults, bad, len(files))
	}
	return nil
}

// readPacks reads files and folders; of two packs of one model the second is refused.
func readPacks(names []string) []packs.File {
	var files []packs.File
	for _, name := range names {
		folder, base := filepath.Split(filepath.Clean(name))
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			folder, base = name, "."
		}
		root := folder
		if root == "" {
			root = "."
		}
		files = append(files, packs.Read(os.DirFS(root), filepath.ToSlash(folder), base)...)
	}
	packs.OnePerModel(files)
	return files
}

func writeChecked(out io.Writer, files []packs.File) error {
	var b strings.Builder
	for _, f := range files {
		for _, fault := range f.Faults {
			b.WriteString(fault.String() + "\n")
		}
		if f.Pack == nil {
			continue
		}
		fmt.Fprintf(&b, "%s: good\n  model %s, hash %s\n  %d rules:", f.Name, f.Pack.Model, f.Pack.Hash, len(f.Pack.Rules))
		for i := range f.Pack.Rules {
			b.WriteString(" " + f.Pack.Rules[i].ID)
		}
		fmt.Fprintf(&b, "\n  %d signals:", len(f.Pack.Signals))
		for _, s := range f.Pack.Signals {
			b.WriteString(" " + s.Name + " [" + s.Unit + "]")
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// checkedPack is what is said of one file in JSON.
type checkedPack struct {
	File    string          `json:"file"`
	OK      bool            `json:"ok"`
	Faults  []checkedFault  `json:"faults"`
	Model   string          `json:"model,omitempty"`
	Hash    string          `json:"hash,omitempty"`
	Rules   []checkedRule   `json:"rules,omitempty"`
	Signals []checkedSignal `json:"signals,omitempty"`
}

type checkedFault struct {
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Text   string `json:"text"`
}

type checkedRule struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Severity string `json:"severity"`
	Hash     string `json:"hash"`
}

type checkedSignal struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
	Role string `json:"role"`
}

func writeCheckedJSON(out io.Writer, files []packs.File) error {
	list := make([]checkedPack, 0, len(files))
	for _, f := range files {
		c := checkedPack{File: f.Name, OK: f.Pack != nil, Faults: []checkedFault{}}
		for _, fault := range f.Faults {
			c.Faults = append(c.Faults, checkedFault{fault.Line, fault.Col, fault.Text})
		}
		if p := f.Pack; p != nil {
			c.Model, c.Hash = p.Model, p.Hash
			for i := range p.Rules {
				r := &p.Rules[i]
				c.Rules = append(c.Rules, checkedRule{r.ID, r.Kind, string(r.Severity), r.Hash()})
			}
			for _, s := range p.Signals {
				c.Signals = append(c.Signals, checkedSignal{s.Name, s.Unit, string(s.Role)})
			}
		}
		list = append(list, c)
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(list)
}

type rulesListCommand struct {
	Language string `help:"Of the titles." enum:"en,zh" default:"en"`
}

// Run lists the rules.
func (c *rulesListCommand) Run() error { return c.list(os.Stdout) }

func (c *rulesListCommand) list(out io.Writer) error {
	all, err := packs.All()
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(out, 2, 4, 2, ' ', 0)
	fmt.Fprintln(t, "MODEL\tRULE\tKIND\tSEVERITY\tFAILURE MODE\tCOMPONENT\tTITLE")
	for _, model := range slices.Sorted(maps.Keys(all)) {
		for i := range all[model].Rules {
			r := &all[model].Rules[i]
			title := r.Title
			if c.Language == "zh" {
				title = r.TitleZH
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", model, r.ID, r.Kind, r.Severity, r.FailureMode, r.Component, title)
		}
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("print the rules: %w", err)
	}
	return nil
}
