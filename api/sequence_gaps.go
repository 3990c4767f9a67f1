package api

import (
	"context"
	"net/http"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
)

func sequenceGaps(s *Server) {
	add(s, route{ID: "list-sequence-gaps", Method: http.MethodGet, Path: "/sequence-gaps", Roles: everyone,
		EN: "Messages that were lost on the way or came late, by their sequence numbers, the newest gap first", ZH: "途中丢失或迟到的消息，按序号列出，最新在前"}, s.listSequenceGaps)
}

func (s *Server) listSequenceGaps(ctx context.Context, in *struct {
	Paged
	OfMachine
	State string `query:"state" enum:"open,filled"`
}) (*Listed[telemetry.SequenceGap], error) {
	page, err := read(ctx, s, func(db postgres.DB) (machines.Page[telemetry.SequenceGap], error) {
		return telemetry.SequenceGaps(ctx, db, telemetry.GapFilter{MachineID: in.MachineID, State: in.State, Cursor: in.Cursor, Limit: in.Limit})
	})
	return listed(ctx, page, err)
}
