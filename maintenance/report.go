package maintenance

import (
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/machines"
)

// TodayBoard is the first screen: what will go wrong next and who is on it. Each
// number on the page is the length of its list, so that it opens its rows.
type TodayBoard struct {
	ThirdState     []CaseRow      `json:"thirdState" doc:"open cases of machines that still work, until the repair is proved; a sensor at fault is none"`
	Down           []CaseRow      `json:"down"`
	PromisesAtRisk []Promise      `json:"promisesAtRisk" doc:"open and due within 24 h, past due, or found broken within the last 24 h"`
	CallbacksDue   []CallbackRow  `json:"callbacksDue"`
	NotAccepted    []WorkOrderRow `json:"notAccepted" doc:"dispatched and not accepted yet"`
	Attention      []Attention    `json:"attention" doc:"machines whose state is not what it seems"`
	Recent         CaseSummary    `json:"recent" doc:"of the last 30 days"`
}

// Attention is a machine whose silence, lock or lack of a device must not be
// taken for a fault, or whose fault came from a person and not from telemetry.
type Attention struct {
	MachineID     uuid.UUID `json:"machineId" db:"machine_id"`
	MachineName   string    `json:"machineName" db:"machine_name"`
	MachineNameEN string    `json:"machineNameEn" db:"machine_name_en"`
	Kind          string    `json:"kind" db:"kind" enum:"third_state,down,sensor_fault,no_coverage,silent,locked,site_shut,no_device"`
	Class         string    `json:"class" db:"class" doc:"how it is shown: faulty, warning, advice, info"`
	Text          string    `json:"text" db:"text"`
	TextEN        string    `json:"textEn" db:"text_en"`
}

// CaseSummary counts by its rows what became of cases in a period.
type CaseSummary struct {
	FoundEarly  []CaseRef `json:"foundEarly" doc:"opened by a finding, verdict not false, repaired before the machine was down"`
	FalseAlarms []CaseRef `json:"falseAlarms"`
	Missed      []CaseRef `json:"missed" doc:"opened by a request for a machine that was down, without a finding before"`
	Deferred    []CaseRef `json:"deferred" doc:"put off by the owner"`
}

// CaseRef names a case.
type CaseRef struct {
	ID      uuid.UUID `json:"id" db:"id"`
	Number  int64     `json:"number" db:"number"`
	Title   string    `json:"title" db:"title"`
	TitleEN string    `json:"titleEn" db:"title_en"`
}

// Wait is how long a case waited for one thing. The waits of a case add up to
// the time from its onset to its end, to the second.
type Wait struct {
	Name  string  `json:"name" enum:"detect,triage,customer,engineer,parts,travel,machine,wrench,verify,callback"`
	Hours float64 `json:"hours"`
}

// CaseWaits is one case's way from fault to satisfied customer.
type CaseWaits struct {
	CaseRef
	TotalHours float64 `json:"totalHours"`
	Waits      []Wait  `json:"waits" doc:"in the order of WaitNames"`
	Loops      []Loop  `json:"loops" doc:"the same, cut at each come-back; one where the first repair held"`
}

// Loop is a part of a case's way: up to a come-back, or from one on.
type Loop struct {
	Hours float64 `json:"hours"`
	Waits []Wait  `json:"waits"`
}

// WaitStatistic is one wait over many cases.
type WaitStatistic struct {
	Name string  `json:"name"`
	P50  float64 `json:"p50" doc:"hours"`
	P90  float64 `json:"p90" doc:"hours"`
}

// FixReport is fault-to-fix: where the hours go.
type FixReport struct {
	From  time.Time       `json:"from"`
	To    time.Time       `json:"to"`
	Waits []WaitStatistic `json:"waits"`
	Cases []CaseWaits     `json:"cases" doc:"closed in the period, newest first"`
}

// Issue is what a representative raised before the meeting, word for word.
type Issue struct {
	ID         uuid.UUID  `json:"id" db:"id"`
	CaseID     *uuid.UUID `json:"caseId" db:"case_id"`
	Text       string     `json:"text" db:"text"`
	TextEN     string     `json:"textEn" db:"text_en"`
	RaisedBy   string     `json:"raisedBy" db:"raised_by"`
	RaisedByEN string     `json:"raisedByEn" db:"raised_by_en"`
	RaisedAt   time.Time  `json:"raisedAt" db:"raised_at"`
}

// PackNumbers are a pack's figures without what stands behind them.
type PackNumbers struct {
	Kept        int `json:"kept"`
	Broken      int `json:"broken"`
	FoundEarly  int `json:"foundEarly"`
	FalseAlarms int `json:"falseAlarms"`
	Missed      int `json:"missed"`
	Deferred    int `json:"deferred"`
}

// HealthCount counts machines by health.
type HealthCount struct {
	Well       int `json:"well" db:"well"`
	ThirdState int `json:"thirdState" db:"third_state"`
	Faulty     int `json:"faulty" db:"faulty"`
	Unknown    int `json:"unknown" db:"unknown"`
}

// Pack is what lies before the monthly meeting of customer representatives. A
// representative sees its own machines by name and the others as numbers.
type Pack struct {
	Month      time.Time      `json:"month"`
	CustomerID *uuid.UUID     `json:"customerId"`
	Promises   []Promise      `json:"promises" doc:"due in the month before, and still open ones"`
	All        *PackNumbers   `json:"all" doc:"of all customers, as numbers; only where the pack is one customer's"`
	Kept       int            `json:"kept"`
	Broken     int            `json:"broken"`
	Issues     []Issue        `json:"issues"`
	Summary    CaseSummary    `json:"summary" doc:"of the month before and this month so far: since the last meeting"`
	Fleet      []machines.Row `json:"fleet"`
	Others     HealthCount    `json:"others"`
	OpenCases  []CaseRow      `json:"openCases"`
	Complaints []Complaint    `json:"complaints"`
}
