package maintenance

import (
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance/dispatch"
)

// WorkOrderState is where a work order stands.
type WorkOrderState string

// The states of a work order; which may follow which is the table in workorder_moves.go.
const (
	OrderOpen           WorkOrderState = "open"
	OrderDispatched     WorkOrderState = "dispatched"
	OrderAccepted       WorkOrderState = "accepted"
	OrderEnRoute        WorkOrderState = "en_route"
	OrderOnSite         WorkOrderState = "on_site"
	OrderCompleted      WorkOrderState = "completed"
	OrderCannotComplete WorkOrderState = "cannot_complete"
	OrderCancelled      WorkOrderState = "cancelled"
)

// WorkOrder is one job on one machine; an inspection is a work order of that kind.
type WorkOrder struct {
	ID             uuid.UUID      `json:"id" db:"id"`
	Number         int64          `json:"number" db:"number"`
	CaseID         *uuid.UUID     `json:"caseId" db:"case_id"`
	PlanID         *uuid.UUID     `json:"planId" db:"plan_id"`
	MachineID      uuid.UUID      `json:"machineId" db:"machine_id"`
	CustomerID     *uuid.UUID     `json:"customerId" db:"customer_id"`
	Kind           string         `json:"kind" db:"kind" enum:"inspection,maintenance,repair,patrol,special,remote"`
	Title          string         `json:"title" db:"title"`
	TitleEN        string         `json:"titleEn" db:"title_en"`
	State          WorkOrderState `json:"state" db:"state"`
	Priority       int            `json:"priority" db:"priority" doc:"1 is first: the machine is down"`
	TechnicianID   *uuid.UUID     `json:"technicianId" db:"technician_id"`
	Skills         []string       `json:"skills" db:"skills"`
	Parts          []string       `json:"parts" db:"parts" doc:"part numbers"`
	CreatedAt      time.Time      `json:"createdAt" db:"created_at"`
	DueAt          *time.Time     `json:"dueAt" db:"due_at"`
	PlannedAt      *time.Time     `json:"plannedAt" db:"planned_at"`
	DispatchedAt   *time.Time     `json:"dispatchedAt" db:"dispatched_at"`
	AcceptedAt     *time.Time     `json:"acceptedAt" db:"accepted_at"`
	EnRouteAt      *time.Time     `json:"enRouteAt" db:"en_route_at"`
	OnSiteAt       *time.Time     `json:"onSiteAt" db:"on_site_at"`
	CompletedAt    *time.Time     `json:"completedAt" db:"completed_at"`
	StateAt        time.Time      `json:"stateAt" db:"state_at"`
	WaitedMinutes  int            `json:"waitedMinutes" db:"waited_minutes" doc:"waited for the machine (等机)"`
	WrenchMinutes  int            `json:"wrenchMinutes" db:"wrench_minutes"`
	TravelKM       float64        `json:"travelKm" db:"travel_km"`
	Result         string         `json:"result" db:"result"`
	ResultEN       string         `json:"resultEn" db:"result_en"`
	FailureMode    string         `json:"failureMode" db:"failure_mode"`
	Cause          string         `json:"cause" db:"cause"`
	Activity       string         `json:"activity" db:"activity" doc:"replace, repair, adjust, service, check, inspection, other (ISO 14224)"`
	SignedBy       string         `json:"signedBy" db:"signed_by"`
	SignerCapacity string         `json:"signerCapacity" db:"signer_capacity"`
	Reason         string         `json:"reason" db:"reason"`
	Version        int            `json:"version" db:"version"`
}

// WorkOrderRow is a work order with what a list shows of its machine and people.
type WorkOrderRow struct {
	WorkOrder
	MachineKey       string `json:"machineKey" db:"machine_key"`
	MachineName      string `json:"machineName" db:"machine_name"`
	MachineNameEN    string `json:"machineNameEn" db:"machine_name_en"`
	CustomerName     string `json:"customerName" db:"customer_name"`
	CustomerNameEN   string `json:"customerNameEn" db:"customer_name_en"`
	SiteName         string `json:"siteName" db:"site_name"`
	SiteNameEN       string `json:"siteNameEn" db:"site_name_en"`
	TechnicianName   string `json:"technicianName" db:"technician_name"`
	TechnicianNameEN string `json:"technicianNameEn" db:"technician_name_en"`
}

