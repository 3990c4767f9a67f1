package datasets

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// fixture is a folder with a little of every family, whose faults are large.
func fixture(t *testing.T) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{"README.md": {Data: []byte("not a table")}}
	add := func(name, text string) { files[name] = &fstest.MapFile{Data: zipped(t, text)} }
	add("pump/one.csv.gz", pump(1, true))
	add("pump/two.csv.gz", pump(2, true))
	add("rest/quiet.csv.gz", pump(3, false))
	add("jets/train_FD001.txt.gz", jets(5))
	add("web/real/load.csv.gz", load())
	files["web/"+nabWindows] = &fstest.MapFile{Data: []byte(`{"real/load.csv": [["2014-04-09 12:00:00.000000", "2014-04-09 20:00:00.000000"]]}`)}
	add("plant/d00.dat.gz", plant(1, 500, 0, true))
	add("plant/d00_te.dat.gz", plant(2, 400, 0, false))
	add("plant/d01_te.dat.gz", plant(3, 400, 8, false))
	return files
}

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// noise is the same in every run.
func noise(seed uint64) func() float64 {
	return rand.New(rand.NewPCG(seed, 7)).NormFloat64
}

// pump is a run of 700 seconds; with labels, one that fails in the rows 500 to 599.
func pump(seed uint64, labelled bool) string {
	var b strings.Builder
	b.WriteString("datetime;Pressure;Flow;Temperature;Thermocouple")
	if labelled {
		b.WriteString(";anomaly;changepoint")
	}
	n := noise(seed)
	at := time.Date(2020, 3, 9, 10, 0, 0, 0, time.UTC)
	for row := 1; row <= 700; row++ {
		shift, label := 0.0, "0.0"
		if labelled && row >= 500 && row < 600 {
			shift, label = 8, "1.0"
		}
		fmt.Fprintf(&b, "\n%s;%.4f;%.4f;%.4f;%.4f", at.Add(time.Duration(row)*time.Second).Format(time.DateTime), 3+0.1*n(), 30+n()+shift, 80+n(), 26+n())
		if labelled {
			b.WriteString(";" + label + ";0.0")
		}
	}
	return b.String() + "\n"
}

// jets are engines of 220 to 260 flights that wear for the last 80.
func jets(engines int) string {
	var b strings.Builder
	for unit := range engines {
		n := noise(uint64(100 + unit)) //nolint:gosec // small
		last := 220 + 10*unit
		for flight := 1; flight <= last; flight++ {
			wear := max(0, float64(flight-last+80)) / 10
			fmt.Fprintf(&b, "%d %d %.4f %.4f 100.0", unit+1, flight, 0.002*n(), 0.0003*n())
			for sensor := range 21 {
				fmt.Fprintf(&b, " %.4f", 600+n()+wear*float64(sensor%2))
			}
			b.WriteString("  \n")
		}
	}
	return b.String()
}

// load is a week at five minutes whose level is another from 13:00 to 20:00 of the last but one day.
func load() string {
	var b strings.Builder
	b.WriteString("timestamp,value\n")
	n := noise(11)
	at := time.Date(2014, 4, 4, 0, 0, 0, 0, time.UTC)
	for range 7 * 288 {
		shift := 0.0
		if at.Day() == 9 && at.Hour() >= 13 && at.Hour() < 20 {
			shift = 12
		}
		fmt.Fprintf(&b, "%s,%.4f\n", at.Format(time.DateTime), 50+n()+shift)
		at = at.Add(5 * time.Minute)
	}
	return b.String()
}

// plant has 52 signals of which two leave their normal after row 160; lying, it has a line a signal.
func plant(seed uint64, rows int, shift float64, lying bool) string {
	n := noise(seed)
	table := make([][]string, rows)
	for row := range table {
		for signal := range 52 {
			v := 100 + n()
			if row >= 160 && signal < 2 {
				v += shift
			}
			table[row] = append(table[row], fmt.Sprintf("%.4e", v))
		}
	}
	if lying {
		table, _ = turned(table) // of equal rows: no error
	}
	var b strings.Builder
	for _, row := range table {
		b.WriteString("   " + strings.Join(row, "   ") + "\n")
	}
	return b.String()
}
