package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/accounts"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
)

func users(s *Server) {
	add(s, route{ID: "list-users", Method: http.MethodGet, Path: "/users", Roles: admins, EN: "People who may sign in", ZH: "用户列表"}, s.listUsers)
	add(s, route{ID: "add-user", Method: http.MethodPost, Path: "/users", Roles: admins, Status: http.StatusCreated, EN: "Let somebody sign in", ZH: "新增用户"}, s.addUser)
	add(s, route{ID: "disable-user", Method: http.MethodPost, Path: "/users/{id}/disable", Roles: admins, Status: http.StatusNoContent, EN: "Shut somebody out", ZH: "停用用户"}, s.disableUser)
}

func tokens(s *Server) {
	add(s, route{ID: "list-tokens", Method: http.MethodGet, Path: "/tokens", Roles: admins, EN: "API tokens; never the secret itself", ZH: "令牌列表"}, s.listTokens)
	add(s, route{ID: "create-token", Method: http.MethodPost, Path: "/tokens", Roles: admins, Status: http.StatusCreated, EN: "Create a token; the secret is told once", ZH: "创建令牌；密文只显示一次"}, s.createToken)
	add(s, route{ID: "revoke-token", Method: http.MethodDelete, Path: "/tokens/{id}", Roles: admins, Status: http.StatusNoContent, EN: "Revoke a token", ZH: "吊销令牌"}, s.revokeToken)
}

func (s *Server) listUsers(ctx context.Context, _ *struct{}) (*Listed[accounts.User], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]accounts.User, error) { return accounts.Users(ctx, db) })
	return whole(ctx, items, err)
}

type newUser struct {
	Login        string     `json:"login" minLength:"1" maxLength:"100"`
	Name         string     `json:"name" minLength:"1" maxLength:"100"`
	NameEN       string     `json:"nameEn,omitempty" maxLength:"100"`
	Role         string     `json:"role" enum:"admin,service-manager,dispatcher,field-engineer,call-centre,owner-admin,owner-viewer,customer-representative"`
	CustomerID   *uuid.UUID `json:"customerId,omitempty" doc:"of owners and representatives"`
	TechnicianID *uuid.UUID `json:"technicianId,omitempty" doc:"of field engineers"`
	ContactID    *uuid.UUID `json:"contactId,omitempty"`
	Password     string     `json:"password" minLength:"12" maxLength:"128"`
	Language     string     `json:"language,omitempty" enum:"zh,en" default:"zh"`
}

func (s *Server) addUser(ctx context.Context, in *struct{ Body newUser }) (*Answer[accounts.User], error) {
	b := in.Body
	u, err := write(ctx, s, func(a act) (accounts.User, error) {
		return accounts.AddUser(ctx, a.tx, a.now, a.who, accounts.NewUser{Login: b.Login, Name: b.Name, NameEN: b.NameEN, Role: identity.Role(b.Role), CustomerID: b.CustomerID,
			TechnicianID: b.TechnicianID, ContactID: b.ContactID, Password: b.Password, Language: b.Language})
	})
	return answered(u, 0, err)
}

func (s *Server) disableUser(ctx context.Context, in *ByID) (*Nothing, error) {
	_, err := write(ctx, s, func(a act) (Nothing, error) {
		return Nothing{}, accounts.Disable(ctx, a.tx, a.now, a.who, in.ID)
	})
	return &Nothing{}, err
}

func (s *Server) listTokens(ctx context.Context, _ *struct{}) (*Listed[accounts.Token], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]accounts.Token, error) { return accounts.Tokens(ctx, db) })
	return whole(ctx, items, err)
}

type newToken struct {
	Name         string     `json:"name" minLength:"1" maxLength:"100"`
	Role         string     `json:"role" enum:"admin,service-manager,dispatcher,field-engineer,call-centre,owner-admin,owner-viewer,customer-representative"`
	CustomerID   *uuid.UUID `json:"customerId,omitempty" doc:"of owners and representatives"`
	TechnicianID *uuid.UUID `json:"technicianId,omitempty" doc:"of field engineers"`
	ExpiresAt    *time.Time `json:"expiresAt,omitempty" doc:"by the program clock"`
}

// TokenCreated is a new token with its secret, which is told this once and kept
// as a digest only.
type TokenCreated struct {
	Token  accounts.Token `json:"token"`
	Secret string         `json:"secret"`
}

// createToken ignores an Idempotency-Key: its answer must not be kept.
func (s *Server) createToken(ctx context.Context, in *struct{ Body newToken }) (*Answer[TokenCreated], error) {
	b := in.Body
	if r := requestOf(ctx); r != nil {
		r.key = nil
	}
	out, err := write(ctx, s, func(a act) (out TokenCreated, err error) {
		out.Secret, out.Token, err = accounts.CreateToken(ctx, a.tx, a.now, a.who, accounts.NewToken{Name: b.Name, Role: identity.Role(b.Role), CustomerID: b.CustomerID,
			TechnicianID: b.TechnicianID, ExpiresAt: b.ExpiresAt})
		return out, err
	})
	return answered(out, 0, err)
}

func (s *Server) revokeToken(ctx context.Context, in *ByID) (*Nothing, error) {
	_, err := write(ctx, s, func(a act) (Nothing, error) {
		return Nothing{}, accounts.RevokeToken(ctx, a.tx, a.now, a.who, in.ID)
	})
	return &Nothing{}, err
}
