package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/maintenance"
)

func overviews(s *Server) {
	add(s, route{ID: "get-today", Method: http.MethodGet, Path: "/today", Roles: office, EN: "What needs somebody today", ZH: "今日看板"}, s.getToday)
	add(s, route{ID: "get-fault-to-fix", Method: http.MethodGet, Path: "/fault-to-fix", Roles: managers, EN: "Where the hours go between fault and satisfied customer", ZH: "从隐患到满意的用时"}, s.getFaultToFix)
	add(s, route{ID: "get-meeting-pack", Method: http.MethodGet, Path: "/meetings/pack", Roles: packers, EN: "The pack of the monthly representatives' meeting", ZH: "月度代表会议资料"}, s.getMeetingPack)
}

func (s *Server) getToday(ctx context.Context, _ *struct{}) (*Answer[maintenance.TodayBoard], error) {
	board, err := read(ctx, s, func(db postgres.DB) (maintenance.TodayBoard, error) { return maintenance.Today(ctx, db, s.Clock.Now()) })
	return answered(board, 0, err)
}

func (s *Server) getFaultToFix(ctx context.Context, in *struct {
	From time.Time `query:"from" doc:"by default 30 days ago"`
	To   time.Time `query:"to" doc:"by default now"`
}) (*Answer[maintenance.FixReport], error) {
	to := orTime(in.To, s.Clock.Now())
	from := orTime(in.From, to.Add(-30*24*time.Hour))
	if err := checkSpan(from, to, 366*24*time.Hour); err != nil {
		return nil, err
	}
	report, err := read(ctx, s, func(db postgres.DB) (maintenance.FixReport, error) { return maintenance.FaultToFix(ctx, db, from, to) })
	return answered(report, 0, err)
}

func (s *Server) getMeetingPack(ctx context.Context, in *struct {
	Month      string    `query:"month" pattern:"^[0-9]{4}-(0[1-9]|1[0-2])$" patternDescription:"a month as 2026-05" doc:"by default this month"`
	CustomerID uuid.UUID `query:"customerId" doc:"by default all that the caller may see"`
}) (*Answer[maintenance.Pack], error) {
	now, who := s.Clock.Now(), asking(ctx)
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	if in.Month != "" {
		var err error
		if month, err = time.Parse("2006-01", in.Month); err != nil {
			return nil, problem.New(problem.Invalid, "month is no month")
		}
	}
	customer := someID(in.CustomerID)
	if who.Role.CustomerScoped() {
		if customer != nil && *customer != who.CustomerID {
			return nil, problem.New(problem.NotFound, "no such customer")
		}
		customer = &who.CustomerID
	}
	pack, err := maintenance.MeetingPack(ctx, s.Pool, who, now, month, customer)
	return answered(pack, 0, err)
}

// asking is who asks; authenticate has put it there.
func asking(ctx context.Context) identity.Principal {
	who, _ := identity.From(ctx)
	return who
}

func orTime(t, otherwise time.Time) time.Time {
	if t.IsZero() {
		return otherwise
	}
	return t.UTC()
}

func checkSpan(from, to time.Time, most time.Duration) error {
	switch {
	case !from.Before(to):
		return problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/from", Detail: "must lie before to"})
	case to.Sub(from) > most:
		return problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/from", Detail: "the span is longer than " + days(most)})
	}
	return nil
}
