package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/maintenance/dispatch"
)

func inspections(s *Server) {
	add(s, route{ID: "list-inspections", Method: http.MethodGet, Path: "/inspections", Roles: everyone, EN: "Inspections: work orders of kind inspection", ZH: "点检列表"}, s.listInspections)
	add(s, route{ID: "schedule-inspection", Method: http.MethodPost, Path: "/inspections", Roles: dispatchers, Status: http.StatusCreated, EN: "Schedule an inspection", ZH: "安排点检"}, s.scheduleInspection)
}

func workOrders(s *Server) {
	add(s, route{ID: "list-work-orders", Method: http.MethodGet, Path: "/work-orders", Roles: everyone, EN: "Work orders", ZH: "工单列表"}, s.listWorkOrders)
	add(s, route{ID: "get-work-order", Method: http.MethodGet, Path: "/work-orders/{id}", Roles: everyone, EN: "One work order with case, checklist and assignments", ZH: "工单"}, s.getWorkOrder)
	add(s, route{ID: "create-work-order", Method: http.MethodPost, Path: "/work-orders", Roles: dispatchers, Status: http.StatusCreated, EN: "Plan work on a machine", ZH: "安排工单"}, s.scheduleWorkOrder)
	add(s, route{ID: "rank-candidates", Method: http.MethodGet, Path: "/work-orders/{id}/candidates", Roles: dispatchers, EN: "Ranked technicians with visible scores", ZH: "候选工程师及评分明细"}, s.rankCandidates)
	add(s, route{ID: "move-work-order", Method: http.MethodPost, Path: "/work-orders/{id}/transitions", Roles: engineers, EN: "Dispatch, accept, set off, arrive, complete ...", ZH: "工单状态流转"}, s.moveWorkOrder)
	add(s, route{ID: "answer-checklist-item", Method: http.MethodPost, Path: "/checklist-items/{id}/answers", Roles: engineers, EN: "Answer one item of a checklist; a failed one opens a case", ZH: "填写检查项；不合格即生成案件"}, s.answerItem)
}

// OrderFilter narrows a list of work orders. Like every embedded list of parameters
// it is exported, or huma would not see it.
// OrderFilter narrows a list of work orders.
type OrderFilter struct {
	Paged
	OfMachine
	State        string    `query:"state" enum:"open,dispatched,accepted,en_route,on_site,completed,cannot_complete,cancelled"`
	TechnicianID uuid.UUID `query:"technicianId"`
	Open         bool      `query:"open" doc:"only orders that are not ended"`
}

func (s *Server) workOrders(ctx context.Context, in OrderFilter, kind string) (*Listed[maintenance.WorkOrderRow], error) {
	page, err := read(ctx, s, func(db postgres.DB) (machines.Page[maintenance.WorkOrderRow], error) {
		return maintenance.WorkOrders(ctx, db, maintenance.OrderFilter{State: maintenance.WorkOrderState(in.State), TechnicianID: someID(in.TechnicianID),
			MachineID: someID(in.MachineID), Kind: kind, Open: in.Open, Limit: in.Limit, Cursor: in.Cursor})
	})
	return listed(ctx, page, err)
}

func (s *Server) listInspections(ctx context.Context, in *OrderFilter) (*Listed[maintenance.WorkOrderRow], error) {
	return s.workOrders(ctx, *in, "inspection")
}

func (s *Server) listWorkOrders(ctx context.Context, in *struct {
	OrderFilter
	Kind string `query:"kind" enum:"inspection,maintenance,repair,patrol,special,remote"`
}) (*Listed[maintenance.WorkOrderRow], error) {
	return s.workOrders(ctx, in.OrderFilter, in.Kind)
}

func (s *Server) getWorkOrder(ctx context.Context, in *struct {
	ByID
	Cached
}) (*Answer[maintenance.OrderFile], error) {
	o, err := read(ctx, s, func(db postgres.DB) (maintenance.OrderFile, error) {
		return maintenance.GetWorkOrder(ctx, db, asking(ctx), in.ID)
	})
	return unlessSeen(in.Cached, o, o.Version, err)
}

// NewInspection asks for an inspection or, with a kind, for other work.
type NewInspection struct {
	MachineID uuid.UUID  `json:"machineId"`
	CaseID    *uuid.UUID `json:"caseId,omitempty"`
	Title     string     `json:"title,omitempty" maxLength:"200"`
	TitleEN   string     `json:"titleEn,omitempty" maxLength:"200"`
	PlannedAt *time.Time `json:"plannedAt,omitempty"`
	DueAt     *time.Time `json:"dueAt,omitempty"`
	Priority  int        `json:"priority,omitempty" minimum:"1" maximum:"5" default:"3"`
	Skills    []string   `json:"skills,omitempty" maxItems:"20" nullable:"false"`
	Parts     []string   `json:"parts,omitempty" maxItems:"100" nullable:"false"`
	Checklist string     `json:"checklist,omitempty" maxLength:"100" doc:"name of a template; by default chosen by kind and failure mode"`
}