// Assignment is one technician's hold on a work order; at most one is active.
type Assignment struct {
	ID               uuid.UUID          `json:"id" db:"id"`
	WorkOrderID      uuid.UUID          `json:"workOrderId" db:"work_order_id"`
	TechnicianID     uuid.UUID          `json:"technicianId" db:"technician_id"`
	TechnicianName   string             `json:"technicianName" db:"technician_name"`
	TechnicianNameEN string             `json:"technicianNameEn" db:"technician_name_en"`
	State            string             `json:"state" db:"state" enum:"dispatched,accepted,en_route,on_site,completed,declined,cancelled,cannot_complete"`
	Score            float64            `json:"score" db:"score"`
	Explanation      dispatch.Candidate `json:"explanation" db:"explanation" doc:"why this technician, as it was shown when he was chosen"`
	AssignedAt       time.Time          `json:"assignedAt" db:"assigned_at"`
	AssignedBy       string             `json:"assignedBy" db:"assigned_by"`
	AcceptDueAt      *time.Time         `json:"acceptDueAt" db:"accept_due_at"`
	EndedAt          *time.Time         `json:"endedAt" db:"ended_at"`
	Reason           string             `json:"reason" db:"reason"`
}

// ChecklistItem is one line of a work order's checklist.
type ChecklistItem struct {
	ID          uuid.UUID  `json:"id" db:"id"`
	WorkOrderID uuid.UUID  `json:"workOrderId" db:"work_order_id"`
	Position    int        `json:"position" db:"position"`
	Text        string     `json:"text" db:"text"`
	TextEN      string     `json:"textEn" db:"text_en"`
	Kind        string     `json:"kind" db:"kind" enum:"pass_fail,number,text,photo,meter,choice"`
	Unit        string     `json:"unit" db:"unit"`
	Low         *float64   `json:"low" db:"low"`
	High        *float64   `json:"high" db:"high"`
	Choices     []string   `json:"choices" db:"choices"`
	Required    bool       `json:"required" db:"required"`
	Proof       bool       `json:"proof" db:"proof" doc:"decides whether a repair held where no telemetry can"`
	Component   string     `json:"component" db:"component"`
	FailureMode string     `json:"failureMode" db:"failure_mode" doc:"of the case that a failed item opens"`
	Signal      string     `json:"signal" db:"signal" doc:"a number is also kept as a reading of this signal"`
	Result      string     `json:"result" db:"result" enum:",pass,fail,na"`
	Number      *float64   `json:"number" db:"number"`
	Note        string     `json:"note" db:"note"`
	NoteEN      string     `json:"noteEn" db:"note_en"`
	PhotoID     *uuid.UUID `json:"photoId" db:"photo_id"`
	DoneAt      *time.Time `json:"doneAt" db:"done_at"`
	DoneBy      string     `json:"doneBy" db:"done_by"`
}

// ItemAnswer is what was found for one item of a checklist.
type ItemAnswer struct {
	Result  string // pass, fail, na; "" lets the limits of a number decide
	Number  *float64
	Note    string
	NoteEN  string
	PhotoID *uuid.UUID
}

// OrderFile is a work order with all that the engineer needs on site.
type OrderFile struct {
	WorkOrderRow
	Machine     machines.Row       `json:"machine"`
	Findings    []machines.Finding `json:"findings"`
	Checklist   []ChecklistItem    `json:"checklist"`
	Assignments []Assignment       `json:"assignments"`
	Allowed     []WorkOrderState   `json:"allowed"`
}

// OrderFilter narrows a list of work orders.
type OrderFilter struct {
	State        WorkOrderState
	TechnicianID *uuid.UUID
	MachineID    *uuid.UUID
	Kind         string
	Open         bool // not ended
	Limit        int
	Cursor       string
}

