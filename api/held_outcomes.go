package api

import (
	"context"
	"net/http"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/detection"
)

func heldOutcomes(s *Server) {
	add(s, route{ID: "list-held-outcomes", Method: http.MethodGet, Path: "/held-outcomes", Roles: managers,
		EN: "Machines of which the records refuse what their rules found, or whose rules failed, the oldest first", ZH: "规则结果被拒收或规则出错的设备，最早在前"}, s.listHeldOutcomes)
	add(s, route{ID: "retry-held-outcome", Method: http.MethodPost, Path: "/held-outcomes/{id}/retry", Roles: managers,
		EN: "Try again to store what is held of a machine", ZH: "重试保存某设备被拒收的结果"}, s.retryHeldOutcome)
	add(s, route{ID: "discard-held-outcome", Method: http.MethodPost, Path: "/held-outcomes/{id}/discard", Roles: managers, Status: http.StatusNoContent,
		EN: "Give up what is held of a machine, with the reason; what its rules find from now on is stored", ZH: "说明理由后放弃某设备被拒收的结果"}, s.discardHeldOutcome)
}

func (s *Server) listHeldOutcomes(ctx context.Context, _ *struct{}) (*Listed[detection.Held], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]detection.Held, error) { return detection.HeldOutcomes(ctx, db) })
	return whole(ctx, items, err)
}

// holds says why nothing can be tried again here.
func (s *Server) holds() error {
	if s.Held == nil {
		return problem.New(problem.Unavailable, "this server runs no rules")
	}
	return nil
}

func (s *Server) retryHeldOutcome(ctx context.Context, in *ByID) (*Answer[detection.Trial], error) {
	if err := s.holds(); err != nil {
		return nil, err
	}
	trial, err := write(ctx, s, func(a act) (detection.Trial, error) { return s.Held.Try(ctx, a.tx, a.now, a.who, in.ID) })
	return answered(trial, 0, err)
}

func (s *Server) discardHeldOutcome(ctx context.Context, in *struct {
	ByID
	Body discard
}) (*Nothing, error) {
	if err := s.holds(); err != nil {
		return nil, err
	}
	_, err := write(ctx, s, func(a act) (Nothing, error) {
		return Nothing{}, s.Held.Discard(ctx, a.tx, a.now, a.who, in.ID, in.Body.Reason)
	})
	return &Nothing{}, err
}
