package api

import (
	"context"
	"net/http"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/maintenance"
)

func alertBudgets(s *Server) {
	add(s, route{ID: "list-alert-budgets", Method: http.MethodGet, Path: "/alert-budgets", Roles: office,
		EN: "How many findings of rules each branch takes up in a week, and what waits", ZH: "各分公司每周预警额度及等待数"}, s.listAlertBudgets)
	add(s, route{ID: "set-alert-budget", Method: http.MethodPut, Path: "/alert-budgets/{id}", Roles: managers,
		EN: "Set a branch's alert budget", ZH: "设置分公司预警额度"}, s.setAlertBudget)
}

func (s *Server) listAlertBudgets(ctx context.Context, _ *struct{}) (*Listed[maintenance.AlertBudget], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]maintenance.AlertBudget, error) {
		return maintenance.AlertBudgets(ctx, db, s.Clock.Now())
	})
	return whole(ctx, items, err)
}

type budgetAsked struct {
	PerWeek *int `json:"perWeek" minimum:"0" maximum:"10000" doc:"alerts a week; null is five for each engineer of the branch"`
}

func (s *Server) setAlertBudget(ctx context.Context, in *struct {
	ByID
	Body budgetAsked
}) (*Answer[maintenance.AlertBudget], error) {
	b, err := write(ctx, s, func(a act) (maintenance.AlertBudget, error) {
		return maintenance.SetAlertBudget(ctx, a.tx, a.now, a.who, in.ID, in.Body.PerWeek)
	})
	return answered(b, 0, err)
}