func (s *Server) schedule(ctx context.Context, b NewInspection, kind string) (*Answer[maintenance.WorkOrder], error) {
	o, err := write(ctx, s, func(a act) (maintenance.WorkOrder, error) {
		return maintenance.ScheduleOrder(ctx, a.tx, a.now, a.who, maintenance.NewOrder{CaseID: b.CaseID, MachineID: b.MachineID, Kind: kind, Title: b.Title, TitleEN: b.TitleEN,
			PlannedAt: b.PlannedAt, DueAt: b.DueAt, Priority: b.Priority, Skills: b.Skills, Parts: b.Parts, Checklist: b.Checklist})
	})
	return answered(o, o.Version, err)
}

func (s *Server) scheduleInspection(ctx context.Context, in *struct{ Body NewInspection }) (*Answer[maintenance.WorkOrder], error) {
	return s.schedule(ctx, in.Body, "inspection")
}

type newWorkOrder struct {
	NewInspection
	Kind string `json:"kind" enum:"inspection,maintenance,repair,patrol,special,remote"`
}

func (s *Server) scheduleWorkOrder(ctx context.Context, in *struct{ Body newWorkOrder }) (*Answer[maintenance.WorkOrder], error) {
	return s.schedule(ctx, in.Body.NewInspection, in.Body.Kind)
}

func (s *Server) rankCandidates(ctx context.Context, in *ByID) (*Listed[dispatch.Candidate], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]dispatch.Candidate, error) {
		return maintenance.Candidates(ctx, db, s.Clock.Now(), in.ID)
	})
	return whole(ctx, items, err)
}

type orderMove struct {
	To             string     `json:"to" enum:"open,dispatched,accepted,en_route,on_site,completed,cannot_complete,cancelled"`
	TechnicianID   *uuid.UUID `json:"technicianId,omitempty" doc:"for dispatched"`
	Reason         string     `json:"reason,omitempty" maxLength:"1000"`
	Result         string     `json:"result,omitempty" maxLength:"4000"`
	ResultEN       string     `json:"resultEn,omitempty" maxLength:"4000"`
	FailureMode    string     `json:"failureMode,omitempty" maxLength:"100"`
	Cause          string     `json:"cause,omitempty" maxLength:"200"`
	Activity       string     `json:"activity,omitempty" maxLength:"200"`
	SignedBy       string     `json:"signedBy,omitempty" maxLength:"100"`
	SignerCapacity string     `json:"signerCapacity,omitempty" maxLength:"50"`
	WaitedMinutes  int        `json:"waitedMinutes,omitempty" minimum:"0" maximum:"10000"`
	WrenchMinutes  int        `json:"wrenchMinutes,omitempty" minimum:"0" maximum:"10000"`
	TravelKM       float64    `json:"travelKm,omitempty" minimum:"0" maximum:"10000"`
	PlannedAt      *time.Time `json:"plannedAt,omitempty"`
	Version        int        `json:"version,omitempty" minimum:"1" doc:"instead of If-Match"`
}

func (s *Server) moveWorkOrder(ctx context.Context, in *struct {
	ByID
	Matched
	Body orderMove
}) (*Answer[maintenance.WorkOrder], error) {
	b := in.Body
	v, err := version(in.Matched, b.Version)
	if err != nil {
		return nil, err
	}
	o, err := write(ctx, s, func(a act) (maintenance.WorkOrder, error) {
		return maintenance.MoveOrder(ctx, a.tx, a.now, a.who, in.ID, maintenance.OrderMove{To: maintenance.WorkOrderState(b.To), TechnicianID: b.TechnicianID, Reason: b.Reason,
			Result: b.Result, ResultEN: b.ResultEN, FailureMode: b.FailureMode, Cause: b.Cause, Activity: b.Activity, SignedBy: b.SignedBy, SignerCapacity: b.SignerCapacity,
			WaitedMinutes: b.WaitedMinutes, WrenchMinutes: b.WrenchMinutes, TravelKM: b.TravelKM, PlannedAt: b.PlannedAt, Version: v})
	})
	return answered(o, o.Version, err)
}

type itemAnswer struct {
	Result  string     `json:"result,omitempty" enum:"pass,fail,na"`
	Number  *float64   `json:"number,omitempty"`
	Note    string     `json:"note,omitempty" maxLength:"2000"`
	NoteEN  string     `json:"noteEn,omitempty" maxLength:"2000"`
	PhotoID *uuid.UUID `json:"photoId,omitempty"`
}

// ItemAnswered is an answered item and the case that a failed one opened, if any.
type ItemAnswered struct {
	Item maintenance.ChecklistItem `json:"item"`
	Case *maintenance.Case         `json:"case"`
}

func (s *Server) answerItem(ctx context.Context, in *struct {
	ByID
	Body itemAnswer
}) (*Answer[ItemAnswered], error) {
	out, err := write(ctx, s, func(a act) (out ItemAnswered, err error) {
		out.Item, out.Case, err = maintenance.Answer(ctx, a.tx, a.now, a.who, in.ID, maintenance.ItemAnswer{Result: in.Body.Result, Number: in.Body.Number, Note: in.Body.Note, NoteEN: in.Body.NoteEN,
			PhotoID: in.Body.PhotoID})
		return out, err
	})
	return answered(out, 0, err)
}
