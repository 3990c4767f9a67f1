package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry"
)

func mappings(s *Server) {
	add(s, route{ID: "list-mappings", Method: http.MethodGet, Path: "/signal-mappings", Roles: managers,
		EN: "What names mean that a machine, or all machines of a model, send", ZH: "信号映射列表"}, s.listMappings)
	add(s, route{ID: "put-mapping", Method: http.MethodPut, Path: "/signal-mappings", Roles: managers,
		EN: "Say which signal of the model a name is and in which unit it is sent; holds for what comes from now on", ZH: "设置信号映射与单位；自此刻起生效"}, s.putMapping)
	add(s, route{ID: "delete-mapping", Method: http.MethodDelete, Path: "/signal-mappings/{id}", Roles: managers, Status: http.StatusNoContent,
		EN: "End a mapping; what comes from now on is stored as it comes", ZH: "删除信号映射；自此刻起按原样存储"}, s.deleteMapping)
	add(s, route{ID: "preview-mapping", Method: http.MethodGet, Path: "/signal-mappings/preview", Roles: managers,
		EN: "What a mapping would make of the newest values", ZH: "预览信号映射"}, s.previewMapping)
	add(s, route{ID: "list-raw-signals", Method: http.MethodGet, Path: "/raw-signals", Roles: managers,
		EN: "The names that a machine or an unclaimed device sends, their newest values and what they mean or are most like", ZH: "设备发送的原始信号、最新值与建议"}, s.listRawSignals)
}

func (s *Server) listMappings(ctx context.Context, in *struct {
	OfMachine
	ModelID uuid.UUID `query:"modelId"`
}) (*Listed[telemetry.Mapping], error) {
	machine, model := someID(in.MachineID), someID(in.ModelID)
	if (machine == nil) == (model == nil) {
		return nil, problem.New(problem.Invalid, "name a machine or a model").WithFields(problem.Field{Pointer: "/machineId", Detail: "name a machine or a model"})
	}
	items, err := read(ctx, s, func(db postgres.DB) ([]telemetry.Mapping, error) { return telemetry.Mappings(ctx, db, machine, model) })
	return whole(ctx, items, err)
}

// The name stands in the body: whoever sends chooses it, and it may hold what a
// path may not.
type newMapping struct {
	MachineID *uuid.UUID `json:"machineId,omitempty" doc:"of one machine; goes before its model's"`
	ModelID   *uuid.UUID `json:"modelId,omitempty" doc:"of all machines of a model"`
	Raw       string     `json:"raw" minLength:"1" maxLength:"200" doc:"the name as it is sent"`
	Ignored   bool       `json:"ignored,omitempty" doc:"drop its values"`
	Signal    string     `json:"signal,omitempty" maxLength:"64" doc:"of the model"`
	Unit      string     `json:"unit,omitempty" maxLength:"64" doc:"UCUM, in which it is sent: [degF], kPa, [psi], L/min"`
}

func (s *Server) putMapping(ctx context.Context, in *struct{ Body newMapping }) (*Answer[telemetry.Mapping], error) {
	b := in.Body
	m, err := write(ctx, s, func(a act) (telemetry.Mapping, error) {
		return telemetry.PutMapping(ctx, a.tx, s.IntakeLog, a.now, a.who,
			telemetry.Mapping{MachineID: b.MachineID, ModelID: b.ModelID, Raw: b.Raw, Ignored: b.Ignored, Signal: b.Signal, Unit: b.Unit})
	})
	return answered(m, 0, err)
}

func (s *Server) deleteMapping(ctx context.Context, in *ByID) (*Nothing, error) {
	_, err := write(ctx, s, func(a act) (Nothing, error) {
		return Nothing{}, telemetry.DeleteMapping(ctx, a.tx, s.IntakeLog, a.now, a.who, in.ID)
	})
	return &Nothing{}, err
}

// LegendOf names the machine, and the unclaimed name where its messages are meant.
type LegendOf struct {
	MachineID uuid.UUID `query:"machineId" required:"true"`
	Device    string    `query:"device" maxLength:"200" doc:"an unclaimed name whose kept messages are looked at; by default the machine's history"`
}

func (s *Server) legend(ctx context.Context, of LegendOf) (*telemetry.Legend, error) {
	l, err := read(ctx, s, func(db postgres.DB) (*telemetry.Legend, error) {
		return telemetry.ReadLegend(ctx, db, of.MachineID, of.Device)
	})
	if err != nil {
		return nil, err
	}
	if s.History == nil {
		return l, nil
	}
	return l, l.AddHistory(ctx, s.History)
}

func (s *Server) previewMapping(ctx context.Context, in *struct {
	LegendOf
	Raw    string `query:"raw" required:"true" maxLength:"200" doc:"the name as it is sent"`
	Signal string `query:"signal" required:"true" maxLength:"64" doc:"of the model"`
	Unit   string `query:"unit" maxLength:"64" doc:"UCUM, in which it is sent; by default the signal's"`
}) (*Answer[telemetry.MappingPreview], error) {
	l, err := s.legend(ctx, in.LegendOf)
	if err != nil {
		return nil, err
	}
	p, err := l.Preview(in.Raw, in.Signal, in.Unit)
	return answered(p, 0, err)
}

func (s *Server) listRawSignals(ctx context.Context, in *struct{ LegendOf }) (*Listed[telemetry.RawSignal], error) {
	l, err := s.legend(ctx, in.LegendOf)
	if err != nil {
		return nil, err
	}
	return whole(ctx, l.Names, nil)
}
