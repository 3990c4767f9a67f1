package intakelog

import (
	"testing"
)

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
