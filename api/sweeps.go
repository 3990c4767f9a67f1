package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/maintenance"
)

func sweeps(s *Server) {
	add(s, route{ID: "list-sweeps", Method: http.MethodGet, Path: "/sweeps", Roles: staff, EN: "Sweeps of sister machines after confirmed faults, with progress", ZH: "同类设备排查列表"}, s.listSweeps)
	add(s, route{ID: "get-sweep", Method: http.MethodGet, Path: "/sweeps/{id}", Roles: staff, EN: "One sweep: which sisters have moved the way of the fault", ZH: "同类设备排查清单"}, s.getSweep)
	add(s, route{ID: "open-sweep-case", Method: http.MethodPost, Path: "/sweeps/{id}/machines/{machineId}/case", Roles: office, Status: http.StatusCreated, EN: "Open the case of a machine of a sweep", ZH: "为排查设备开服务单"}, s.openSweepCase)
	add(s, route{ID: "look-at-sweep-machine", Method: http.MethodPost, Path: "/sweeps/{id}/machines/{machineId}/looked", Roles: staff, EN: "Note what was seen on a machine of a sweep", ZH: "记录排查结果"}, s.lookAtSweepMachine)
}

func (s *Server) listSweeps(ctx context.Context, _ *struct{}) (*Listed[maintenance.SweepRow], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]maintenance.SweepRow, error) { return maintenance.Sweeps(ctx, db) })
	return whole(ctx, items, err)
}

func (s *Server) getSweep(ctx context.Context, in *ByID) (*Answer[maintenance.SweepFile], error) {
	file, err := read(ctx, s, func(db postgres.DB) (maintenance.SweepFile, error) { return maintenance.GetSweep(ctx, db, in.ID) })
	return answered(file, 0, err)
}

// MachineInSweep names a machine of a sweep.
type MachineInSweep struct {
	ByID
	MachineID uuid.UUID `path:"machineId"`
}

func (s *Server) openSweepCase(ctx context.Context, in *MachineInSweep) (*Answer[maintenance.Case], error) {
	c, err := write(ctx, s, func(a act) (maintenance.Case, error) {
		return maintenance.OpenSweepCase(ctx, a.tx, a.now, a.who, in.ID, in.MachineID)
	})
	return answered(c, c.Version, err)
}

type looked struct {
	Result string `json:"result" enum:",found,clean" doc:"empty takes it back"`
	Note   string `json:"note,omitempty" maxLength:"300"`
}

func (s *Server) lookAtSweepMachine(ctx context.Context, in *struct {
	MachineInSweep
	Body looked
}) (*Answer[maintenance.SweepFile], error) {
	file, err := write(ctx, s, func(a act) (maintenance.SweepFile, error) {
		return maintenance.LookedAt(ctx, a.tx, a.now, a.who, in.ID, in.MachineID, in.Body.Result, in.Body.Note)
	})
	return answered(file, 0, err)
}
