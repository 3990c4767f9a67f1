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
	Late     Accuracy // of machines that are followed from the middle of their lives; zero = nothing is said of them

	For       string   // model of machines that it is of; "" = not said
	Component string   // code of the component that failed; "" = the machine as a whole
	Units     []string // of the signals, then of the contexts, in UCUM; "" = not said
	Every     float64  // seconds from row to row; 0 = nobody knows
	Fresh     float64  // age up to which a machine that is heard first is followed from new

	memory  memory
	normal  *normal
	outlook outlook
	known   head // asked about machines that are followed from new
	late    head // and about those that are not
}

// head is what is asked, and how far it was off.
type head struct {
	forests  []forest
	margins  margins
	accuracy Accuracy
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

// Reason is why there is no estimate; "" = there is one.
type Reason string

// The reasons.
const (
	TooFew        Reason = "too_few_rows"
	Circumstances Reason = "circumstances" // in which no life was; what was said before holds
	Missing       Reason = "missing"       // more than a quarter of the signals have not come for long
	Unlike        Reason = "unlike"        // the signals are, together, where those of no life were
	Begun         Reason = "begun"         // it was heard first in the middle of its life, and no life was followed from there
)

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
