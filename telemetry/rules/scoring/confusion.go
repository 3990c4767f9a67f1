package scoring

// Confusion counts rows: those in an event should be in alarm, the others not.
type Confusion struct{ TP, FP, FN, TN int }

// Confuse counts the judged rows of all records.
func Confuse(records []Record) Confusion {
	t := Tabulate(records)
	c := Confusion{FP: t.Alarmed, TN: t.Outside - t.Alarmed}
	for _, r := range records {
		for _, v := range r.Events {
			from, end := max(r.First, v.From), min(r.End, v.At+1)
			c.FN += max(0, end-from)
			for _, e := range r.Episodes {
				n := overlap(from, end, e.Open, e.Close)
				c.TP += n
				c.FN -= n
			}
		}
	}
	return c
}

// F1 is the harmonic mean of precision and recall of rows.
func (c Confusion) F1() float64 { return 2 * float64(c.TP) / float64(2*c.TP+c.FP+c.FN) }

// FAR is the false alarm rate: the share of healthy rows that were in alarm.
func (c Confusion) FAR() float64 { return share(c.FP, c.FP+c.TN) }

// MAR is the missed alarm rate: the share of faulty rows that were not in alarm.
func (c Confusion) MAR() float64 { return share(c.FN, c.TP+c.FN) }
