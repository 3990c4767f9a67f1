package api

import (
	"context"
	"net/http"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/lifespan"
)

func lifespans(s *Server) {
	add(s, route{ID: "list-remaining-lives", Method: http.MethodGet, Path: "/remaining-lives", Roles: everyone, EN: "How much life machines have left, the least first, 200 at most", ZH: "设备剩余寿命，最短者在前"}, s.listRemainingLives)
	add(s, route{ID: "get-remaining-life", Method: http.MethodGet, Path: "/machines/{id}/remaining-life", Roles: everyone, EN: "How much life a machine and its components have left, with an 80 % interval, or why nobody says", ZH: "一台设备的剩余寿命"}, s.getRemainingLife)
	add(s, route{ID: "list-remaining-life-models", Method: http.MethodGet, Path: "/remaining-life-models", Roles: managers, EN: "Models of remaining life in the data folder, and what is wrong with those that are not applied", ZH: "剩余寿命模型"}, s.listLifeModels)
}

func (s *Server) listRemainingLives(ctx context.Context, _ *struct{}) (*Listed[lifespan.MachineLifespan], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]lifespan.MachineLifespan, error) { return lifespan.Shortest(ctx, db) })
	return whole(ctx, items, err)
}

func (s *Server) getRemainingLife(ctx context.Context, in *ByID) (*Listed[lifespan.MachineLifespan], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]lifespan.MachineLifespan, error) {
		if _, err := machines.Get(ctx, db, in.ID); err != nil {
			return nil, err
		}
		return lifespan.Of(ctx, db, in.ID)
	})
	return whole(ctx, items, err)
}

func (s *Server) listLifeModels(ctx context.Context, _ *struct{}) (*Listed[lifespan.Learnt], error) {
	var list []lifespan.Learnt
	if s.Lives != nil {
		list = s.Lives.Models()
	}
	return whole(ctx, list, nil)
}
