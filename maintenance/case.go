// Package maintenance is what people do about a machine: cases, plans, work
// orders, technicians, calls, complaints, promises and the monthly meeting. It
// learns of findings as machines.FindingChange and knows nothing of telemetry.
package maintenance

import (
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/machines"
)

// CaseState is where a case stands between its opening and its satisfied customer.
type CaseState string

// The states of a case; which may follow which is the table in case_moves.go.
const (
	Open             CaseState = "open"
	Triaged          CaseState = "triaged"
	Informed         CaseState = "informed"
	Planned          CaseState = "planned"
	InWork           CaseState = "in_work"
	Verifying        CaseState = "verifying"
	AwaitingCallback CaseState = "awaiting_callback"
	Satisfied        CaseState = "satisfied"
	Closed           CaseState = "closed"
	RemoteGuidance   CaseState = "remote_guidance"
	Deferred         CaseState = "deferred"
	Waiting          CaseState = "waiting"
	Cancelled        CaseState = "cancelled"
)

// Case is one matter of one machine: at most one is open per machine and failure
// mode (constraint case_open).
type Case struct {
	ID              uuid.UUID         `json:"id" db:"id"`
	Number          int64             `json:"number" db:"number"`
	MachineID       uuid.UUID         `json:"machineId" db:"machine_id"`
	CustomerID      *uuid.UUID        `json:"customerId" db:"customer_id"`
	FailureMode     string            `json:"failureMode" db:"failure_mode"`
	Title           string            `json:"title" db:"title"`
	TitleEN         string            `json:"titleEn" db:"title_en"`
	Severity        machines.Severity `json:"severity" db:"severity"`
	Origin          string            `json:"origin" db:"origin" enum:"finding,request,inspection,callback,meeting,plan,daily_check"`
	State           CaseState         `json:"state" db:"state"`
	PreviousState   CaseState         `json:"previousState" db:"previous_state" doc:"of a waiting case: where it goes back to"`
	WaitingFor      string            `json:"waitingFor" db:"waiting_for"`
	OpenedAt        time.Time         `json:"openedAt" db:"opened_at"`
	InformDueAt     *time.Time        `json:"informDueAt" db:"inform_due_at" doc:"the customer is told within 2 h"`
	InformedAt      *time.Time        `json:"informedAt" db:"informed_at"`
	PlannedAt       *time.Time        `json:"plannedAt" db:"planned_at"`
	WorkStartedAt   *time.Time        `json:"workStartedAt" db:"work_started_at"`
	WorkCompletedAt *time.Time        `json:"workCompletedAt" db:"work_completed_at"`
	VerifiedAt      *time.Time        `json:"verifiedAt" db:"verified_at"`
	SatisfiedAt     *time.Time        `json:"satisfiedAt" db:"satisfied_at"`
	ClosedAt        *time.Time        `json:"closedAt" db:"closed_at"`
	StateAt         time.Time         `json:"stateAt" db:"state_at"`
	OnsetAt         *time.Time        `json:"onsetAt" db:"onset_at" doc:"first deviating sample, event time"`
	DeferredUntil   *time.Time        `json:"deferredUntil" db:"deferred_until"`
	DeferredBy      string            `json:"deferredBy" db:"deferred_by" doc:"who acknowledged the risk"`
	Risk            string            `json:"risk" db:"risk"`
	RiskEN          string            `json:"riskEn" db:"risk_en"`
	MachineDown     bool              `json:"machineDown" db:"machine_down"`
	PouringNow      bool              `json:"pouringNow" db:"pouring_now"`
	Latitude        *float64          `json:"latitude" db:"latitude"`
	Longitude       *float64          `json:"longitude" db:"longitude"`
	OperatorPhone   string            `json:"operatorPhone" db:"operator_phone"`
	Description     string            `json:"description" db:"description"`
	DescriptionEN   string            `json:"descriptionEn" db:"description_en"`
	Assignee        string            `json:"assignee" db:"assignee"`
	Verdict         string            `json:"verdict" db:"verdict" enum:",true,false_alarm,unclear"`
	Verification    *Verdict          `json:"verification" db:"verification"`
	WaivedBy        string            `json:"waivedBy" db:"waived_by"`
	WaiveReason     string            `json:"waiveReason" db:"waive_reason"`
	Comebacks       int               `json:"comebacks" db:"comebacks"`
	CancelReason    string            `json:"cancelReason" db:"cancel_reason"`
	Advised         bool              `json:"advised" db:"advised" doc:"a rule on trial has found it: somebody looks at it (triaged) before the customer is told and a visit is planned"`
	OverBudget      bool              `json:"overBudget" db:"over_budget" doc:"the branch had no room for one more alert when it was found: as advised, until there is room"`
	PlayedBy        string            `json:"playedBy" db:"played_by" doc:"of the demo: who plays it, 'yours' or 'demo'"`
	Version         int               `json:"version" db:"version"`
}

