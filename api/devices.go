package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry/intake"
)

func devices(s *Server) {
	add(s, route{ID: "list-devices", Method: http.MethodGet, Path: "/devices", Roles: managers, EN: "Devices that may publish; never their tokens", ZH: "可发布数据的设备"}, s.listDevices)
	add(s, route{ID: "add-device", Method: http.MethodPost, Path: "/devices", Roles: managers, Status: http.StatusCreated,
		EN: "Let a device publish, or give it a new token; the token is told once", ZH: "登记设备或更换令牌；令牌只显示一次"}, s.addDevice)
	add(s, route{ID: "revoke-device", Method: http.MethodDelete, Path: "/devices/{key}", Roles: managers, Status: http.StatusNoContent, EN: "Take a device's token away", ZH: "吊销设备令牌"}, s.revokeDevice)
}

func (s *Server) listDevices(ctx context.Context, _ *struct{}) (*Listed[intake.Device], error) {
	var items []intake.Device
	err := postgres.As(ctx, s.Pool, asking(ctx), func(tx pgx.Tx) (err error) {
		items, err = intake.Devices(ctx, tx)
		return err
	})
	return whole(ctx, items, err)
}

type newDevice struct {
	Key       string     `json:"key" pattern:"^[A-Za-z0-9_-]{1,64}$" patternDescription:"1 to 64 letters, digits, _ -"`
	MachineID *uuid.UUID `json:"machineId,omitempty" doc:"the machine that it speaks for; a gateway has none"`
	Gateway   bool       `json:"gateway,omitempty" doc:"speaks for any machine"`
}

// DeviceAdded is a device's new token, which is told this once and kept as a
// digest only.
type DeviceAdded struct {
	Key   string `json:"key"`
	Token string `json:"token"`
}

// addDevice ignores an Idempotency-Key: its answer must not be kept.
func (s *Server) addDevice(ctx context.Context, in *struct{ Body newDevice }) (*Answer[DeviceAdded], error) {
	if r := requestOf(ctx); r != nil {
		r.key = nil
	}
	out, err := write(ctx, s, func(a act) (DeviceAdded, error) {
		token, err := intake.AddDevice(identity.With(ctx, a.who), a.tx, a.now, in.Body.Key, in.Body.MachineID, in.Body.Gateway)
		return DeviceAdded{Key: in.Body.Key, Token: token}, err
	})
	return answered(out, 0, err)
}

func (s *Server) revokeDevice(ctx context.Context, in *struct {
	Key string `path:"key" maxLength:"64"`
}) (*Nothing, error) {
	_, err := write(ctx, s, func(a act) (Nothing, error) {
		return Nothing{}, intake.RevokeDevice(identity.With(ctx, a.who), a.tx, a.now, in.Key)
	})
	return &Nothing{}, err
}
