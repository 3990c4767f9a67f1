package api

import (
	"context"
	"net/http"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

func troubleCodes(s *Server) {
	add(s, route{ID: "list-trouble-codes", Method: http.MethodGet, Path: "/trouble-codes", Roles: everyone, EN: "What control units say is wrong, and since when", ZH: "故障码列表"}, s.listTroubleCodes)
	add(s, route{ID: "get-trouble-code", Method: http.MethodGet, Path: "/trouble-codes/{id}", Roles: everyone, EN: "One trouble code with its life", ZH: "故障码"}, s.getTroubleCode)
}

func (s *Server) listTroubleCodes(ctx context.Context, in *struct {
	Paged
	OfMachine
	Protocol string `query:"protocol" enum:"j1939,oem"`
	Severity string `query:"severity" enum:"critical,warning,advice"`
	State    string `query:"state" enum:"active,cleared"`
	Code     string `query:"code" maxLength:"100" doc:"as in SPN110-FMI0"`
}) (*Listed[machines.TroubleCode], error) {
	page, err := read(ctx, s, func(db postgres.DB) (machines.Page[machines.TroubleCode], error) {
		return machines.TroubleCodes(ctx, db, machines.TroubleFilter{MachineID: someID(in.MachineID), Protocol: in.Protocol, Severity: in.Severity,
			State: in.State, Code: in.Code, Limit: in.Limit, Cursor: in.Cursor})
	})
	return listed(ctx, page, err)
}

func (s *Server) getTroubleCode(ctx context.Context, in *struct {
	ByID
	Cached
}) (*Answer[machines.TroubleCode], error) {
	c, err := read(ctx, s, func(db postgres.DB) (machines.TroubleCode, error) { return machines.GetTroubleCode(ctx, db, in.ID) })
	return unlessSeen(in.Cached, c, 0, err)
}
