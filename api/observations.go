package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/history"
)

func observations(s *Server) {
	add(s, route{ID: "list-observations", Method: http.MethodGet, Path: "/observations", Roles: everyone,
		EN: "What a machine reported, one series a signal", ZH: "设备遥测历史，每个信号一条曲线"}, s.listObservations)
}

// Series is one signal over time; where more is stored than was asked for, each
// point is a span of time with its mean, lowest and highest value.
type Series struct {
	Signal string      `json:"signal"`
	At     []time.Time `json:"at" doc:"the instant, or the start of the span"`
	Mean   []float64   `json:"mean"`
	Low    []float64   `json:"low"`
	High   []float64   `json:"high"`
}

// defaultSpan is how far back a history goes for which no start was given.
const defaultSpan = 24 * time.Hour

type historyQuery struct {
	MachineID uuid.UUID `query:"machineId" required:"true"`
	Signals   []string  `query:"signals" maxItems:"50" doc:"by default all"`
	From      time.Time `query:"from" doc:"included; by default a day before to"`
	To        time.Time `query:"to" doc:"not included; by default now"`
	Points    int       `query:"points" minimum:"1" maximum:"5000" default:"1000" doc:"at most, for each signal"`
}

func (s *Server) listObservations(ctx context.Context, in *historyQuery) (*Listed[Series], error) {
	if s.History == nil {
		return nil, problem.New(problem.Unavailable, "there is no history")
	}
	machine, err := read(ctx, s, func(db postgres.DB) (machines.Machine, error) { return machines.Get(ctx, db, in.MachineID) })
	if err != nil {
		return nil, err
	}
	if in.To.IsZero() {
		in.To = s.Clock.Now()
	}
	if in.From.IsZero() {
		in.From = in.To.Add(-defaultSpan)
	}
	found, err := s.History.Range(ctx, history.Query{Machine: history.Ref{Key: machine.Key, No: machine.No}, Signals: in.Signals,
		From: in.From.UTC(), To: in.To.UTC(), MaxPoints: in.Points})
	items := make([]Series, 0, len(found))
	for _, one := range found {
		items = append(items, Series(one))
	}
	return whole(ctx, items, err)
}
