package datasets

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing/fstest"
	"time"
)

// fixture is a folder with a little of every family, whose faults are large. It is made once: who
// changes it takes a copy.
var fixture = sync.OnceValue(func() fstest.MapFS {
	files := fstest.MapFS{"texts/LICENSE.txt": {Data: []byte("not a table")}}
	add := func(name, text string) { files[name] = &fstest.MapFile{Data: zipped(text)} }
	add("pump/one.csv.gz", pump(1, true))
	add("pump/two.csv.gz", pump(2, true))
	add("rest/quiet.csv.gz", pump(3, false))
	add("jets/train_FD001.txt.gz", jets(14))
	add("web/real/load.csv.gz", load())
	files["web/"+nabWindows] = &fstest.MapFile{Data: []byte(`{"real/load.csv": [["2014-04-09 12:00:00.000000", "2014-04-09 20:00:00.000000"]]}`)}
	add("plant/d00.dat.gz", plant(1, 200, 0, true))
	add("plant/d00_te.dat.gz", plant(2, 240, 0, false))
	add("plant/d01_te.dat.gz", plant(3, 240, 8, false))
	add("water/dataset03.csv.gz", water(1, 400, false))
	add("water/dataset04.csv.gz", water(2, 300, true))
	add("bearings/a.csv.gz", bearing())
	add("shaft/test2.csv.gz", shaft())
	codes, failures := eventLog()
	add("log/errors.csv.gz", codes)
	add("log/failures.csv.gz", failures)
	add("probe/A-1_train.csv.gz", channel(1, 600, 0))
	add("probe/A-1_test.csv.gz", channel(2, 600, 9))
	files["probe/labeled_anomalies.csv"] = &fstest.MapFile{
		Data: []byte("chan_id,spacecraft,anomaly_sequences,class,num_values\nA-1,SMAP,\"[[300, 399]]\",[point],600\n"),
	}
	return files
})

func zipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
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

// jets are engines of 160 flights and more that wear for the last 80; four of their sensors move.
func jets(engines int) string {
	var b strings.Builder
	for unit := range engines {
		n := noise(uint64(100 + unit)) //nolint:gosec // small
		last := 160 + 10*unit
		for flight := 1; flight <= last; flight++ {
			wear := max(0, float64(flight-last+80)) / 10
			fmt.Fprintf(&b, "%d %d %.4f %.4f 100.0", unit+1, flight, 0.002*n(), 0.0003*n())
			for sensor := range 4 {
				fmt.Fprintf(&b, " %.4f", 600+n()+wear*float64(sensor%2))
			}
			b.WriteString(strings.Repeat(" 518.67", 17) + "  \n")
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
			if row >= 160 && signal == 0 || row >= 165 && signal == 1 { // the second follows the first
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

// water has one attack in its rows 151 to 200.
func water(seed uint64, rows int, attacked bool) string {
	n := noise(seed)
	var b strings.Builder
	b.WriteString("DATETIME,L_T1,F_PU1,ATT_FLAG\r\n")
	at := time.Date(2014, 1, int(seed), 0, 0, 0, 0, time.UTC).AddDate(int(seed), 0, 0) //nolint:gosec // small
	for row := 1; row <= rows; row++ {
		shift, label := 0.0, 0
		if attacked && row > 150 && row <= 200 {
			shift, label = 10, 1
		}
		fmt.Fprintf(&b, "%s,%.4f,%.4f,%d\r\n", at.Format("02/01/06 15"), 3+n()+shift, 90+n(), label)
		at = at.Add(time.Hour)
	}
	return b.String()
}

// bearing is a life of 2,000 rows that gets louder for the last 400.
func bearing() string {
	n := noise(5)
	var b strings.Builder
	b.WriteString("idx,hh,mm,ss,h_rms,h_kurt,v_rms,v_kurt\n")
	for row := 1; row <= 2000; row++ {
		wear := max(0, float64(row-1600)) / 100
		fmt.Fprintf(&b, "%d,9,%d,%d,%.4f,%.4f,%.4f,%.4f\n", row, row/6%60, row%6*10, 0.5+0.05*n()+wear, 3+0.1*n(), 0.4+0.05*n()+wear, 3+0.1*n())
	}
	return b.String()
}

// shaft has four bearings, of which the first gets louder for the last 60 hours.
func shaft() string {
	n := noise(6)
	var b strings.Builder
	b.WriteString(",Datetime,Bearing 1,Bearing 2,Bearing 3,Bearing 4\n")
	at := time.Date(2004, 2, 12, 10, 32, 39, 0, time.UTC)
	for row := range 1000 {
		wear := max(0, float64(row-640)) / 1000
		fmt.Fprintf(&b, "%d,%s,%.5f,%.5f,%.5f,%.5f\n", row, at.Format("2006.01.02.15.04.05"), 0.06+0.002*n()+wear, 0.07+0.002*n(), 0.08+0.002*n(), 0.04+0.002*n())
		at = at.Add(10 * time.Minute)
	}
	return b.String()
}

// channel has a value that is off in the rows 300 to 399, and one command.
func channel(seed uint64, rows int, shift float64) string {
	n := noise(seed)
	var b strings.Builder
	b.WriteString("value,c1\n")
	for row := range rows {
		v := n()
		if row >= 300 && row < 400 {
			v += shift
		}
		fmt.Fprintf(&b, "%.4f,%d\n", v, row/50%2)
	}
	return b.String()
}

// eventLog is of twelve machines, two hundred days: a day after the codes a and b came together
// the machine fails; alone, and code c, they mean nothing.
func eventLog() (codes, failures string) {
	var c, f strings.Builder
	c.WriteString("datetime,machineID,errorID\n")
	f.WriteString("datetime,machineID,failure\n")
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for m := range 12 {
		for day := range 200 {
			at := start.AddDate(0, 0, day).Add(time.Duration((day*5+m*7)%24) * time.Hour)
			code := func(name string, at time.Time) { fmt.Fprintf(&c, "%s,%d,%s\n", at.Format(time.DateTime), m+1, name) }
			switch (day*11 + m*17) % 41 {
			case 0:
				code("a", at)
				code("b", at.Add(3*time.Hour))
				fmt.Fprintf(&f, "%s,%d,x\n", at.Add(21*time.Hour).Format(time.DateTime), m+1)
			case 9, 20, 31:
				code("a", at)
			case 14, 25:
				code("b", at)
			case 5, 17, 36:
				code("c", at)
			}
		}
	}
	return c.String(), f.String()
}
