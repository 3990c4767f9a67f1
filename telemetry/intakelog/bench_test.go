package intakelog

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// fleet says what 2,000 generators would say: five signals as JSON, each value
// near the one before.
type fleet struct {
	random *rand.Rand
	values [2_000][5]float64
	said   [2_000]int
	now    time.Time
}

func newFleet() *fleet {
	return &fleet{random: rand.New(rand.NewPCG(1, 1)), now: time.Unix(1_780_000_000, 0).UTC()}
}

func (f *fleet) next() Record {
	m := f.random.IntN(len(f.values))
	v := &f.values[m]
	for k := range v {
		v[k] += f.random.NormFloat64()
	}
	f.said[m]++
	f.now = f.now.Add(time.Duration(f.random.IntN(400_000)))
	return Record{Kind: Message, Source: "embedded", Device: fmt.Sprintf("GS500-%05d", m), Topic: fmt.Sprintf("fleet/GS500-%05d/telemetry", m), Received: f.now,
		Payload: fmt.Appendf(nil, `{"ts":%d,"boot":"%08x","seq":%d,"values":{"coolant_temp_c":%.1f,"oil_pressure_kpa":%.1f,"engine_speed_rpm":%.0f,"fuel_level_pct":%.1f,"battery_v":%.2f}}`,
			f.now.UnixMilli(), m*7919, f.said[m], 88+v[0], 400+v[1]*3, 1800+v[2]*10, 50+v[3]/10, 27+v[4]/50)}
}

func BenchmarkAppend(b *testing.B) {
	l := open(b, b.TempDir(), Options{})
	r := message(50)
	b.SetBytes(int64(len(r.Payload)))
	b.ReportAllocs()
	settled := make(chan struct{})
	left := b.N
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			err := l.Append(r, func(_ LSN, err error) {
				if err != nil {
					b.Error(err)
				}
				if left--; left == 0 {
					close(settled)
				}
			})
			if err != nil {
				b.Error(err)
			}
		}
	})
	<-settled
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(l.Stats().Syncs)/b.Elapsed().Seconds(), "syncs/s")
}

// pour appends records as fast as the log takes them and waits for the last.
func pour(b *testing.B, l *Log, records int, next func() Record) {
	b.Helper()
	for range records {
		if err := l.Append(next(), nil); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := l.AppendWait(context.Background(), next()); err != nil {
		b.Fatal(err)
	}
}

func packAll(b *testing.B, l *Log) {
	b.Helper()
	for more := true; more; {
		var err error
		if more, err = l.packNext(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// How long an acknowledgement takes at 5,000 messages a second, while segments
// are sealed every few seconds. Each row runs in slices between those of the others.
func BenchmarkAcknowledge(b *testing.B) {
	const rate, slice, turns = 5_000, 5_000, 8
	rows := []struct {
		name string
		o    Options
		took []time.Duration
		log  *Log
	}{
		{name: "plain", o: Options{Plain: true}},
		{name: "compressed"},
		{name: "not allocated ahead", o: Options{Plain: true}},
	}
	for b.Loop() {
		for i := range rows {
			row := &rows[i]
			row.o.PackAfter = -1
			row.o.SegmentBytes, row.o.MaxBytes = 1<<20, 8<<30
			dir := b.TempDir()
			if i == 2 {
				row.o.FS = simple{DirFS(dir)}
			}
			row.log, row.took = open(b, dir, row.o), nil
		}
		for range turns {
			for i := range rows {
				rows[i].took = append(rows[i].took, pace(b, rows[i].log, rate, slice)...)
			}
		}
	}
	for i := range rows {
		took := rows[i].took
		slices.Sort(took)
		at := func(p float64) time.Duration { return took[int(p*float64(len(took)-1))].Round(10 * time.Microsecond) }
		s := rows[i].log.Stats()
		b.Logf("%-20s p50 %v  p99 %v  p99.9 %v  max %v; %d of %d segments packed", rows[i].name, at(0.5), at(0.99), at(0.999), at(1), s.Packed, s.Segments)
	}
}

// simple is a folder that cannot allocate.
type simple struct{ FS }

type simpleFile struct{ File }

func (s simple) Open(name string, create bool) (File, error) {
	f, err := s.FS.Open(name, create)
	return simpleFile{f}, err
}

// pace appends records at a rate, a millisecond's worth at a time, and returns
// how long each took to be durable.
func pace(b *testing.B, l *Log, rate, count int) []time.Duration {
	took := make([]time.Duration, count)
	var left atomic.Int64
	left.Store(int64(count))
	done := make(chan struct{})
	f := newFleet()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for i := 0; i < count; {
		<-tick.C
		for due := min(int(time.Since(began).Seconds()*float64(rate)), count); i < due; i++ {
			n, at := i, time.Now()
			if err := l.Append(f.next(), func(_ LSN, err error) {
				if err != nil {
					b.Error(err)
				}
				if took[n] = time.Since(at); left.Add(-1) == 0 {
					close(done)
				}
			}); err != nil {
				b.Fatal(err)
			}
		}
	}
	<-done
	return took
}

// A backlog of a million messages of five signals, as a reader finds it that was away.
func BenchmarkBacklog(b *testing.B) {
	const records = 1_000_000
	dir := b.TempDir()
	l := open(b, dir, Options{Plain: true, PackAfter: -1, MaxBytes: 8 << 30, SegmentBytes: 16 << 20})
	pour(b, l, records-1, newFleet().next)
	read := func(b *testing.B) {
		var buf []Record
		for b.Loop() {
			for after := LSN(0); after < records; after = buf[len(buf)-1].LSN {
				var err error
				if buf, err = l.Read(context.Background(), after, 1_024, buf); err != nil {
					b.Fatal(err)
				}
			}
		}
		s := l.Stats()
		b.ReportMetric(float64(s.Bytes)/records, "bytes/record")
		b.ReportMetric(float64(b.N)*records/b.Elapsed().Seconds(), "records/s")
		b.ReportMetric(float64(s.Packed), "packed")
	}
	b.Run("plain", read)
	began := time.Now()
	l.mu.Lock()
	l.options.MaxBytes = l.bytes // pressed: without rests
	l.mu.Unlock()
	packAll(b, l)
	took := time.Since(began)
	b.Run("compressed", func(b *testing.B) {
		read(b)
		b.ReportMetric(took.Seconds()*1e6/records, "us/record-to-pack")
	})
}

// How soon a log of some gigabytes is open after its process was killed.
func BenchmarkOpenAfterKill(b *testing.B) {
	const size = 3 << 30
	for _, plain := range []bool{true, false} {
		dir := b.TempDir()
		l := open(b, dir, Options{Plain: true, PackAfter: -1, MaxBytes: 2 * size})
		f := newFleet()
		for l.Stats().Bytes < size {
			pour(b, l, 100_000, f.next)
		}
		if !plain {
			packAll(b, l)
		}
		s := l.Stats()
		closeLog(b, l)
		b.Run(fmt.Sprintf("plain=%v", plain), func(b *testing.B) {
			for b.Loop() {
				l, err := Open(dir, Options{Plain: true, MaxBytes: 2 * size})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				closeLog(b, l)
				b.StartTimer()
			}
			b.ReportMetric(float64(s.Bytes)/(1<<30), "GiB")
			b.ReportMetric(float64(s.Segments), "segments")
		})
	}
}
