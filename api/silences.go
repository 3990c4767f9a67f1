package api

import (
	"context"
	"net/http"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

func silences(s *Server) {
	add(s, route{ID: "list-silences", Method: http.MethodGet, Path: "/silences", Roles: everyone, EN: "When machines said nothing, and why: off, no coverage, or nobody knows", ZH: "设备无数据的时段及原因"}, s.listSilences)
}

func (s *Server) listSilences(ctx context.Context, in *struct {
	Paged
	OfMachine
	Cause string `query:"cause" enum:"off,no_coverage,silent"`
	Open  bool   `query:"open" doc:"only those that go on"`
}) (*Listed[machines.Silence], error) {
	page, err := read(ctx, s, func(db postgres.DB) (machines.Page[machines.Silence], error) {
		return machines.Silences(ctx, db, machines.SilenceFilter{MachineID: someID(in.MachineID), Cause: in.Cause, Open: in.Open, Limit: in.Limit, Cursor: in.Cursor})
	})
	return listed(ctx, page, err)
}
