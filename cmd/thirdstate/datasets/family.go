package datasets

import (
	"context"
	"io"

	"github.com/thirdstate/thirdstate/telemetry/rules/scoring"
	"github.com/thirdstate/thirdstate/telemetry/rules/watchfile"
)

// A family is a kind of public data set. Add yours to families.
type family struct {
	name   string
	layout string // by what it is known
	find   func(*folder) ([]set, error)
}

// families are measured and shown in this order.
func families() []family {
	return []family{
		{"SKAB", "tables with the columns anomaly and changepoint", findSKAB},
		{"C-MAPSS", "tables train_* of 26 numbers without a header", findCMAPSS},
		{"NAB", "tables timestamp,value in folders beside " + nabWindows, findNAB},
		{"TEP", "tables dNN_te of 52 numbers beside d00", findTEP},
		{"BATADAL", "two or more tables with the columns DATETIME and ATT_FLAG", findBATADAL},
		{"FEMTO", "tables idx,hh,mm,ss,h_rms,...", findFEMTO},
		{"IMS", "tables test1 to test3 with the columns Datetime and Bearing 1 to 4", findIMS},
		{"event log", "tables datetime,machineID,errorID and datetime,machineID,failure in one folder", findEvents},
		{"SMAP", "tables NAME_train and NAME_test beside labeled_anomalies.csv", findSMAP},
	}
}

// set is what is judged together.
type set struct {
	name    string
	runs    []run
	gap     int  // episodes less than so many rows apart are one
	warns   bool // an episode counts from when it is more than a note: what opens no case warns nobody
	figures []figure

	// A set that the watcher cannot look at is judged by itself, from what lies at a path.
	judge func(ctx context.Context) ([]scoring.Record, error)
	at    string
}

// run is one stream of rows as the watcher gets it, and how it is judged.
type run struct {
	name   string // for faults
	open   func() (io.ReadCloser, error)
	opts   watchfile.Options
	roots  []string                  // signals of which each is the root of the run's event; nil = it is not known
	truth  map[string]scoring.Record // by machine, without episodes
	origin map[string][]int          // of a copy: by machine, which row of the original each row is; nil = it is the original
}

// only is the truth of a run of one machine.
func only(r scoring.Record) map[string]scoring.Record {
	return map[string]scoring.Record{"1": r}
}

// figure is one number of a set.
type figure struct {
	name      string
	of        func([]scoring.Record) float64
	published string // best that is published, "" = none of the same kind
	goal      float64
	aim       aim
}

// aim says on which side of its goal a figure should be.
type aim uint8

const (
	noGoal aim = iota
	atLeast
	atMost
)

// percent makes a figure of a share.
func percent(of func([]scoring.Record) float64) func([]scoring.Record) float64 {
	return func(r []scoring.Record) float64 { return 100 * of(r) }
}

// counted makes a figure of the event table.
func counted(of func(scoring.Table) float64) func([]scoring.Record) float64 {
	return func(r []scoring.Record) float64 { return of(scoring.Tabulate(r)) }
}
