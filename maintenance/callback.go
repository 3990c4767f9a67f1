package maintenance

import (
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/machines"
)

// Callback is a follow-up call to the customer (回访). inform tells of a finding,
// courtesy asks a day after a visit, satisfaction comes after verification and is
// the only one that can close a case.
type Callback struct {
	ID         uuid.UUID  `json:"id" db:"id"`
	CaseID     uuid.UUID  `json:"caseId" db:"case_id"`
	MachineID  uuid.UUID  `json:"machineId" db:"machine_id"`
	CustomerID *uuid.UUID `json:"customerId" db:"customer_id"`
	ContactID  *uuid.UUID `json:"contactId" db:"contact_id"`
	Kind       string     `json:"kind" db:"kind" enum:"inform,courtesy,satisfaction"`
	State      string     `json:"state" db:"state" enum:"due,done,unreachable,cancelled"`
	DueAt      time.Time  `json:"dueAt" db:"due_at"`
	CreatedAt  time.Time  `json:"createdAt" db:"created_at"`
	Attempts   int        `json:"attempts" db:"attempts"`
	Outcome    string     `json:"outcome" db:"outcome" enum:",informed,satisfied,so_so,dissatisfied,unreachable,deferred"`
	Note       string     `json:"note" db:"note"`
	NoteEN     string     `json:"noteEn" db:"note_en"`
	DoneAt     *time.Time `json:"doneAt" db:"done_at"`
	DoneBy     string     `json:"doneBy" db:"done_by"`
	Version    int        `json:"version" db:"version"`
}

// words are what was noted of a call.
func (k Callback) words() machines.Text { return inBoth(k.Note, k.NoteEN) }

// said is the note as the line of a move keeps it.
func (k Callback) said() machines.Text { return machines.Text{ZH: k.Note, EN: k.NoteEN} }

// CallbackRow is a call with whom to call and what to say.
type CallbackRow struct {
	Callback
	ContactName    string        `json:"contactName" db:"contact_name"`
	ContactNameEN  string        `json:"contactNameEn" db:"contact_name_en"`
	ContactPhone   string        `json:"contactPhone" db:"contact_phone"`
	Salutation     string        `json:"-" db:"salutation"`
	SalutationEN   string        `json:"-" db:"salutation_en"`
	CustomerName   string        `json:"customerName" db:"customer_name"`
	CustomerNameEN string        `json:"customerNameEn" db:"customer_name_en"`
	MachineName    string        `json:"machineName" db:"machine_name"`
	MachineNameEN  string        `json:"machineNameEn" db:"machine_name_en"`
	CaseNumber     int64         `json:"caseNumber" db:"case_number"`
	CaseTitle      string        `json:"caseTitle" db:"case_title"`
	CaseTitleEN    string        `json:"caseTitleEn" db:"case_title_en"`
	CaseState      CaseState     `json:"caseState" db:"case_state"`
	Script         machines.Text `json:"script" db:"-" doc:"the first sentence, which knows the customer already"`
}

// CallbackFilter narrows the list of calls.
type CallbackFilter struct {
	Due    bool // due now
	CaseID *uuid.UUID
	State  string
	Limit  int
}

// CallbackResult is how a call went.
type CallbackResult struct {
	Outcome string // informed, satisfied, so_so, dissatisfied, unreachable, deferred
	Note    string
	NoteEN  string
	Version int
}

// Complaint is a customer's complaint; an answer is promised by a date.
type Complaint struct {
	ID           uuid.UUID  `json:"id" db:"id"`
	Number       int64      `json:"number" db:"number"`
	CustomerID   *uuid.UUID `json:"customerId" db:"customer_id"`
	MachineID    *uuid.UUID `json:"machineId" db:"machine_id"`
	CaseID       *uuid.UUID `json:"caseId" db:"case_id"`
	Class        string     `json:"class" db:"class" enum:"service,quality,parts,billing,other"`
	Text         string     `json:"text" db:"text"`
	TextEN       string     `json:"textEn" db:"text_en"`
	RaisedBy     string     `json:"raisedBy" db:"raised_by"`
	State        string     `json:"state" db:"state" enum:"received,answered,closed,withdrawn"`
	ReceivedAt   time.Time  `json:"receivedAt" db:"received_at"`
	PromiseDueAt *time.Time `json:"promiseDueAt" db:"promise_due_at"`
	AnsweredAt   *time.Time `json:"answeredAt" db:"answered_at"`
	Answer       string     `json:"answer" db:"answer"`
	ClosedAt     *time.Time `json:"closedAt" db:"closed_at"`
	Version      int        `json:"version" db:"version"`
}

// Promise is what somebody promised a customer by a date; a broken one is shown
// before the customer calls again.
type Promise struct {
	ID         uuid.UUID  `json:"id" db:"id"`
	CustomerID *uuid.UUID `json:"customerId" db:"customer_id"`
	MachineID  *uuid.UUID `json:"machineId" db:"machine_id"`
	CaseID     *uuid.UUID `json:"caseId" db:"case_id"`
	Text       string     `json:"text" db:"text"`
	TextEN     string     `json:"textEn" db:"text_en"`
	Person     string     `json:"person" db:"person" doc:"who keeps it"`
	MadeAt     time.Time  `json:"madeAt" db:"made_at"`
	DueAt      time.Time  `json:"dueAt" db:"due_at"`
	State      string     `json:"state" db:"state" enum:"open,kept,broken,withdrawn"`
	SettledAt  *time.Time `json:"settledAt" db:"settled_at"`
	Evidence   string     `json:"evidence" db:"evidence"`
	EvidenceEN string     `json:"evidenceEn" db:"evidence_en"`
}

// Notice is one thing told to one person.
type Notice struct {
	ID           uuid.UUID  `json:"id" db:"id"`
	CustomerID   *uuid.UUID `json:"-" db:"customer_id"`
	MachineID    *uuid.UUID `json:"machineId" db:"machine_id"`
	CaseID       *uuid.UUID `json:"caseId" db:"case_id"`
	WorkOrderID  *uuid.UUID `json:"workOrderId" db:"work_order_id"`
	ContactID    *uuid.UUID `json:"contactId" db:"contact_id"`
	TechnicianID *uuid.UUID `json:"technicianId" db:"technician_id"`
	Channel      string     `json:"channel" db:"channel"`
	Recipient    string     `json:"recipient" db:"recipient" doc:"phone number or name in the channel"`
	Text         string     `json:"text" db:"text"`
	TextEN       string     `json:"textEn" db:"text_en" doc:"what it says, for who reads English; \"\" where the text itself is English or was typed by hand"`
	Language     string     `json:"language" db:"language"`
	State        string     `json:"state" db:"state" enum:"queued,sent,failed"`
	CreatedAt    time.Time  `json:"createdAt" db:"created_at"`
	SentAt       *time.Time `json:"sentAt" db:"sent_at"`
	Error        string     `json:"error" db:"error"`
}

// CallerFile is what is on the screen when a number rings.
type CallerFile struct {
	Contact       machines.Contact  `json:"contact"`
	Customer      machines.Customer `json:"customer"`
	Owner         *machines.Contact `json:"owner" doc:"who decides at this customer"`
	Machines      []machines.Row    `json:"machines"`
	OpenCases     []CaseRow         `json:"openCases"`
	Promises      []Promise         `json:"promises" doc:"open ones, and broken ones of the last 30 days"`
	LastContactAt *time.Time        `json:"lastContactAt"`
	FirstSentence machines.Text     `json:"firstSentence"`
}
