package prognosis

import "math"

// Model is what a fleet's lives have taught. It is not changed after it was made, and may
// be used by many at once.
type Model struct {
	Signals  []string
	Contexts []string
	Age      string  // name of what says a row's age; "" = it is counted from the first row
	Unit     string  // of ages and of what remains
	Step     float64 // from row to row; memories are in rows, so what is followed should be as far apart
	Cap      float64 // what remains is not told apart beyond it
	Typical  float64 // life, the median
	Lives    int     // that it was learnt from
	Rows     int     // of them
	Accuracy Accuracy

	memory  memory
	normal  *normal
	forests []forest
	margins margins
}

// Accuracy is how good a model was on lives that it had not seen, over all their rows,
// with what remained counted up to the cap.
type Accuracy struct {
	RMSE    float64
	ByAge   float64 // the same of who says the median life less the age
	Covered float64 // share of the rows whose truth lay in the interval
	Width   float64 // of the interval, the mean
}

// Estimate is how much life remains, with an interval that holds the truth in Coverage of
// all cases. Where More is true the interval is open: High is the model's cap, and it may
// be any more.
type Estimate struct {
	Remaining float64
	Low, High float64
	More      bool
}

// ask fills in the features, those of the signals only if they are others than before,
// and asks the trees.
func (f *forest) ask(into []float32, tracks []track, age float64, signals bool) float64 {
	if signals {
		for s := range tracks {
			tracks[s].put(into[perTrack*s:])
		}
		into[ageColumn(len(tracks))] = float32(age)
	}
	h := f.index.of(tracks)
	h.put(into[indexColumn(len(tracks)):])
	return f.predict(into)
}

func clamp(v, most float64) float64 { return math.Max(0, math.Min(most, v)) }
