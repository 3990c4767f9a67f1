package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry"
)

func unclaimed(s *Server) {
	add(s, route{ID: "list-unclaimed", Method: http.MethodGet, Path: "/unclaimed", Roles: managers,
		EN: "Names in messages that no machine has", ZH: "消息中尚未登记的设备名"}, s.listUnclaimed)
	add(s, route{ID: "claim-device", Method: http.MethodPost, Path: "/unclaimed/claims", Roles: managers, Status: http.StatusNoContent,
		EN: "Say which machine a name is; its messages that were kept are replayed", ZH: "认领设备名；保留的消息将被重放"}, s.claimDevice)
}

func (s *Server) listUnclaimed(ctx context.Context, in *struct {
	Limit int `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"names, the one heard last first"`
}) (*Listed[telemetry.Unclaimed], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]telemetry.Unclaimed, error) { return telemetry.ListUnclaimed(ctx, db, in.Limit) })
	return whole(ctx, items, err)
}

// The name stands in the body: whoever sends chooses it, and it may hold what a
// path may not.
type claim struct {
	Key       string    `json:"key" minLength:"1" maxLength:"200" doc:"the name that the sender uses"`
	MachineID uuid.UUID `json:"machineId"`
}

func (s *Server) claimDevice(ctx context.Context, in *struct{ Body claim }) (*Nothing, error) {
	if err := s.takesMessages(); err != nil {
		return nil, err
	}
	_, err := write(ctx, s, func(a act) (Nothing, error) {
		return Nothing{}, telemetry.Claim(ctx, a.tx, s.IntakeLog, a.now, a.who, in.Body.Key, in.Body.MachineID)
	})
	return &Nothing{}, err
}
