package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
)

func machineFiles(s *Server) {
	add(s, route{ID: "list-machines", Method: http.MethodGet, Path: "/machines", Roles: everyone, EN: "Machines with health, owner and model", ZH: "设备列表"}, s.listMachines)
	add(s, route{ID: "get-machine", Method: http.MethodGet, Path: "/machines/{id}", Roles: everyone, EN: "The whole machine file", ZH: "一机一档"}, s.getMachine)
	add(s, route{ID: "add-machine", Method: http.MethodPost, Path: "/machines", Roles: managers, Status: http.StatusCreated, EN: "Add a machine", ZH: "新增设备"}, s.addMachine)
	add(s, route{ID: "transfer-machine", Method: http.MethodPost, Path: "/machines/{id}/transfers", Roles: managers, EN: "Give a machine to a new owner", ZH: "设备过户"}, s.transferMachine)
	add(s, route{ID: "set-operating-status", Method: http.MethodPost, Path: "/machines/{id}/operating-status", Roles: reporters, EN: "Say whether a machine is in use", ZH: "设置使用状态"}, s.setOperatingStatus)
}

type machineFilter struct {
	Paged
	CustomerID      uuid.UUID `query:"customerId"`
	ModelID         uuid.UUID `query:"modelId"`
	SiteID          uuid.UUID `query:"siteId"`
	Health          string    `query:"health" enum:"well,third_state,faulty,unknown"`
	OperatingStatus string    `query:"operatingStatus" enum:"working,shut_down,winter_lay_up,stored,locked,unlocated,scrapped"`
	Connectivity    string    `query:"connectivity" enum:"online,silent,no_coverage,off,unknown,none"`
	Kind            string    `query:"kind" maxLength:"50"`
	Search          string    `query:"search" maxLength:"100" doc:"part of key, serial number, name, plate or customer"`
}

func (s *Server) listMachines(ctx context.Context, in *machineFilter) (*Listed[machines.Row], error) {
	page, err := read(ctx, s, func(db postgres.DB) (machines.Page[machines.Row], error) {
		return machines.List(ctx, db, machines.Filter{CustomerID: someID(in.CustomerID), ModelID: someID(in.ModelID), SiteID: someID(in.SiteID),
			Health: in.Health, OperatingStatus: in.OperatingStatus, Connectivity: in.Connectivity, Kind: in.Kind, Search: in.Search, Limit: in.Limit, Cursor: in.Cursor})
	})
	return listed(ctx, page, err)
}

// MachineFile is everything about one machine: what it is and what is done about it.
type MachineFile struct {
	machines.File
	Work maintenance.MachineWork `json:"work"`
}

func (s *Server) getMachine(ctx context.Context, in *struct {
	ByID
	Cached
}) (*Answer[MachineFile], error) {
	file, err := read(ctx, s, func(db postgres.DB) (out MachineFile, err error) {
		if out.File, err = machines.ReadFile(ctx, db, in.ID); err != nil {
			return out, err
		}
		out.Work, err = maintenance.ReadMachine(ctx, db, in.ID)
		return out, err
	})
	return unlessSeen(in.Cached, file, file.Machine.Version, err)
}

type newMachine struct {
	Key            string     `json:"key,omitempty" pattern:"^[A-Za-z0-9_-]{1,64}$" patternDescription:"1 to 64 letters, digits, _ -" doc:"by default the normalised serial number"`
	Manufacturer   string     `json:"manufacturer" minLength:"1" maxLength:"100"`
	Serial         string     `json:"serial" minLength:"1" maxLength:"100"`
	Name           string     `json:"name,omitempty" maxLength:"200"`
	NameEN         string     `json:"nameEn,omitempty" maxLength:"200"`
	Plate          string     `json:"plate,omitempty" maxLength:"32"`
	ModelID        *uuid.UUID `json:"modelId,omitempty"`
	CustomerID     *uuid.UUID `json:"customerId,omitempty"`
	SiteID         *uuid.UUID `json:"siteId,omitempty"`
	ResponsibleID  *uuid.UUID `json:"responsibleId,omitempty" doc:"engineer in charge of the machine"`
	WarrantyMonths int        `json:"warrantyMonths,omitempty" minimum:"0" maximum:"600"`
	WarrantyHours  int        `json:"warrantyHours,omitempty" minimum:"0" maximum:"1000000"`
	Contract       string     `json:"contract,omitempty" maxLength:"200"`
	Duty           string     `json:"duty,omitempty" maxLength:"100" doc:"what it mostly does"`
	HasDevice      bool       `json:"hasDevice,omitempty"`
}

func (s *Server) addMachine(ctx context.Context, in *struct{ Body newMachine }) (*Answer[machines.Machine], error) {
	b := in.Body
	m, err := write(ctx, s, func(a act) (machines.Machine, error) {
		return machines.AddMachine(ctx, a.tx, a.now, a.who, machines.Machine{Key: b.Key, Manufacturer: b.Manufacturer, Serial: b.Serial, Name: b.Name, NameEN: b.NameEN,
			Plate: b.Plate, ModelID: b.ModelID, CustomerID: b.CustomerID, SiteID: b.SiteID, ResponsibleID: b.ResponsibleID,
			WarrantyMonths: b.WarrantyMonths, WarrantyHours: b.WarrantyHours, Contract: b.Contract, Duty: b.Duty, HasDevice: b.HasDevice})
	})
	return answered(m, m.Version, err)
}

type transfer struct {
	CustomerID uuid.UUID `json:"customerId" doc:"the new owner, who sees telemetry from now on"`
}

func (s *Server) transferMachine(ctx context.Context, in *struct {
	ByID
	Body transfer
}) (*Answer[machines.Machine], error) {
	m, err := write(ctx, s, func(a act) (machines.Machine, error) {
		if err := machines.Transfer(ctx, a.tx, a.now, a.who, in.ID, in.Body.CustomerID); err != nil {
			return machines.Machine{}, err
		}
		return machines.Get(ctx, a.tx, in.ID)
	})
	return answered(m, m.Version, err)
}

type operatingStatus struct {
	Status string `json:"status" enum:"working,shut_down,winter_lay_up,stored,locked,unlocated,scrapped"`
	Note   string `json:"note,omitempty" maxLength:"500"`
	NoteEN string `json:"noteEn,omitempty" maxLength:"500"`
}

func (s *Server) setOperatingStatus(ctx context.Context, in *struct {
	ByID
	Body operatingStatus
}) (*Answer[machines.Machine], error) {
	m, err := write(ctx, s, func(a act) (machines.Machine, error) {
		err := machines.SetOperatingStatus(ctx, a.tx, a.now, a.who, in.ID, machines.OperatingStatus(in.Body.Status), in.Body.Note, in.Body.NoteEN)
		if err != nil {
			return machines.Machine{}, err
		}
		return machines.Get(ctx, a.tx, in.ID)
	})
	return answered(m, m.Version, err)
}
