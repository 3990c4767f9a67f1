package api

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

func programClock(s *Server) {
	add(s, route{ID: "get-clock", Method: http.MethodGet, Path: "/clock", Roles: everyone, EN: "The program clock", ZH: "程序时钟"}, s.getClock)
}

// ClockReading is what the program clock shows and how fast it runs.
type ClockReading struct {
	Now   time.Time `json:"now"`
	Speed float64   `json:"speed" doc:"program seconds a wall second"`
}

func (s *Server) getClock(context.Context, *struct{}) (*Answer[ClockReading], error) {
	r := s.Clock.Read()
	return answered(ClockReading{r.Program, r.Speed}, 0, nil)
}

func days(d time.Duration) string { return strconv.Itoa(int(d.Hours()/24)) + " days" }
