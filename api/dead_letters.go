package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
)

func deadLetters(s *Server) {
	add(s, route{ID: "list-dead-letters", Method: http.MethodGet, Path: "/dead-letters", Roles: managers,
		EN: "Messages and parts of messages that could not be used, newest first", ZH: "无法使用的消息（死信），最新在前"}, s.listDeadLetters)
	add(s, route{ID: "list-dead-letter-groups", Method: http.MethodGet, Path: "/dead-letters/groups", Roles: managers,
		EN: "Open dead letters counted by source, decoder and reason", ZH: "按来源、解码器和原因统计的未处理死信"}, s.listDeadLetterGroups)
	add(s, route{ID: "replay-dead-letter-group", Method: http.MethodPost, Path: "/dead-letters/groups/replay", Roles: managers,
		EN: "Write the messages of all open letters with one source, decoder and reason to the intake log again, and see what fails again", ZH: "将同一来源、解码器和原因的未处理死信全部重新写入接收日志"}, s.replayDeadLetterGroup)
	add(s, route{ID: "discard-dead-letter-group", Method: http.MethodPost, Path: "/dead-letters/groups/discard", Roles: managers,
		EN: "Settle all open letters with one source, decoder and reason as of no use", ZH: "说明理由后丢弃同一来源、解码器和原因的全部死信"}, s.discardDeadLetterGroup)
	add(s, route{ID: "get-dead-letter", Method: http.MethodGet, Path: "/dead-letters/{id}", Roles: managers, EN: "One dead letter with its bytes", ZH: "死信及其原始字节"}, s.getDeadLetter)
	add(s, route{ID: "replay-dead-letter", Method: http.MethodPost, Path: "/dead-letters/{id}/replay", Roles: managers, Status: http.StatusNoContent,
		EN: "Write the message to the intake log again", ZH: "将消息重新写入接收日志"}, s.replayDeadLetter)
	add(s, route{ID: "discard-dead-letter", Method: http.MethodPost, Path: "/dead-letters/{id}/discard", Roles: managers, Status: http.StatusNoContent,
		EN: "Settle a dead letter as of no use, with the reason", ZH: "说明理由后丢弃死信"}, s.discardDeadLetter)
}

type letterFilter struct {
	Paged
	State  string `query:"state" enum:"open,replayed,discarded"`
	Reason string `query:"reason" maxLength:"40" doc:"code such as E_JSON_SYNTAX"`
	Device string `query:"device" maxLength:"200"`
}

func (s *Server) listDeadLetters(ctx context.Context, in *letterFilter) (*Listed[telemetry.DeadLetter], error) {
	before, err := letterCursor(in.Cursor)
	if err != nil {
		return nil, err
	}
	page, err := read(ctx, s, func(db postgres.DB) (machines.Page[telemetry.DeadLetter], error) {
		limit := machines.PageLimit(in.Limit)
		letters, err := telemetry.DeadLetters(ctx, db, telemetry.DeadLetterFilter{State: in.State, Reason: in.Reason, Device: in.Device, Before: before, Limit: limit + 1})
		return machines.PageOf(letters, limit, func(d telemetry.DeadLetter) string { return machines.EncodeCursor(strconv.FormatInt(d.ID, 10)) }), err
	})
	return listed(ctx, page, err)
}

// letterCursor is the id below which a page goes on, 0 for the first page.
func letterCursor(cursor string) (int64, error) {
	parts, err := machines.DecodeCursor(cursor, 1)
	if err != nil || len(parts) == 0 {
		return 0, err
	}
	id, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil || id < 1 {
		return 0, problem.New(problem.Invalid, "the cursor is none of ours").WithFields(problem.Field{Pointer: "/cursor", Detail: "unknown"})
	}
	return id, nil
}

func (s *Server) listDeadLetterGroups(ctx context.Context, _ *struct{}) (*Listed[telemetry.DeadLetterGroup], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]telemetry.DeadLetterGroup, error) { return telemetry.DeadLetterGroups(ctx, db) })
	return whole(ctx, items, err)
}

// replayDeadLetterGroup is no single transaction: a key that comes again finds
// nothing left to settle.
func (s *Server) replayDeadLetterGroup(ctx context.Context, in *struct{ Body telemetry.LetterGroup }) (*Answer[telemetry.GroupReplay], error) {
	if err := s.takesMessages(); err != nil {
		return nil, err
	}
	who, _ := identity.From(ctx)
	out, err := telemetry.ReplayGroup(ctx, s.Pool, s.IntakeLog, s.Clock, who, in.Body)
	return answered(out, 0, err)
}

type discardGroup struct {
	telemetry.LetterGroup
	Why string `json:"why" minLength:"1" maxLength:"300" doc:"kept with each letter"`
}

func (s *Server) discardDeadLetterGroup(ctx context.Context, in *struct{ Body discardGroup }) (*Answer[telemetry.GroupDiscard], error) {
	who, _ := identity.From(ctx)
	out, err := telemetry.DiscardGroup(ctx, s.Pool, s.Clock, who, in.Body.LetterGroup, in.Body.Why)
	return answered(out, 0, err)
}

// ByNumber names one thing by its number.
type ByNumber struct {
	ID int64 `path:"id" minimum:"1"`
}

func (s *Server) getDeadLetter(ctx context.Context, in *ByNumber) (*Answer[telemetry.DeadLetter], error) {
	letter, err := read(ctx, s, func(db postgres.DB) (telemetry.DeadLetter, error) { return telemetry.GetDeadLetter(ctx, db, in.ID) })
	return answered(letter, 0, err)
}

func (s *Server) replayDeadLetter(ctx context.Context, in *ByNumber) (*Nothing, error) {
	if err := s.takesMessages(); err != nil {
		return nil, err
	}
	_, err := write(ctx, s, func(a act) (Nothing, error) {
		return Nothing{}, telemetry.ReplayDeadLetter(ctx, a.tx, s.IntakeLog, a.now, a.who, in.ID)
	})
	return &Nothing{}, err
}

type discard struct {
	Reason string `json:"reason" minLength:"1" maxLength:"300"`
}

func (s *Server) discardDeadLetter(ctx context.Context, in *struct {
	ByNumber
	Body discard
}) (*Nothing, error) {
	_, err := write(ctx, s, func(a act) (Nothing, error) {
		return Nothing{}, telemetry.DiscardDeadLetter(ctx, a.tx, a.now, a.who, in.ID, in.Body.Reason)
	})
	return &Nothing{}, err
}

// takesMessages says why nothing can be written to the intake log.
func (s *Server) takesMessages() error {
	if s.IntakeLog == nil {
		return problem.New(problem.Unavailable, "this server has no intake log")
	}
	return nil
}
