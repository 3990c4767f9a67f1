package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/maintenance"

	"github.com/thirdstate/thirdstate/machines"
)

func cases(s *Server) {
	add(s, route{ID: "list-cases", Method: http.MethodGet, Path: "/cases", Roles: everyone, EN: "Cases, from latent fault to satisfied customer", ZH: "案件列表"}, s.listCases)
	add(s, route{ID: "get-case", Method: http.MethodGet, Path: "/cases/{id}", Roles: everyone, EN: "One case with everything that was done", ZH: "案件"}, s.getCase)
	add(s, route{ID: "open-case", Method: http.MethodPost, Path: "/cases", Roles: requesters, Status: http.StatusCreated,
		EN: "A request by phone or portal: down or working with a fault, pouring now, place, operator's phone", ZH: "报修：停机或带病、是否正在浇筑、位置、操作手电话"}, s.openCase)
	add(s, route{ID: "move-case", Method: http.MethodPost, Path: "/cases/{id}/transitions", Roles: requesters, EN: "Move a case to another state", ZH: "案件状态流转"}, s.moveCase)
	add(s, route{ID: "comment-case", Method: http.MethodPost, Path: "/cases/{id}/comments", Roles: requesters, Status: http.StatusNoContent, EN: "Add a comment", ZH: "添加备注"}, s.commentCase)
	add(s, route{ID: "assign-case", Method: http.MethodPost, Path: "/cases/{id}/assignee", Roles: office, EN: "Name who looks after a case", ZH: "指定案件负责人"}, s.assignCase)
	add(s, route{ID: "inform-owner", Method: http.MethodPost, Path: "/cases/{id}/inform", Roles: office, EN: "Tell the owner", ZH: "告知机主"}, s.informOwner)
	add(s, route{ID: "waive-verification", Method: http.MethodPost, Path: "/cases/{id}/verification", Roles: managers,
		EN: "Waive the proof by telemetry, by name and with a reason", ZH: "署名并说明理由后免除遥测验证"}, s.waiveVerification)
}

type caseFilter struct {
	Paged
	OfMachine
	OfCustomer
	State  string `query:"state" enum:"open,triaged,informed,planned,in_work,verifying,awaiting_callback,satisfied,closed,remote_guidance,deferred,waiting,cancelled"`
	Open   bool   `query:"open" doc:"only cases that are neither closed nor cancelled"`
	Search string `query:"search" maxLength:"100"`
}

func (s *Server) listCases(ctx context.Context, in *caseFilter) (*Listed[maintenance.CaseRow], error) {
	page, err := read(ctx, s, func(db postgres.DB) (machines.Page[maintenance.CaseRow], error) {
		return maintenance.Cases(ctx, db, maintenance.CaseFilter{State: maintenance.CaseState(in.State), MachineID: someID(in.MachineID), CustomerID: someID(in.CustomerID),
			Open: in.Open, Search: in.Search, Limit: in.Limit, Cursor: in.Cursor})
	})
	return listed(ctx, page, err)
}

func (s *Server) getCase(ctx context.Context, in *struct {
	ByID
	Cached
}) (*Answer[maintenance.CaseFile], error) {
	c, err := read(ctx, s, func(db postgres.DB) (maintenance.CaseFile, error) {
		return maintenance.GetCase(ctx, db, asking(ctx), in.ID)
	})
	return unlessSeen(in.Cached, c, c.Version, err)
}

type newRequest struct {
	MachineID     uuid.UUID `json:"machineId"`
	Down          bool      `json:"down" doc:"true: down; false: working with a fault"`
	PouringNow    bool      `json:"pouringNow"`
	Latitude      *float64  `json:"latitude,omitempty" minimum:"-90" maximum:"90"`
	Longitude     *float64  `json:"longitude,omitempty" minimum:"-180" maximum:"180"`
	OperatorPhone string    `json:"operatorPhone" pattern:"^\\+?[0-9]{3,15}$" patternDescription:"a phone number, best as +86..."`
	Description   string    `json:"description" minLength:"1" maxLength:"4000"`
	DescriptionEN string    `json:"descriptionEn,omitempty" maxLength:"4000"`
	FailureMode   string    `json:"failureMode,omitempty" maxLength:"100"`
	CallerName    string    `json:"callerName,omitempty" maxLength:"100"`
	CallerNameEN  string    `json:"callerNameEn,omitempty" maxLength:"100"`
}

func (s *Server) openCase(ctx context.Context, in *struct{ Body newRequest }) (*Answer[maintenance.Case], error) {
	b := in.Body
	c, err := write(ctx, s, func(a act) (maintenance.Case, error) {
		return maintenance.OpenRequest(ctx, a.tx, a.now, a.who, maintenance.Request{MachineID: b.MachineID, Down: b.Down, PouringNow: b.PouringNow,
			Latitude: b.Latitude, Longitude: b.Longitude, OperatorPhone: b.OperatorPhone, Description: b.Description, DescriptionEN: b.DescriptionEN, FailureMode: b.FailureMode,
			CallerName: b.CallerName, CallerNameEN: b.CallerNameEN})
	})
	return answered(c, c.Version, err)
}