// Verdict says whether the telemetry since a repair is back within its band.
type Verdict struct {
	Passed      bool      `json:"passed"`
	Enough      bool      `json:"enough" doc:"the machine has run long enough in the regime"`
	Deviation   float64   `json:"deviation"`
	Limit       float64   `json:"limit"`
	RegimeHours float64   `json:"regimeHours"`
	NeededHours float64   `json:"neededHours"`
	Unit        string    `json:"unit"`
	Signal      string    `json:"signal"`
	At          time.Time `json:"at"`
}

// CaseRow is a case with what a list shows of its machine, owner and engineer.
type CaseRow struct {
	Case
	MachineKey       string `json:"machineKey" db:"machine_key"`
	MachineName      string `json:"machineName" db:"machine_name"`
	MachineNameEN    string `json:"machineNameEn" db:"machine_name_en"`
	ModelName        string `json:"modelName" db:"model_name"`
	CustomerName     string `json:"customerName" db:"customer_name"`
	CustomerNameEN   string `json:"customerNameEn" db:"customer_name_en"`
	TechnicianName   string `json:"technicianName" db:"technician_name"` // of the newest order that is not cancelled
	TechnicianNameEN string `json:"technicianNameEn" db:"technician_name_en"`
}

// Move is one step of a case, or with FromState = ToState a note on it.
type Move struct {
	ID         uuid.UUID `json:"id" db:"id"`
	At         time.Time `json:"at" db:"at"`
	FromState  string    `json:"fromState" db:"from_state"`
	ToState    string    `json:"toState" db:"to_state"`
	WaitingFor string    `json:"waitingFor" db:"waiting_for" doc:"of a move to waiting"`
	Actor      string    `json:"actor" db:"actor"`
	Note       string    `json:"note" db:"note"`
	NoteEN     string    `json:"noteEn" db:"note_en" doc:"of the program's own notes, and where a person's words were given in English too"`
}

// CaseFile is a case with everything that was done about it.
type CaseFile struct {
	CaseRow
	Allowed    []CaseState        `json:"allowed" doc:"states that the caller may move it to now"`
	Findings   []machines.Finding `json:"findings"`
	WorkOrders []WorkOrderRow     `json:"workOrders"`
	Callbacks  []CallbackRow      `json:"callbacks"`
	Moves      []Move             `json:"moves"`
	Notices    []Notice           `json:"notices"`
	Promises   []Promise          `json:"promises"`
	Complaints []Complaint        `json:"complaints"`
}

// CaseFilter narrows a list of cases.
type CaseFilter struct {
	State      CaseState
	MachineID  *uuid.UUID
	CustomerID *uuid.UUID
	Open       bool // neither closed nor cancelled
	Search     string
	Limit      int
	Cursor     string
}

// CaseMove asks for a move. Which fields count depends on To: a deferral needs
// Until, Person (who acknowledged the risk) and Reason (the risk); waiting needs
// WaitingFor; cancelled needs Reason; planned with VisitAt makes the order for the
// visit, and an owner gives VisitAt; awaiting_callback from verifying without a
// passed verdict is a waiver and needs Person and Reason.
type CaseMove struct {
	To         CaseState
	Note       string
	NoteEN     string
	Reason     string
	ReasonEN   string
	Until      *time.Time
	VisitAt    *time.Time
	Person     string
	WaitingFor string // customer, parts, site, season, payment
	Verdict    string // true, false_alarm, unclear
	Version    int    // the version it was decided on; 0 = whatever it is now
}

// Request is what a caller or owner reports (报修).
type Request struct {
	MachineID     uuid.UUID
	Down          bool
	PouringNow    bool
	Latitude      *float64
	Longitude     *float64
	OperatorPhone string
	Description   string
	DescriptionEN string
	FailureMode   string // "" = not known yet
	CallerName    string
	CallerNameEN  string
}

// MachineWork is what people did and do about one machine.
type MachineWork struct {
	Cases      []CaseRow      `json:"cases"`
	WorkOrders []WorkOrderRow `json:"workOrders"`
	Callbacks  []CallbackRow  `json:"callbacks"`
	Plans      []ServicePlan  `json:"plans"`
}