// NewOrder asks for work on a machine.
type NewOrder struct {
	CaseID    *uuid.UUID
	PlanID    *uuid.UUID
	MachineID uuid.UUID
	Kind      string
	Title     string // "" = the case's, or the kind's
	TitleEN   string
	PlannedAt *time.Time
	DueAt     *time.Time
	Priority  int // 0 = 3; for a machine that is down always 1
	Skills    []string
	Parts     []string
	Checklist string // name of a template; "" = chosen by kind and failure mode
}

// OrderMove asks for a move of a work order; dispatched needs TechnicianID,
// completed needs Result and every required item of the checklist done,
// cannot_complete and cancelled need Reason.
type OrderMove struct {
	To             WorkOrderState
	TechnicianID   *uuid.UUID
	Reason         string
	Result         string
	ResultEN       string
	FailureMode    string
	Cause          string
	Activity       string
	SignedBy       string
	SignerCapacity string
	WaitedMinutes  int
	WrenchMinutes  int
	TravelKM       float64
	PlannedAt      *time.Time
	Version        int
}

// Technician is a service engineer.
type Technician struct {
	ID        uuid.UUID  `json:"id" db:"id"`
	Name      string     `json:"name" db:"name"`
	NameEN    string     `json:"nameEn" db:"name_en"`
	Phone     string     `json:"phone" db:"phone"`
	StationID *uuid.UUID `json:"stationId" db:"station_id"`
	Latitude  float64    `json:"latitude" db:"latitude"`
	Longitude float64    `json:"longitude" db:"longitude"`
	Active    bool       `json:"active" db:"active"`
}

// Skill is what a technician may work on; an expired one blocks dispatch.
type Skill struct {
	Name       string     `json:"name" db:"skill"`
	Level      int        `json:"level" db:"level"`
	ValidUntil *time.Time `json:"validUntil" db:"valid_until"`
}

// TechnicianRow is a technician with skills, van stock and load.
type TechnicianRow struct {
	Technician
	StationName   string         `json:"stationName" db:"station_name"`
	StationNameEN string         `json:"stationNameEn" db:"station_name_en"`
	OpenOrders    int            `json:"openOrders" db:"open_orders"`
	Skills        []Skill        `json:"skills" db:"-"`
	VanParts      map[string]int `json:"vanParts" db:"-" doc:"part number to quantity"`
}

// ServicePlan is a calendar plan of one machine (保养计划).
type ServicePlan struct {
	ID           uuid.UUID  `json:"id" db:"id"`
	MachineID    uuid.UUID  `json:"machineId" db:"machine_id"`
	Name         string     `json:"name" db:"name"`
	NameEN       string     `json:"nameEn" db:"name_en"`
	Checklist    string     `json:"checklist" db:"checklist"`
	IntervalDays int        `json:"intervalDays" db:"interval_days"`
	LeadDays     int        `json:"leadDays" db:"lead_days"`
	DueAt        time.Time  `json:"dueAt" db:"due_at"`
	LastDoneAt   *time.Time `json:"lastDoneAt" db:"last_done_at"`
	Paused       bool       `json:"paused" db:"paused"`
	CreatedAt    time.Time  `json:"createdAt" db:"created_at"`
}

// Attachment is a picture that belongs to something; it is never copied.
type Attachment struct {
	ID        uuid.UUID  `json:"id" db:"id"`
	MachineID *uuid.UUID `json:"machineId" db:"machine_id"`
	Entity    string     `json:"entity" db:"entity" enum:"case,work_order,checklist_item,machine,reading"`
	EntityID  uuid.UUID  `json:"entityId" db:"entity_id"`
	Name      string     `json:"name" db:"name"`
	MediaType string     `json:"mediaType" db:"media_type" enum:"image/jpeg,image/png"`
	Bytes     []byte     `json:"-" db:"bytes"`
	CreatedAt time.Time  `json:"createdAt" db:"created_at"`
	CreatedBy string     `json:"createdBy" db:"created_by"`
}
