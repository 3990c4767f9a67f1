package machines

import (
	"time"

	"github.com/google/uuid"
)

// TroubleCode is a diagnostic trouble code of a machine with its life: a record
// is one code of one control unit from its first appearance until it has been away
// for a day.
type TroubleCode struct {
	ID            uuid.UUID  `json:"id" db:"id"`
	MachineID     uuid.UUID  `json:"machineId" db:"machine_id"`
	CustomerID    *uuid.UUID `json:"-" db:"customer_id"`
	Protocol      string     `json:"protocol" db:"protocol" enum:"j1939,oem"`
	Code          string     `json:"code" db:"code" doc:"SPN110-FMI0, or the maker's own"`
	SPN           *int       `json:"spn" db:"spn"`
	FMI           *int       `json:"fmi" db:"fmi"`
	SourceAddress *int       `json:"sourceAddress" db:"source_address" doc:"of the control unit"`
	Description   string     `json:"description" db:"description"`
	DescriptionEN string     `json:"descriptionEn" db:"description_en"`
	Severity      string     `json:"severity" db:"severity" enum:"critical,warning,advice"`
	MIL           bool       `json:"mil" db:"mil" doc:"lamps as they were last"`
	RedStop       bool       `json:"redStop" db:"red_stop"`
	AmberWarning  bool       `json:"amberWarning" db:"amber_warning"`
	Protect       bool       `json:"protect" db:"protect"`
	Occurrences   int        `json:"occurrences" db:"occurrences" doc:"times it became active within this record"`
	UnitCount     *int       `json:"oc" db:"unit_count" doc:"occurrences as the control unit counts them"`
	Previous      bool       `json:"previous" db:"previous" doc:"the unit lists it as previously active (DM2)"`
	FirstSeenAt   time.Time  `json:"firstSeenAt" db:"first_seen_at" doc:"event time, as all times here"`
	LastSeenAt    time.Time  `json:"lastSeenAt" db:"last_seen_at"`
	ClearedAt     *time.Time `json:"clearedAt" db:"cleared_at"`
}

// Active says whether the code is there now, as far as the machine has said.
func (c *TroubleCode) Active() bool { return c.ClearedAt == nil }

// TroubleReport is what a message says of the codes of one control unit.
type TroubleReport struct {
	MachineID     uuid.UUID
	At            time.Time
	Protocol      string
	SourceAddress *int
	Whole         bool // a code that is missing has cleared
	Previous      bool // these were active before
	Period        time.Duration
	Codes         []ReportedCode
}

// ReportedCode is one code of a report. Since is when it began, zero where the
// report does not say.
type ReportedCode struct {
	TroubleCode
	On    bool
	Since time.Time
}

// TroubleFilter narrows a list of trouble codes.
type TroubleFilter struct {
	MachineID *uuid.UUID
	Protocol  string
	Severity  string
	State     string // active, cleared; "" for both
	Code      string
	Limit     int
	Cursor    string
}
