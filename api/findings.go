package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/detection"
)

func findings(s *Server) {
	add(s, route{ID: "list-findings", Method: http.MethodGet, Path: "/findings", Roles: everyone, EN: "Evidence of latent faults", ZH: "隐患证据列表"}, s.listFindings)
	add(s, route{ID: "get-finding", Method: http.MethodGet, Path: "/findings/{id}", Roles: everyone, EN: "One finding with its evidence", ZH: "隐患证据"}, s.getFinding)
	add(s, route{ID: "get-finding-bundle", Method: http.MethodGet, Path: "/findings/{id}/bundle", Roles: everyone,
		EN: "The finding's evidence as a bundle that thirdstate verify checks offline", ZH: "隐患证据包，可用 thirdstate verify 离线复算"}, s.getFindingBundle)
}

func readings(s *Server) {
	add(s, route{ID: "add-reading", Method: http.MethodPost, Path: "/readings", Roles: reporters, Status: http.StatusCreated,
		EN: "Note a daily check, patrol reading or oil sample; out of limits opens a finding", ZH: "登记日检、巡检读数或油样；超限即生成隐患"}, s.addReading)
}

func components(s *Server) {
	add(s, route{ID: "list-components", Method: http.MethodGet, Path: "/components", Roles: everyone, EN: "The tree of a machine's components", ZH: "部件列表"}, s.listComponents)
	add(s, route{ID: "add-component", Method: http.MethodPost, Path: "/components", Roles: managers, Status: http.StatusCreated, EN: "Install a component", ZH: "安装部件"}, s.addComponent)
}

// OfMachine narrows a list to one machine.
type OfMachine struct {
	MachineID uuid.UUID `query:"machineId"`
}

func (s *Server) listFindings(ctx context.Context, in *struct {
	Paged
	OfMachine
	State string `query:"state" enum:"open,closed,dismissed"`
}) (*Listed[machines.Finding], error) {
	page, err := read(ctx, s, func(db postgres.DB) (machines.Page[machines.Finding], error) {
		return machines.Findings(ctx, db, machines.FindingFilter{MachineID: someID(in.MachineID), State: in.State, Limit: in.Limit, Cursor: in.Cursor})
	})
	return listed(ctx, page, err)
}

func (s *Server) getFinding(ctx context.Context, in *struct {
	ByID
	Cached
}) (*Answer[machines.Finding], error) {
	f, err := read(ctx, s, func(db postgres.DB) (machines.Finding, error) { return machines.GetFinding(ctx, db, in.ID) })
	return unlessSeen(in.Cached, f, 0, err)
}

// Bundle is a bundle of evidence.
type Bundle struct {
	ContentType string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

func (s *Server) getFindingBundle(ctx context.Context, in *ByID) (*Bundle, error) {
	found, err := read(ctx, s, func(db postgres.DB) (detection.Subject, error) { return detection.ReadSubject(ctx, db, in.ID) })
	if err != nil {
		return nil, err
	}
	if s.History == nil || s.Fleet == nil {
		return nil, problem.New(problem.Unavailable, "there is no history, or no rules")
	}
	data, err := s.Fleet.Evidence(ctx, found, s.History.Rows)
	if err != nil {
		return nil, err
	}
	return &Bundle{ContentType: "application/zip", Disposition: `attachment; filename="finding-` + in.ID.String() + `.zip"`, Body: data}, nil
}

type newReading struct {
	MachineID uuid.UUID  `json:"machineId"`
	At        *time.Time `json:"at,omitempty" doc:"when it was measured; by default now"`
	Signal    string     `json:"signal" pattern:"^[A-Za-z0-9_.-]{1,64}$" patternDescription:"1 to 64 letters, digits, _ . -"`
	Value     float64    `json:"value"`
	Unit      string     `json:"unit,omitempty" maxLength:"32" doc:"UCUM"`
	Source    string     `json:"source" enum:"daily_check,patrol,oil_sample,visit"`
	PhotoID   *uuid.UUID `json:"photoId,omitempty"`
}

// ReadingTaken is a reading and the finding that it opened, if any.
type ReadingTaken struct {
	Reading machines.Reading  `json:"reading"`
	Finding *machines.Finding `json:"finding"`
}

func (s *Server) addReading(ctx context.Context, in *struct{ Body newReading }) (*Answer[ReadingTaken], error) {
	b := in.Body
	out, err := write(ctx, s, func(a act) (out ReadingTaken, err error) {
		r := machines.Reading{MachineID: b.MachineID, At: a.now, Signal: b.Signal, Value: b.Value, Unit: b.Unit, Source: b.Source, PhotoID: b.PhotoID}
		if b.At != nil {
			if b.At.After(a.now.Add(2 * time.Minute)) {
				return out, problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/at", Detail: "lies in the future"})
			}
			r.At = b.At.UTC()
		}
		out.Reading, out.Finding, err = machines.AddReading(ctx, a.tx, a.now, a.who, r)
		return out, err
	})
	return answered(out, 0, err)
}

func (s *Server) listComponents(ctx context.Context, in *struct {
	MachineID uuid.UUID `query:"machineId" required:"true"`
}) (*Listed[machines.Component], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]machines.Component, error) {
		file, err := machines.ReadFile(ctx, db, in.MachineID)
		return file.Components, err
	})
	return whole(ctx, items, err)
}

type newComponent struct {
	MachineID   uuid.UUID  `json:"machineId"`
	ParentID    *uuid.UUID `json:"parentId,omitempty"`
	Code        string     `json:"code" minLength:"1" maxLength:"64"`
	Name        string     `json:"name" minLength:"1" maxLength:"200"`
	NameEN      string     `json:"nameEn,omitempty" maxLength:"200"`
	Serial      string     `json:"serial,omitempty" maxLength:"100"`
	Batch       string     `json:"batch,omitempty" maxLength:"100"`
	Firmware    string     `json:"firmware,omitempty" maxLength:"100"`
	InstalledAt *time.Time `json:"installedAt,omitempty" doc:"by default now"`
}

func (s *Server) addComponent(ctx context.Context, in *struct{ Body newComponent }) (*Answer[machines.Component], error) {
	b := in.Body
	c, err := write(ctx, s, func(a act) (machines.Component, error) {
		c := machines.Component{MachineID: b.MachineID, ParentID: b.ParentID, Code: b.Code, Name: b.Name, NameEN: b.NameEN, Serial: b.Serial, Batch: b.Batch, Firmware: b.Firmware, InstalledAt: a.now}
		if b.InstalledAt != nil {
			c.InstalledAt = b.InstalledAt.UTC()
		}
		return machines.AddComponent(ctx, a.tx, a.now, a.who, c)
	})
	return answered(c, 0, err)
}
