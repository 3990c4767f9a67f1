package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

func audits(s *Server) {
	add(s, route{ID: "list-audits", Method: http.MethodGet, Path: "/audits", Roles: auditors, EN: "Who changed what, with before and after, newest first", ZH: "审计记录：何人、何时、改动前后"}, s.listAudits)
}

func (s *Server) listAudits(ctx context.Context, in *struct {
	Paged
	MachineID uuid.UUID `query:"machineId"`
	Entity    string    `query:"entity" maxLength:"50" doc:"case, work_order, finding, machine ..."`
	EntityID  uuid.UUID `query:"entityId"`
}) (*Listed[machines.AuditEntry], error) {
	page, err := read(ctx, s, func(db postgres.DB) (machines.Page[machines.AuditEntry], error) {
		return machines.Audits(ctx, db, machines.AuditFilter{Entity: in.Entity, EntityID: someID(in.EntityID), MachineID: someID(in.MachineID), Limit: in.Limit, Cursor: in.Cursor})
	})
	return listed(ctx, page, err)
}
