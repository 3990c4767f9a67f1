package api

import (
	"context"
	"net/http"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry"
)

func reconciliation(s *Server) {
	add(s, route{ID: "get-reconciliation", Method: http.MethodGet, Path: "/intake/reconciliation", Roles: managers,
		EN: "The last comparison of the telemetry history with the intake log", ZH: "最近一次遥测历史与接收日志的核对结果"}, s.getReconciliation)
	add(s, route{ID: "reconcile", Method: http.MethodPost, Path: "/intake/reconciliation", Roles: managers, Status: http.StatusNoContent,
		EN: "Find what InfluxDB has lost of the last day and write it again; it begins within seconds", ZH: "找出 InfluxDB 最近一天丢失的数据并重写；数秒内开始"}, s.reconcile)
}

// reconciles says why there is nothing to compare.
func (s *Server) reconciles() error {
	if s.Reconciler == nil {
		return problem.New(problem.Conflict, "the history is in PostgreSQL, in one transaction with its place in the intake log: there is nothing to reconcile")
	}
	return nil
}

func (s *Server) getReconciliation(context.Context, *struct{}) (*Answer[telemetry.Reconciliation], error) {
	if err := s.reconciles(); err != nil {
		return nil, err
	}
	last, ok := s.Reconciler.Last()
	if !ok {
		return nil, problem.New(problem.NotFound, "the history has not been reconciled since the start")
	}
	return answered(last, 0, nil)
}

func (s *Server) reconcile(context.Context, *struct{}) (*Nothing, error) {
	if err := s.reconciles(); err != nil {
		return nil, err
	}
	s.Reconciler.Ask()
	return &Nothing{}, nil
}
