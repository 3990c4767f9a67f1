package scoring

// BATADAL is the score S of the battle of attack detection algorithms (Taormina 2018):
// half for how early each attack was seen (1 - delay/length, missed = 0), half for
// the mean of the shares of rows that were judged rightly with and without attack.
func BATADAL(records []Record) float64 {
	t, c := Tabulate(records), Confuse(records)
	early, i := 0.0, 0
	for _, r := range records {
		for _, v := range r.Events {
			early += 1 - float64(t.Delays[i])/float64(v.At-v.From+1)
			i++
		}
	}
	return early/float64(t.Events)/2 + (2-c.MAR()-c.FAR())/4
}
