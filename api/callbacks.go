package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/maintenance"
)

func callbacks(s *Server) {
	add(s, route{ID: "list-callbacks", Method: http.MethodGet, Path: "/callbacks", Roles: everyone, EN: "Follow-up calls to customers", ZH: "回访列表"}, s.listCallbacks)
	add(s, route{ID: "get-callback", Method: http.MethodGet, Path: "/callbacks/{id}", Roles: everyone, EN: "One follow-up call", ZH: "回访"}, s.getCallback)
	add(s, route{ID: "attempt-callback", Method: http.MethodPost, Path: "/callbacks/{id}/attempts", Roles: callers, EN: "Note how a call went", ZH: "登记回访结果"}, s.attemptCallback)
	add(s, route{ID: "find-caller", Method: http.MethodGet, Path: "/callers", Roles: office, EN: "Who calls from a number, and the first sentence to say", ZH: "来电识别与首句话术"}, s.findCaller)
}

func (s *Server) listCallbacks(ctx context.Context, in *struct {
	Due    bool      `query:"due" doc:"only those that are due now"`
	CaseID uuid.UUID `query:"caseId"`
	State  string    `query:"state" enum:"due,done,unreachable,cancelled"`
	Limit  int       `query:"limit" minimum:"1" maximum:"500" default:"50"`
}) (*Listed[maintenance.CallbackRow], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]maintenance.CallbackRow, error) {
		return maintenance.Callbacks(ctx, db, s.Clock.Now(), maintenance.CallbackFilter{Due: in.Due, CaseID: someID(in.CaseID), State: in.State, Limit: in.Limit})
	})
	return whole(ctx, items, err)
}

func (s *Server) getCallback(ctx context.Context, in *struct {
	ByID
	Cached
}) (*Answer[maintenance.CallbackRow], error) {
	c, err := read(ctx, s, func(db postgres.DB) (maintenance.CallbackRow, error) { return maintenance.GetCallback(ctx, db, in.ID) })
	return unlessSeen(in.Cached, c, c.Version, err)
}

type callbackResult struct {
	Outcome string `json:"outcome" enum:"informed,satisfied,so_so,dissatisfied,unreachable,deferred"`
	Note    string `json:"note,omitempty" maxLength:"4000"`
	NoteEN  string `json:"noteEn,omitempty" maxLength:"4000" doc:"the same in English, for who reads English"`
	Version int    `json:"version,omitempty" minimum:"1" doc:"instead of If-Match"`
}

// CallbackAttempted is a call with its case as they are after the attempt.
type CallbackAttempted struct {
	Callback maintenance.Callback `json:"callback"`
	Case     maintenance.Case     `json:"case"`
}

func (s *Server) attemptCallback(ctx context.Context, in *struct {
	ByID
	Matched
	Body callbackResult
}) (*Answer[CallbackAttempted], error) {
	v, err := version(in.Matched, in.Body.Version)
	if err != nil {
		return nil, err
	}
	out, err := write(ctx, s, func(a act) (out CallbackAttempted, err error) {
		out.Callback, out.Case, err = maintenance.Attempt(ctx, a.tx, a.now, a.who, in.ID, maintenance.CallbackResult{Outcome: in.Body.Outcome, Note: in.Body.Note, NoteEN: in.Body.NoteEN, Version: v})
		return out, err
	})
	return answered(out, out.Callback.Version, err)
}

func (s *Server) findCaller(ctx context.Context, in *struct {
	Phone string `query:"phone" required:"true" pattern:"^\\+?[0-9]{3,15}$" patternDescription:"a phone number, best as +86..."`
}) (*Answer[maintenance.CallerFile], error) {
	c, err := read(ctx, s, func(db postgres.DB) (maintenance.CallerFile, error) {
		return maintenance.Caller(ctx, db, s.Clock.Now(), in.Phone)
	})
	return answered(c, 0, err)
}

func complaints(s *Server) {
	add(s, route{ID: "list-complaints", Method: http.MethodGet, Path: "/complaints", Roles: everyone, EN: "Complaints", ZH: "投诉列表"}, s.listComplaints)
	add(s, route{ID: "add-complaint", Method: http.MethodPost, Path: "/complaints", Roles: requesters, Status: http.StatusCreated, EN: "Take a complaint", ZH: "登记投诉"}, s.addComplaint)
	add(s, route{ID: "answer-complaint", Method: http.MethodPost, Path: "/complaints/{id}/answers", Roles: office, EN: "Answer a complaint", ZH: "答复投诉"}, s.answerComplaint)
}

func (s *Server) listComplaints(ctx context.Context, in *struct {
	State string `query:"state" enum:"received,answered,closed,withdrawn"`
}) (*Listed[maintenance.Complaint], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]maintenance.Complaint, error) {
		return maintenance.Complaints(ctx, db, in.State)
	})
	return whole(ctx, items, err)
}

