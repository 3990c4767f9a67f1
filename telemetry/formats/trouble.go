package formats

import (
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/j1939"
)

// Trouble is what a message says of a machine's trouble codes.
type Trouble struct {
	Machine  string
	At       time.Time
	Protocol string        // "j1939", or "oem" for codes in the maker's own words
	Source   int           // address of the control unit, -1 where there is none
	Whole    bool          // these are all that are active there: a code that is missing has cleared
	Previous bool          // these were active before (DM2)
	Period   time.Duration // how often the source says it, 0 where nobody knows
	Codes    []TroubleCode
}

// TroubleCode is one code; SPN and FMI are -1 where the maker has its own words.
type TroubleCode struct {
	Code     string // SPN110-FMI0, or the maker's
	SPN, FMI int
	Count    int // times it has occurred as the unit counts, -1 unknown
	Active   bool
	Since    time.Time // when it began, zero where the message does not say
	Severity string    // critical, warning, advice
	Lamps    TroubleLamps
	Text     string // in English, or in whatever language the maker chose
	TextZH   string
}

// TroubleLamps says which lamps are lit.
type TroubleLamps struct{ MIL, RedStop, AmberWarning, Protect bool }

// Frame is a part of a message that came in several CAN frames: it means
// something together with others, which may stand in other records.
type Frame struct {
	Machine    string
	Conversion j1939.Conversion // of codes whose layout the frames do not say
	j1939.Frame
}

// The protocols of trouble codes.
const (
	ProtocolJ1939 = "j1939"
	ProtocolMaker = "oem"
)

// beat is how often DM1 is sent while a code is active (SAE J1939-73, 5.7.1).
const beat = time.Second

// TroubleOf turns a DM1 or DM2 into what it says of the machine.
func TroubleOf(machine string, at time.Time, r j1939.Report) Trouble {
	t := Trouble{Machine: machine, At: at, Protocol: ProtocolJ1939, Source: int(r.Source), Whole: r.Active, Previous: !r.Active, Period: beat}
	lit := TroubleLamps{MIL: r.Lamps.MIL.Lit(), RedStop: r.Lamps.RedStop.Lit(), AmberWarning: r.Lamps.AmberWarning.Lit(), Protect: r.Lamps.Protect.Lit()}
	for _, c := range r.Codes {
		code := standardCode(c.SPN, c.FMI, int(c.Count), r.Lamps)
		code.Lamps, code.Active = lit, r.Active
		t.Codes = append(t.Codes, code)
	}
	return t
}

func standardCode(spn uint32, fmi uint8, count int, lamps j1939.Lamps) TroubleCode {
	words := j1939.Describe(spn, fmi)
	if count < 0 || count >= j1939.NoCount {
		count = -1
	}
	return TroubleCode{Code: j1939.Key(spn, fmi), SPN: int(spn), FMI: int(fmi), Count: count, Active: true,
		Severity: string(j1939.SeverityOf(fmi, lamps)), Text: words.EN, TextZH: words.ZH}
}

// makerSeverity reads the words that makers use.
func makerSeverity(word string) string {
	switch strings.ToLower(strings.TrimSpace(word)) {
	case "high", "critical", "severe", "red", "stop", "3", "alarm":
		return string(j1939.Critical)
	case "low", "info", "information", "1", "advice", "advisory":
		return string(j1939.Advice)
	}
	return string(j1939.Warning)
}

// maxCodes bounds the codes of one message, over all its parts.
const maxCodes = 2_000
