package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

func models(s *Server) {
	add(s, route{ID: "list-models", Method: http.MethodGet, Path: "/models", Roles: everyone, EN: "Makes and types of machine", ZH: "机型列表"}, s.listModels)
	add(s, route{ID: "add-model", Method: http.MethodPost, Path: "/models", Roles: managers, Status: http.StatusCreated, EN: "Add a model", ZH: "新增机型"}, s.addModel)
}

func signals(s *Server) {
	add(s, route{ID: "list-signals", Method: http.MethodGet, Path: "/signals", Roles: everyone, EN: "The named quantities of a model", ZH: "机型的信号列表"}, s.listSignals)
	add(s, route{ID: "add-signals", Method: http.MethodPost, Path: "/signals", Roles: managers, Status: http.StatusCreated, EN: "Add signals to a model", ZH: "为机型新增信号"}, s.addSignals)
}

func (s *Server) listModels(ctx context.Context, _ *struct{}) (*Listed[machines.Model], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]machines.Model, error) { return machines.Models(ctx, db) })
	return whole(ctx, items, err)
}

type newModel struct {
	Manufacturer string `json:"manufacturer" minLength:"1" maxLength:"100"`
	Name         string `json:"name" minLength:"1" maxLength:"100"`
	Kind         string `json:"kind" minLength:"1" maxLength:"50" doc:"concrete_pump, excavator, compressor, genset ..."`
	Label        string `json:"label,omitempty" maxLength:"100"`
	LabelEN      string `json:"labelEn,omitempty" maxLength:"100"`
	Pack         string `json:"pack,omitempty" maxLength:"100" doc:"rule pack that watches this model"`
}

func (s *Server) addModel(ctx context.Context, in *struct{ Body newModel }) (*Answer[machines.Model], error) {
	b := in.Body
	m, err := write(ctx, s, func(a act) (machines.Model, error) {
		added, err := machines.AddModel(ctx, a.tx, a.now, a.who, machines.Model{Manufacturer: b.Manufacturer, Name: b.Name, Kind: b.Kind, Label: b.Label, LabelEN: b.LabelEN, Pack: b.Pack})
		if err != nil || s.Fleet == nil {
			return added, err
		}
		return added, s.Fleet.NameSignals(ctx, a.tx, a.now, a.who)
	})
	return answered(m, 0, err)
}

func (s *Server) listSignals(ctx context.Context, in *struct {
	ModelID uuid.UUID `query:"modelId" required:"true"`
}) (*Listed[machines.Signal], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]machines.Signal, error) { return machines.Signals(ctx, db, in.ModelID) })
	return whole(ctx, items, err)
}

type newSignal struct {
	Name     string   `json:"name" pattern:"^[A-Za-z0-9_.-]{1,64}$" patternDescription:"1 to 64 letters, digits, _ . -"`
	Label    string   `json:"label,omitempty" maxLength:"100"`
	LabelEN  string   `json:"labelEn,omitempty" maxLength:"100"`
	Unit     string   `json:"unit,omitempty" maxLength:"32" doc:"UCUM"`
	Role     string   `json:"role,omitempty" enum:"condition,context,ignore" default:"condition"`
	Low      *float64 `json:"low,omitempty"`
	High     *float64 `json:"high,omitempty"`
	Position int      `json:"position,omitempty" minimum:"0" maximum:"10000"`
}

type newSignals struct {
	ModelID uuid.UUID   `json:"modelId"`
	Signals []newSignal `json:"signals" minItems:"1" maxItems:"500"`
}

func (s *Server) addSignals(ctx context.Context, in *struct{ Body newSignals }) (*Listed[machines.Signal], error) {
	items := make([]machines.Signal, 0, len(in.Body.Signals))
	for _, n := range in.Body.Signals {
		items = append(items, machines.Signal{ModelID: in.Body.ModelID, Name: n.Name, Label: n.Label, LabelEN: n.LabelEN, Unit: n.Unit, Role: n.Role,
			Low: n.Low, High: n.High, Position: n.Position})
	}
	added, err := write(ctx, s, func(a act) ([]machines.Signal, error) {
		return machines.AddSignals(ctx, a.tx, a.now, a.who, in.Body.ModelID, items)
	})
	return whole(ctx, added, err)
}
