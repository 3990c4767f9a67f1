package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

func customers(s *Server) {
	add(s, route{ID: "list-customers", Method: http.MethodGet, Path: "/customers", Roles: everyone, EN: "Customers", ZH: "客户列表"}, s.listCustomers)
	add(s, route{ID: "get-customer", Method: http.MethodGet, Path: "/customers/{id}", Roles: everyone, EN: "One customer", ZH: "客户"}, s.getCustomer)
	add(s, route{ID: "add-customer", Method: http.MethodPost, Path: "/customers", Roles: managers, Status: http.StatusCreated, EN: "Add a customer", ZH: "新增客户"}, s.addCustomer)
}

func (s *Server) listCustomers(ctx context.Context, _ *struct{}) (*Listed[machines.Customer], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]machines.Customer, error) { return machines.Customers(ctx, db) })
	return whole(ctx, items, err)
}

func (s *Server) getCustomer(ctx context.Context, in *struct {
	ByID
	Cached
}) (*Answer[machines.Customer], error) {
	c, err := read(ctx, s, func(db postgres.DB) (machines.Customer, error) { return machines.GetCustomer(ctx, db, in.ID) })
	return unlessSeen(in.Cached, c, 0, err)
}

type newCustomer struct {
	Name     string `json:"name" minLength:"1" maxLength:"200"`
	NameEN   string `json:"nameEn,omitempty" maxLength:"200"`
	Tier     string `json:"tier,omitempty" enum:"A,B,C" default:"B"`
	Language string `json:"language,omitempty" enum:"zh,en" default:"zh"`
}

func (s *Server) addCustomer(ctx context.Context, in *struct{ Body newCustomer }) (*Answer[machines.Customer], error) {
	c, err := write(ctx, s, func(a act) (machines.Customer, error) {
		return machines.AddCustomer(ctx, a.tx, a.now, a.who, machines.Customer{Name: in.Body.Name, NameEN: in.Body.NameEN, Tier: in.Body.Tier, Language: in.Body.Language})
	})
	return answered(c, 0, err)
}

// OfCustomer narrows a list to one customer.
type OfCustomer struct {
	CustomerID uuid.UUID `query:"customerId"`
}
