package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

func sites(s *Server) {
	add(s, route{ID: "list-sites", Method: http.MethodGet, Path: "/sites", Roles: everyone, EN: "Sites where machines work", ZH: "工地列表"}, s.listSites)
	add(s, route{ID: "add-site", Method: http.MethodPost, Path: "/sites", Roles: managers, Status: http.StatusCreated, EN: "Add a site", ZH: "新增工地"}, s.addSite)
}

func contacts(s *Server) {
	add(s, route{ID: "list-contacts", Method: http.MethodGet, Path: "/contacts", Roles: everyone, EN: "People on the customer's side", ZH: "联系人列表"}, s.listContacts)
	add(s, route{ID: "add-contact", Method: http.MethodPost, Path: "/contacts", Roles: office, Status: http.StatusCreated, EN: "Add a contact", ZH: "新增联系人"}, s.addContact)
}

func (s *Server) listSites(ctx context.Context, in *OfCustomer) (*Listed[machines.Site], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]machines.Site, error) { return machines.Sites(ctx, db, someID(in.CustomerID)) })
	return whole(ctx, items, err)
}

type newSite struct {
	CustomerID uuid.UUID `json:"customerId"`
	Name       string    `json:"name" minLength:"1" maxLength:"200"`
	NameEN     string    `json:"nameEn,omitempty" maxLength:"200"`
	Latitude   *float64  `json:"latitude,omitempty" minimum:"-90" maximum:"90"`
	Longitude  *float64  `json:"longitude,omitempty" minimum:"-180" maximum:"180"`
	TimeZone   string    `json:"timeZone,omitempty" maxLength:"64" default:"Asia/Shanghai"`
}

func (s *Server) addSite(ctx context.Context, in *struct{ Body newSite }) (*Answer[machines.Site], error) {
	b := in.Body
	site, err := write(ctx, s, func(a act) (machines.Site, error) {
		return machines.AddSite(ctx, a.tx, a.now, a.who, machines.Site{CustomerID: b.CustomerID, Name: b.Name, NameEN: b.NameEN,
			Latitude: b.Latitude, Longitude: b.Longitude, TimeZone: b.TimeZone})
	})
	return answered(site, 0, err)
}

func (s *Server) listContacts(ctx context.Context, in *OfCustomer) (*Listed[machines.Contact], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]machines.Contact, error) {
		return machines.Contacts(ctx, db, someID(in.CustomerID))
	})
	return whole(ctx, items, err)
}

type newContact struct {
	CustomerID   uuid.UUID `json:"customerId"`
	Name         string    `json:"name" minLength:"1" maxLength:"200"`
	NameEN       string    `json:"nameEn,omitempty" maxLength:"200"`
	Salutation   string    `json:"salutation,omitempty" maxLength:"100"`
	SalutationEN string    `json:"salutationEn,omitempty" maxLength:"100"`
	Capacity     string    `json:"capacity" enum:"owner,operator,manager,legal,representative,finance"`
	Phone        string    `json:"phone,omitempty" pattern:"^\\+?[0-9]{3,15}$" patternDescription:"a phone number, best as +86..."`
	Language     string    `json:"language,omitempty" enum:"zh,en" default:"zh"`
}

func (s *Server) addContact(ctx context.Context, in *struct{ Body newContact }) (*Answer[machines.Contact], error) {
	b := in.Body
	c, err := write(ctx, s, func(a act) (machines.Contact, error) {
		return machines.AddContact(ctx, a.tx, a.now, a.who, machines.Contact{CustomerID: b.CustomerID, Name: b.Name, NameEN: b.NameEN,
			Salutation: b.Salutation, SalutationEN: b.SalutationEN, Capacity: b.Capacity, Phone: b.Phone, Language: b.Language})
	})
	return answered(c, 0, err)
}
