package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/internal/ucum"
	"github.com/thirdstate/thirdstate/telemetry/lifespan"
	"github.com/thirdstate/thirdstate/telemetry/rules/prognosis"
	"github.com/thirdstate/thirdstate/telemetry/rules/watchfile"
)

// trainCommand learns how long machines last from those that were followed until they failed.
type trainCommand struct {
	Files      []string          `arg:"" help:"CSV files, .gz too, of machines from new until they failed: each one's last row is its failure." placeholder:"FILE.csv"`
	Name       string            `help:"Model of the machines, such as BC56: keeps what is learnt in the data folder under this name." placeholder:"MODEL"`
	For        string            `help:"Model of the machines as the server knows it, where the name is another." placeholder:"MODEL"`
	Component  string            `help:"Code of the component that failed, such as main_pump: a life begins when it is installed; none = the whole machine." placeholder:"CODE"`
	Units      map[string]string `help:"Units of columns, in UCUM, such as oil_temp=Cel;flow=L/min: the server converts to them; none = as the server's model says." placeholder:"COL=UNIT;..." mapsep:";"`
	Every      time.Duration     `help:"How far apart rows are that have an age but no time; a server needs to know." placeholder:"1h"`
	Data       string            `help:"The data folder." type:"path" placeholder:"DIR"`
	Output     string            `help:"File to write instead, for watch --model." type:"path" placeholder:"FILE"`
	Cap        float64           `help:"What remains at most, in hours or rows: beyond it nothing is told apart. Default: 0.6 of a typical life." placeholder:"LIFE"`
	Age        string            `help:"Column that says how old the machine is, such as its hour meter; default: the age counts from its first row." placeholder:"COL"`
	Unit       string            `help:"What that column counts." default:"hour" placeholder:"UNIT"`
	Time       string            `help:"Column of the time, as of watch; none = ages are counted in rows." placeholder:"COL"`
	TimeFormat string            `help:"How times are written: ${time_formats}; default: looks." placeholder:"FORMAT"`
	Group      string            `help:"Column that names the machine; none = a file is one machine, called as the file." placeholder:"COL"`
	Signals    []string          `help:"Columns to learn from; default: all numbers." aliases:"condition" placeholder:"A,B"`
	Context    []string          `help:"Columns that explain the others: load, speed, ambient; at most four." placeholder:"C,D"`
	Ignore     []string          `help:"Columns to leave out." placeholder:"E,F"`
	SkipBad    bool              `help:"Leave out cells and rows that cannot be read, and count them, instead of ending at the first."`
}

// modelFile is where what was learnt of machines of a model is kept.
func modelFile(data, name string) string {
	return filepath.Join(modelFolder(data), url.PathEscape(name)+lifespan.Ending)
}

// modelFolder is where a server looks for what was learnt.
func modelFolder(data string) string { return filepath.Join(data, "prognosis") }

// Run trains, and says on the standard output how good the model is.
func (c *trainCommand) Run(ctx context.Context) error { return c.train(ctx, os.Stdout, os.Stderr) }

func (c *trainCommand) train(ctx context.Context, out, notes io.Writer) error {
	file, err := c.target()
	if err != nil {
		return err
	}
	if c.Every < 0 {
		return problem.New(problem.Invalid, "--every %v: rows follow one another", c.Every)
	}
	fleet := watchfile.Fleet{Age: c.Age, Unit: c.Unit, Every: c.Every}
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
	if c.Every > 0 && c.Age == "" && !fleet.Timed {
		return problem.New(problem.Invalid, "--every %v: ages are counted in rows, which a server cannot count: give --age or --time too", c.Every)
	}
	roles := fleet.Roles()
	roles.Cap, roles.For, roles.Component = c.Cap, cmp.Or(c.For, c.Name), c.Component
	if roles.Units, err = c.units(slices.Concat(roles.Signals, roles.Contexts)); err != nil {
		return err
	}
	model, err := prognosis.Train(fleet.Lives, roles)
	if err != nil {
		return problem.New(problem.Invalid, "cannot learn: %v", err)
	}
	if err := writeWhole(file, model.Encode()); err != nil {
		return err
	}
	return say(out, model, file)
}

// units are those of columns, in their order.
func (c *trainCommand) units(columns []string) ([]string, error) {
	list := make([]string, len(columns))
	for name, unit := range c.Units {
		i := slices.Index(columns, name)
		if i < 0 {
			return nil, problem.New(problem.Invalid, "--units: no column %s is learnt from; there are: %s", name, strings.Join(columns, ", "))
		}
		if !ucum.Known(unit) {
			return nil, problem.New(problem.Invalid, "--units: %q of column %s is no unit of UCUM, such as Cel, bar or L/min", unit, name)
		}
		list[i] = unit
	}
	return list, nil
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
	if l := m.Late; err == nil && l.RMSE > 0 {
		_, err = fmt.Fprintf(out, "of machines that are heard first in the middle of their lives: an error of %.3g, an interval of %.3g %ss\n", l.RMSE, l.Width, m.Unit)
	}
	if err == nil && m.Every == 0 {
		_, err = fmt.Fprintln(out, "its rows have no time: watch --model applies it, a running server cannot (--time, or --age with --every)")
	}
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
