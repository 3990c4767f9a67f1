package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/maintenance"
)

func plans(s *Server) {
	add(s, route{ID: "list-plans", Method: http.MethodGet, Path: "/plans", Roles: everyone, EN: "Service plans of machines", ZH: "保养计划列表"}, s.listPlans)
	add(s, route{ID: "add-plan", Method: http.MethodPost, Path: "/plans", Roles: dispatchers, Status: http.StatusCreated, EN: "Put a machine on a service plan", ZH: "新增保养计划"}, s.addPlan)
}

func technicians(s *Server) {
	add(s, route{ID: "list-technicians", Method: http.MethodGet, Path: "/technicians", Roles: staff, EN: "Technicians with skills, van parts and open orders", ZH: "工程师列表"}, s.listTechnicians)
}

func (s *Server) listPlans(ctx context.Context, in *OfMachine) (*Listed[maintenance.ServicePlan], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]maintenance.ServicePlan, error) {
		return maintenance.Plans(ctx, db, someID(in.MachineID))
	})
	return whole(ctx, items, err)
}

type newPlan struct {
	MachineID    uuid.UUID `json:"machineId"`
	Name         string    `json:"name" minLength:"1" maxLength:"200"`
	NameEN       string    `json:"nameEn,omitempty" maxLength:"200"`
	Checklist    string    `json:"checklist,omitempty" maxLength:"100" doc:"name of a template"`
	IntervalDays int       `json:"intervalDays" minimum:"1" maximum:"3660"`
	LeadDays     int       `json:"leadDays,omitempty" minimum:"0" maximum:"365" default:"7"`
	DueAt        time.Time `json:"dueAt"`
}

func (s *Server) addPlan(ctx context.Context, in *struct{ Body newPlan }) (*Answer[maintenance.ServicePlan], error) {
	b := in.Body
	p, err := write(ctx, s, func(a act) (maintenance.ServicePlan, error) {
		return maintenance.AddPlan(ctx, a.tx, a.now, a.who, maintenance.ServicePlan{MachineID: b.MachineID, Name: b.Name, NameEN: b.NameEN, Checklist: b.Checklist,
			IntervalDays: b.IntervalDays, LeadDays: b.LeadDays, DueAt: b.DueAt.UTC()})
	})
	return answered(p, 0, err)
}

func (s *Server) listTechnicians(ctx context.Context, _ *struct{}) (*Listed[maintenance.TechnicianRow], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]maintenance.TechnicianRow, error) { return maintenance.Technicians(ctx, db) })
	return whole(ctx, items, err)
}
