package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/rules/prognosis"
	"github.com/thirdstate/thirdstate/telemetry/rules/watchfile"
)

// trainCommand learns how long machines last from those that were followed until they failed.
type trainCommand struct {
	Files      []string `arg:"" help:"CSV files, .gz too, of machines from new until they failed: each one's last row is its failure." placeholder:"FILE.csv"`
	Name       string   `help:"Model of the machines: keeps what is learnt in the data folder under this name." placeholder:"MODEL"`
	Data       string   `help:"The data folder." type:"path" placeholder:"DIR"`
	Output     string   `help:"File to write instead, for watch --model." type:"path" placeholder:"FILE"`
	Cap        float64  `help:"What remains at most, in hours or rows: beyond it nothing is told apart. Default: 0.6 of a typical life." placeholder:"LIFE"`
	Age        string   `help:"Column that says how old the machine is, such as its hour meter; default: the age counts from its first row." placeholder:"COL"`
	Unit       string   `help:"What that column counts." default:"hour" placeholder:"UNIT"`
	Time       string   `help:"Column of the time, as of watch; none = ages are counted in rows." placeholder:"COL"`
	TimeFormat string   `help:"How times are written: ${time_formats}; default: looks." placeholder:"FORMAT"`
	Group      string   `help:"Column that names the machine; none = a file is one machine, called as the file." placeholder:"COL"`
	Signals    []string `help:"Columns to learn from; default: all numbers." aliases:"condition" placeholder:"A,B"`
	Context    []string `help:"Columns that explain the others: load, speed, ambient; at most four." placeholder:"C,D"`
	Ignore     []string `help:"Columns to leave out." placeholder:"E,F"`
	SkipBad    bool     `help:"Leave out cells and rows that cannot be read, and count them, instead of ending at the first."`
}

// modelEnding is of the files that hold what was learnt of a model of machines.
const modelEnding = ".life"

// modelFile is where what was learnt of machines of a model is kept.
func modelFile(data, name string) string {
	return filepath.Join(data, "prognosis", url.PathEscape(name)+modelEnding)
}

// Run trains, and says on the standard output how good the model is.
func (c *trainCommand) Run(ctx context.Context) error { return c.train(ctx, os.Stdout, os.Stderr) }

func (c *trainCommand) train(ctx context.Context, out, notes io.Writer) error {
	file, err := c.target()
	if err != nil {
		return err
	}
	fleet := watchfile.Fleet{Age: c.Age, Unit: c.Unit}
	for _, name := range c.Files {
		if err := c.read(ctx, &fleet, name); err != nil {
			return err
		}
	}
	for _, note := range fleet.Notes {
		if _, err := fmt.Fprintln(notes, "note:", note); err != nil {
			return fmt.Errorf("print the notes: %w", err)
		}
	}
	roles := fleet.Roles()
	roles.Cap = c.Cap
	model, err := prognosis.Train(fleet.Lives, roles)
	if err != nil {
		return problem.New(problem.Invalid, "cannot learn: %v", err)
	}
	if err := writeWhole(file, model.Encode()); err != nil {
		return err
	}
	return say(out, model, file)
}

// target is the file that is written.
func (c *trainCommand) target() (string, error) {
	switch {
	case c.Output != "" && c.Name != "":
		return "", problem.New(problem.Invalid, "--output and --name are two places: give one")
	case c.Output != "":
		return c.Output, nil
	case c.Name == "" || len(c.Name) > 100:
		return "", problem.New(problem.Invalid, "--name MODEL (at most 100 bytes) keeps the model in the data folder, --output FILE writes it elsewhere: give one")
	}
	data := c.Data
	if data == "" {
		data = defaultData()
	}
	file := modelFile(data, c.Name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", problem.New(problem.Invalid, "%v", err)
	}
	return file, nil
}

func (c *trainCommand) read(ctx context.Context, fleet *watchfile.Fleet, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return problem.New(problem.Invalid, "%v", err)
	}
	defer f.Close()
	err = fleet.Read(ctx, f, name, watchfile.Options{
		Time: c.Time, TimeFormat: c.TimeFormat, Group: c.Group, Signals: c.Signals, Context: c.Context, Ignore: c.Ignore, SkipBad: c.SkipBad, Every: time.Minute,
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return problem.New(problem.Invalid, "%v", err)
	}
	return nil
}

// writeWhole puts a file in place, whole or not at all.
func writeWhole(name string, data []byte) error {
	file, err := os.CreateTemp(filepath.Dir(name), ".train-*")
	if err != nil {
		return problem.New(problem.Invalid, "cannot write %s: %v", name, err)
	}
	defer os.Remove(file.Name()) // gone already when all went well
	_, err = file.Write(data)
	if err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close()); err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", name, err)
	}
	return nil
}

// say says how good a model is.
func say(out io.Writer, m *prognosis.Model, file string) error {
	a := m.Accuracy
	_, err := fmt.Fprintf(out, `learnt from %d machines (%d rows, %d signals, %d that explain), which lasted %.4g %ss, the median
on machines that it had not seen, what remained up to %.4g %ss was said with an error (RMSE) of %.3g; the median life less the age: %.3g
the %.0f %% interval held the truth in %.0f %% of the rows, %.3g %ss wide, the mean
written to %s, %.12s
`,
		m.Lives, m.Rows, len(m.Signals), len(m.Contexts), m.Typical, m.Unit, m.Cap, m.Unit, a.RMSE, a.ByAge, 100*prognosis.Coverage, 100*a.Covered, a.Width, m.Unit, file, m.Hash())
	if err == nil && a.RMSE > 0.9*a.ByAge {
		_, err = fmt.Fprintln(out, "the signals say hardly more than the age does: do not rely on it")
	}
	if err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}

// readModel reads what train has written.
func readModel(file string) (*prognosis.Model, error) {
	f, err := os.Open(file) //nolint:gosec // as the user says
	if err != nil {
		return nil, problem.New(problem.Invalid, "%v", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, prognosis.MaxBytes+1))
	if err != nil {
		return nil, problem.New(problem.Invalid, "%v", err)
	}
	m, err := prognosis.Decode(data)
	if err != nil {
		return nil, problem.New(problem.Invalid, "%s: %v", file, err)
	}
	return m, nil
}