type newComplaint struct {
	CustomerID *uuid.UUID `json:"customerId,omitempty"`
	MachineID  *uuid.UUID `json:"machineId,omitempty"`
	CaseID     *uuid.UUID `json:"caseId,omitempty"`
	Class      string     `json:"class,omitempty" enum:"service,quality,parts,billing,other" default:"service"`
	Text       string     `json:"text" minLength:"1" maxLength:"4000"`
	TextEN     string     `json:"textEn,omitempty" maxLength:"4000"`
	RaisedBy   string     `json:"raisedBy,omitempty" maxLength:"100"`
	PromiseDue *time.Time `json:"promiseDueAt,omitempty"`
}

func (s *Server) addComplaint(ctx context.Context, in *struct{ Body newComplaint }) (*Answer[maintenance.Complaint], error) {
	b := in.Body
	c, err := write(ctx, s, func(a act) (maintenance.Complaint, error) {
		c := maintenance.Complaint{CustomerID: b.CustomerID, MachineID: b.MachineID, CaseID: b.CaseID, Class: b.Class, Text: b.Text, TextEN: b.TextEN, RaisedBy: b.RaisedBy, PromiseDueAt: b.PromiseDue}
		return maintenance.AddComplaint(ctx, a.tx, a.now, a.who, c)
	})
	return answered(c, c.Version, err)
}

type complaintAnswer struct {
	Answer  string `json:"answer" minLength:"1" maxLength:"4000"`
	Version int    `json:"version,omitempty" minimum:"1" doc:"instead of If-Match"`
}

func (s *Server) answerComplaint(ctx context.Context, in *struct {
	ByID
	Matched
	Body complaintAnswer
}) (*Answer[maintenance.Complaint], error) {
	v, err := version(in.Matched, in.Body.Version)
	if err != nil {
		return nil, err
	}
	c, err := write(ctx, s, func(a act) (maintenance.Complaint, error) {
		return maintenance.AnswerComplaint(ctx, a.tx, a.now, a.who, in.ID, in.Body.Answer, v)
	})
	return answered(c, c.Version, err)
}

func promises(s *Server) {
	add(s, route{ID: "list-promises", Method: http.MethodGet, Path: "/promises", Roles: everyone, EN: "Promises to customers and whether they were kept", ZH: "承诺列表"}, s.listPromises)
	add(s, route{ID: "add-promise", Method: http.MethodPost, Path: "/promises", Roles: office, Status: http.StatusCreated, EN: "Note a promise", ZH: "登记承诺"}, s.addPromise)
	add(s, route{ID: "settle-promise", Method: http.MethodPost, Path: "/promises/{id}/settlements", Roles: office, EN: "Say that a promise was kept, broken or withdrawn", ZH: "确认承诺兑现、失信或撤回"}, s.settlePromise)
}

func (s *Server) listPromises(ctx context.Context, in *struct {
	State string `query:"state" enum:"open,kept,broken,withdrawn"`
}) (*Listed[maintenance.Promise], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]maintenance.Promise, error) { return maintenance.Promises(ctx, db, in.State) })
	return whole(ctx, items, err)
}

type newPromise struct {
	CustomerID *uuid.UUID `json:"customerId,omitempty"`
	MachineID  *uuid.UUID `json:"machineId,omitempty"`
	CaseID     *uuid.UUID `json:"caseId,omitempty"`
	Text       string     `json:"text" minLength:"1" maxLength:"2000"`
	TextEN     string     `json:"textEn,omitempty" maxLength:"2000"`
	Person     string     `json:"person" minLength:"1" maxLength:"100" doc:"who keeps it"`
	DueAt      time.Time  `json:"dueAt"`
}

func (s *Server) addPromise(ctx context.Context, in *struct{ Body newPromise }) (*Answer[maintenance.Promise], error) {
	b := in.Body
	p, err := write(ctx, s, func(a act) (maintenance.Promise, error) {
		p := maintenance.Promise{CustomerID: b.CustomerID, MachineID: b.MachineID, CaseID: b.CaseID, Text: b.Text, TextEN: b.TextEN, Person: b.Person, DueAt: b.DueAt.UTC()}
		return maintenance.AddPromise(ctx, a.tx, a.now, a.who, p)
	})
	return answered(p, 0, err)
}

type settlement struct {
	State      string `json:"state" enum:"kept,broken,withdrawn"`
	Evidence   string `json:"evidence,omitempty" maxLength:"2000"`
	EvidenceEN string `json:"evidenceEn,omitempty" maxLength:"2000"`
}

func (s *Server) settlePromise(ctx context.Context, in *struct {
	ByID
	Body settlement
}) (*Answer[maintenance.Promise], error) {
	p, err := write(ctx, s, func(a act) (maintenance.Promise, error) {
		return maintenance.SettlePromise(ctx, a.tx, a.now, a.who, in.ID, in.Body.State, in.Body.Evidence, in.Body.EvidenceEN)
	})
	return answered(p, 0, err)
}