type caseMove struct {
	To         string     `json:"to" enum:"open,triaged,informed,planned,in_work,verifying,awaiting_callback,satisfied,closed,remote_guidance,deferred,waiting,cancelled"`
	Note       string     `json:"note,omitempty" maxLength:"4000"`
	NoteEN     string     `json:"noteEn,omitempty" maxLength:"4000" doc:"the same in English, for who reads English"`
	Reason     string     `json:"reason,omitempty" maxLength:"1000"`
	ReasonEN   string     `json:"reasonEn,omitempty" maxLength:"1000"`
	Until      *time.Time `json:"until,omitempty" doc:"of a deferral"`
	VisitAt    *time.Time `json:"visitAt,omitempty" doc:"to planned: when the visit is; makes its work order. An owner must say it"`
	Person     string     `json:"person,omitempty" maxLength:"100" doc:"who acknowledged the risk or waived the proof"`
	WaitingFor string     `json:"waitingFor,omitempty" enum:"customer,parts,site,season,payment"`
	Verdict    string     `json:"verdict,omitempty" enum:"true,false_alarm,unclear"`
	Version    int        `json:"version,omitempty" minimum:"1" doc:"instead of If-Match"`
}

func (s *Server) moveCase(ctx context.Context, in *struct {
	ByID
	Matched
	Body caseMove
}) (*Answer[maintenance.Case], error) {
	b := in.Body
	v, err := version(in.Matched, b.Version)
	if err != nil {
		return nil, err
	}
	c, err := write(ctx, s, func(a act) (maintenance.Case, error) {
		return maintenance.MoveCase(ctx, a.tx, a.now, a.who, in.ID, maintenance.CaseMove{To: maintenance.CaseState(b.To), Note: b.Note, NoteEN: b.NoteEN, Reason: b.Reason, ReasonEN: b.ReasonEN,
			Until: b.Until, VisitAt: b.VisitAt,
			Person: b.Person, WaitingFor: b.WaitingFor, Verdict: b.Verdict, Version: v})
	})
	return answered(c, c.Version, err)
}

type comment struct {
	Text   string `json:"text" minLength:"1" maxLength:"4000"`
	TextEN string `json:"textEn,omitempty" maxLength:"4000"`
}

func (s *Server) commentCase(ctx context.Context, in *struct {
	ByID
	Body comment
}) (*Nothing, error) {
	_, err := write(ctx, s, func(a act) (Nothing, error) {
		return Nothing{}, maintenance.Comment(ctx, a.tx, a.now, a.who, in.ID, machines.Text{ZH: in.Body.Text, EN: in.Body.TextEN})
	})
	return &Nothing{}, err
}

type assignee struct {
	Assignee string `json:"assignee" maxLength:"100"`
	Version  int    `json:"version,omitempty" minimum:"1" doc:"instead of If-Match"`
}

func (s *Server) assignCase(ctx context.Context, in *struct {
	ByID
	Matched
	Body assignee
}) (*Answer[maintenance.CaseFile], error) {
	v, err := version(in.Matched, in.Body.Version)
	if err != nil {
		return nil, err
	}
	c, err := write(ctx, s, func(a act) (maintenance.CaseFile, error) {
		if err := maintenance.AssignCase(ctx, a.tx, a.now, a.who, in.ID, in.Body.Assignee, v); err != nil {
			return maintenance.CaseFile{}, err
		}
		return maintenance.GetCase(ctx, a.tx, a.who, in.ID)
	})
	return answered(c, c.Version, err)
}

type inform struct {
	ContactID *uuid.UUID `json:"contactId,omitempty" doc:"by default the owner"`
	Channel   string     `json:"channel" minLength:"1" maxLength:"32"`
	Text      string     `json:"text" minLength:"1" maxLength:"4000"`
}

func (s *Server) informOwner(ctx context.Context, in *struct {
	ByID
	Body inform
}) (*Answer[maintenance.Case], error) {
	c, err := write(ctx, s, func(a act) (maintenance.Case, error) {
		return maintenance.Inform(ctx, a.tx, a.now, a.who, in.ID, in.Body.ContactID, in.Body.Channel, in.Body.Text)
	})
	return answered(c, c.Version, err)
}

type waiver struct {
	Person  string `json:"person" minLength:"1" maxLength:"100" doc:"who waives"`
	Reason  string `json:"reason" minLength:"1" maxLength:"1000"`
	Version int    `json:"version,omitempty" minimum:"1" doc:"instead of If-Match"`
}

func (s *Server) waiveVerification(ctx context.Context, in *struct {
	ByID
	Matched
	Body waiver
}) (*Answer[maintenance.Case], error) {
	v, err := version(in.Matched, in.Body.Version)
	if err != nil {
		return nil, err
	}
	c, err := write(ctx, s, func(a act) (maintenance.Case, error) {
		current, err := maintenance.GetCase(ctx, a.tx, a.who, in.ID)
		if err != nil {
			return maintenance.Case{}, err
		}
		if current.State != maintenance.Verifying {
			return maintenance.Case{}, problem.New(problem.Conflict, "the case is %s: there is no proof to waive", current.State)
		}
		return maintenance.MoveCase(ctx, a.tx, a.now, a.who, in.ID, maintenance.CaseMove{To: maintenance.AwaitingCallback, Person: in.Body.Person, Reason: in.Body.Reason, Version: v})
	})
	return answered(c, c.Version, err)
}
