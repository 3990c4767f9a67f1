package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

func intakeAccount(s *Server) {
	add(s, route{ID: "get-intake", Method: http.MethodGet, Path: "/intake", Roles: managers,
		EN: "The intake's account: received = stored + duplicates + dead letters + unclaimed + refused + waiting", ZH: "接收账目：收到 = 入库 + 重复 + 死信 + 未认领 + 拒绝 + 等待"}, s.getIntake)
	add(s, route{ID: "send-observations", Method: http.MethodPost, Path: "/observations", Roles: reporters, Status: http.StatusCreated, Body: formats.MaxPayload,
		EN: "Send what a machine reports; it is on the disk when this answers", ZH: "上报设备数据；返回时已落盘"}, s.sendObservations)
}

// Intake is the account of the intake and the log that it is about.
type Intake struct {
	telemetry.Account
	Holds bool   `json:"holds" doc:"nothing is missing and nothing was counted twice"`
	Log   string `json:"log" doc:"id of the intake log"`
	First uint64 `json:"first" doc:"oldest record that is still there"`
	Last  uint64 `json:"last" doc:"newest durable record"`

	Sequences telemetry.SequenceTotals `json:"sequences" doc:"messages that were expected by their sequence numbers"`
}

func (s *Server) getIntake(ctx context.Context, _ *struct{}) (*Answer[Intake], error) {
	var out Intake
	id := uuid.Nil
	if s.IntakeLog != nil {
		first, last := s.IntakeLog.Bounds()
		id, out.First, out.Last = s.IntakeLog.ID(), uint64(first), uint64(last)
		out.Log = id.String()
	}
	account, err := read(ctx, s, func(db postgres.DB) (account telemetry.Account, err error) {
		if out.Sequences, err = telemetry.ReadSequenceTotals(ctx, db, uuid.Nil); err != nil {
			return account, err
		}
		return telemetry.ReadAccount(ctx, db, id, out.Last)
	})
	out.Account, out.Holds = account, account.Holds()
	return answered(out, 0, err)
}

type newObservation struct {
	At     *time.Time         `json:"at,omitempty" doc:"when it was measured; by default when it arrives"`
	Boot   string             `json:"boot,omitempty" maxLength:"64" doc:"with seq: lets the same be sent again without harm"`
	Seq    *int64             `json:"seq,omitempty" minimum:"0"`
	Values map[string]float64 `json:"values" doc:"by signal, each in its canonical unit"`
}

type newObservations struct {
	Machine      string           `json:"machine" minLength:"1" maxLength:"64" doc:"key or alias"`
	Observations []newObservation `json:"observations" minItems:"1" maxItems:"1000"`
}

// Accepted says where in the log a message is.
type Accepted struct {
	LSN uint64 `json:"lsn"`
}

func (s *Server) sendObservations(ctx context.Context, in *struct{ Body newObservations }) (*Answer[Accepted], error) {
	if err := s.takesMessages(); err != nil {
		return nil, err
	}
	accepted, err := write(ctx, s, func(a act) (Accepted, error) {
		machine, err := machines.ByKey(ctx, a.tx, in.Body.Machine)
		if err != nil {
			return Accepted{}, err
		}
		record, err := ownMessage(machine.Key, a.now, in.Body.Observations)
		if err != nil {
			return Accepted{}, err
		}
		lsn, err := s.IntakeLog.AppendWait(ctx, record)
		if err != nil {
			return Accepted{}, fmt.Errorf("%w: %w", problem.New(problem.Unavailable, "the intake log takes nothing at the moment; try again"), err)
		}
		return Accepted{LSN: uint64(lsn)}, nil
	})
	return answered(accepted, 0, err)
}

// ownItem is one observation in the product's own profile.
type ownItem struct {
	At     *time.Time         `json:"ts,omitempty"`
	Boot   string             `json:"boot,omitempty"`
	Seq    *int64             `json:"seq,omitempty"`
	Values map[string]float64 `json:"values"`
}

// ownMessage is what a device of that machine would have published. What would
// become a dead letter is refused: who sends it is still there to mend it.
func ownMessage(machine string, now time.Time, list []newObservation) (intakelog.Record, error) {
	items := make([]ownItem, len(list))
	for i, o := range list {
		items[i] = ownItem(o)
	}
	payload, err := json.Marshal(items)
	if err != nil {
		return intakelog.Record{}, fmt.Errorf("write observations of %s down: %w", machine, err)
	}
	m := formats.Message{Source: "http", Topic: "fleet/" + machine + "/telemetry", Received: now, Payload: payload}
	var decoded formats.Decoded
	_, err = formats.Decode(m, &decoded)
	if fault, ok := errors.AsType[*formats.Fault](err); ok {
		decoded.Faults = append(decoded.Faults, *fault)
	}
	if len(decoded.Faults) > 0 {
		p := problem.New(problem.Invalid, "see errors")
		for _, f := range decoded.Faults {
			p = p.WithFields(problem.Field{Pointer: "/observations", Detail: f.Error()})
		}
		return intakelog.Record{}, p
	}
	return intakelog.Record{Received: now, Kind: intakelog.Message, Source: m.Source, Topic: m.Topic, Payload: payload}, nil
}
