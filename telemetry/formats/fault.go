package formats

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Reasons why a message, or a part of it, is refused. They are stored, shown
// and counted; the detail of a Fault says where and what was expected.
const (
	TooLarge        = "E_TOO_LARGE"
	BadUTF8         = "E_UTF8"
	NulByte         = "E_NUL"
	JSONSyntax      = "E_JSON_SYNTAX"
	JSONDuplicate   = "E_JSON_DUPKEY"
	JSONDepth       = "E_JSON_DEPTH"
	JSONType        = "E_JSON_TYPE"
	JSONTrailing    = "E_JSON_TRAILING"
	JSONBOM         = "E_JSON_BOM"
	TooManyValues   = "E_VALUES" // more values than a message may have
	NumberRange     = "E_NUM_RANGE"
	SignalName      = "E_SIGNAL_NAME"
	SignalLimit     = "E_SIGNAL_LIMIT" // more different signals than the installation can number
	LineSyntax      = "E_LP_SYNTAX"
	LineNoField     = "E_LP_NOFIELD"
	LineEscape      = "E_LP_ESC"
	CSVSyntax       = "E_CSV_SYNTAX"
	CSVColumns      = "E_CSV_COLUMNS" // a row has not the columns of its template, or a column nobody may have
	CBORCut         = "E_CBOR_TRUNC"
	CBORSyntax      = "E_CBOR_SYNTAX"
	SenMLRecord     = "E_SENML" // a record that SenML does not allow
	TimeFormat      = "E_TS_FORMAT"
	TimePast        = "E_TS_PAST"
	TimeUnit        = "E_TS_UNIT"
	FormatUnknown   = "E_FORMAT"
	BadCode         = "E_DTC"  // no trouble code of a kind that is known
	BadFrame        = "E_CAN"  // no CAN frame
	BadFleet        = "E_AEMP" // no document of ISO 15143-3, or a part of one
	DeviceUnknown   = "E_DEVICE_UNKNOWN"
	DeviceScope     = "E_DEVICE_SCOPE"    // a device spoke for a machine that is not its own
	HistoryRefused  = "E_HISTORY_REFUSED" // the history's server will not take these points
	MachineUnknown  = "E_MACHINE_UNKNOWN"
	RecordMalformed = "E_RECORD" // a record of the intake log itself that makes no sense
	NothingToUse    = "E_EMPTY"
	UnitMismatch    = "E_UNIT_MISMATCH" // the unit that the sender names measures something else than the signal
	Crashed         = "E_PANIC"         // the program failed over it: a fault of ours
	Unkept          = "E_SPB_LIMIT"     // a birth of Sparkplug beyond what is kept of them
	StoreRefused    = "E_REFUSED"       // the database will not take what it says
)

// Fault says why a message or a part of it was refused.
type Fault struct {
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
	Path   string `json:"path,omitempty"`
	Offset int    `json:"offset,omitempty"` // byte in the payload
}

func (f *Fault) Error() string {
	if f.Path != "" {
		return f.Reason + ": " + f.Path + ": " + f.Detail
	}
	return f.Reason + ": " + f.Detail
}

// AndMore says that n more faults of the same message are not listed.
func (f *Fault) AndMore(n int) { f.Detail = more(f.Detail, n) }

func more(detail string, n int) string {
	return detail + " (and " + strconv.Itoa(n) + " more faults in this message)"
}

// checkSize refuses what is too large, before anything looks at it.
func checkSize(b []byte) *Fault {
	if len(b) > MaxPayload {
		return &Fault{Reason: TooLarge, Detail: fmt.Sprintf("message has %d bytes, limit %d", len(b), MaxPayload), Offset: MaxPayload}
	}
	return nil
}

// checkText refuses what no text format may hold, before anything is parsed.
func checkText(b []byte) *Fault {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return &Fault{Reason: NulByte, Detail: fmt.Sprintf("NUL at byte %d", i), Offset: i}
	}
	if !utf8.Valid(b) {
		i := badUTF8(b)
		return &Fault{Reason: BadUTF8, Detail: fmt.Sprintf("invalid UTF-8 at byte %d", i), Offset: i}
	}
	return nil
}

func badUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return len(b)
}

// asFault is the Fault that an error of a decoder always is, nil for none.
func asFault(err error) *Fault {
	f, _ := errors.AsType[*Fault](err)
	return f
}
