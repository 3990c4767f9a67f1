package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/simulate"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/detection"
)

// seeding is one seeding: what has been made so far, by its code.
type seeding struct {
	db          postgres.DB
	now         time.Time
	who         identity.Principal
	branch      uuid.UUID
	stations    map[string]uuid.UUID
	technicians map[string]uuid.UUID // by login
	customers   map[string]uuid.UUID
	sites       map[string]uuid.UUID // by customer and site
	contacts    map[string]uuid.UUID // by name
	models      map[string]uuid.UUID
}

// seed makes the organisation, its customers and their machines, in one
// transaction: a demo is seeded or it is not.
func (d *Demo) seed(ctx context.Context) error {
	return postgres.As(ctx, d.Pool, identity.Program("demo"), func(tx pgx.Tx) error {
		s := &seeding{db: tx, now: d.ledger.Start, who: identity.Program("demo"), stations: map[string]uuid.UUID{}, technicians: map[string]uuid.UUID{},
			customers: map[string]uuid.UUID{}, sites: map[string]uuid.UUID{}, contacts: map[string]uuid.UUID{}, models: map[string]uuid.UUID{}}
		for _, part := range []func(context.Context) error{
			s.organisation, s.engineers, s.parts, s.clients, s.users, s.kinds,
			func(ctx context.Context) error { return s.fleet(ctx, fleetOf(d.ledger.Start, d.ledger.Machines)) },
		} {
			if err := part(ctx); err != nil {
				return err
			}
		}
		return d.ledger.write(ctx, tx)
	})
}

const addUnitSQL = `INSERT INTO org_unit (id, parent_id, kind, name, name_en, latitude, longitude)
VALUES (@id, @parent, @kind, @name, @name_en, @latitude, @longitude)`

func (s *seeding) unit(ctx context.Context, parent *uuid.UUID, kind, name, nameEN string, at *place) (uuid.UUID, error) {
	id := postgres.NewID()
	args := pgx.NamedArgs{"id": id, "parent": parent, "kind": kind, "name": name, "name_en": nameEN, "latitude": nil, "longitude": nil}
	if at != nil {
		args["latitude"], args["longitude"] = at.latitude, at.longitude
	}
	if _, err := postgres.Run(ctx, s.db, addUnitSQL, args); err != nil {
		return id, fmt.Errorf("add %s: %w", nameEN, err)
	}
	return id, nil
}

func (s *seeding) organisation(ctx context.Context) error {
	maker, err := s.unit(ctx, nil, "organisation", "北辰", "Beichen", nil)
	if err != nil {
		return err
	}
	if s.branch, err = s.unit(ctx, &maker, "branch", "湖南分公司", "Hunan branch", nil); err != nil {
		return err
	}
	dealer, err := s.unit(ctx, &s.branch, "dealer", "湘南工机", "Xiangnan Machinery", nil)
	if err != nil {
		return err
	}
	for _, p := range stations {
		parent := s.branch
		if p.code == "hengyang" || p.code == "chenzhou" {
			parent = dealer
		}
		if s.stations[p.code], err = s.unit(ctx, &parent, "station", p.name, p.nameEN, &p); err != nil {
			return err
		}
	}
	return nil
}

const addTechnicianSQL = `INSERT INTO technician (id, name, name_en, phone, station_id, latitude, longitude)
VALUES (@id, @name, @name_en, @phone, @station, @latitude, @longitude)`

const addSkillSQL = `INSERT INTO technician_skill (technician_id, skill, level, valid_until) VALUES (@technician, @skill, @level, @until)`

func (s *seeding) engineers(ctx context.Context) error {
	for _, e := range engineers {
		id := postgres.NewID()
		at := stationAt(e.station)
		if elsewhere, ok := away[e.login]; ok {
			at = elsewhere
		}
		_, err := postgres.Run(ctx, s.db, addTechnicianSQL, pgx.NamedArgs{"id": id, "name": e.name, "name_en": e.nameEN, "phone": e.phone,
			"station": s.stations[e.station], "latitude": at.latitude, "longitude": at.longitude})
		if err != nil {
			return fmt.Errorf("add engineer %s: %w", e.nameEN, err)
		}
		s.technicians[e.login] = id
		for _, k := range e.skills {
			until, err := time.Parse(time.DateOnly, k.validUntil)
			if err != nil {
				return fmt.Errorf("skill of %s: %w", e.nameEN, err)
			}
			_, err = postgres.Run(ctx, s.db, addSkillSQL, pgx.NamedArgs{"technician": id, "skill": k.name, "level": k.level, "until": until})
			if err != nil {
				return fmt.Errorf("add skill %s of %s: %w", k.name, e.nameEN, err)
			}
		}
	}
	return nil
}

func stationAt(code string) place {
	for _, p := range stations {
		if p.code == code {
			return p
		}
	}
	return stations[0]
}

const (
	addPartSQL  = `INSERT INTO part (id, number, name, name_en) VALUES (@id, @number, @name, @name_en)`
	addStockSQL = `INSERT INTO part_stock (part_id, station_id, technician_id, quantity, minimum) VALUES (@part, @station, @technician, @quantity, @minimum)`
)

func (s *seeding) parts(ctx context.Context) error {
	for _, p := range spareParts {
		id := postgres.NewID()
		if _, err := postgres.Run(ctx, s.db, addPartSQL, pgx.NamedArgs{"id": id, "number": p.number, "name": p.name, "name_en": p.nameEN}); err != nil {
			return fmt.Errorf("add part %s: %w", p.number, err)
		}
		for _, station := range stations {
			if n := p.stock[station.code]; n > 0 {
				if err := s.stock(ctx, pgx.NamedArgs{"part": id, "station": s.stations[station.code], "technician": nil, "quantity": n, "minimum": 1}); err != nil {
					return err
				}
			}
		}
		for _, e := range engineers {
			if n := e.vanParts[p.number]; n > 0 {
				if err := s.stock(ctx, pgx.NamedArgs{"part": id, "station": nil, "technician": s.technicians[e.login], "quantity": n, "minimum": 0}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *seeding) stock(ctx context.Context, args pgx.NamedArgs) error {
	if _, err := postgres.Run(ctx, s.db, addStockSQL, args); err != nil {
		return fmt.Errorf("add stock: %w", err)
	}
	return nil
}

func (s *seeding) clients(ctx context.Context) error {
	for _, c := range customers {
		added, err := machines.AddCustomer(ctx, s.db, s.now, s.who, machines.Customer{Name: c.name, NameEN: c.nameEN, Tier: c.tier, Language: "zh"})
		if err != nil {
			return fmt.Errorf("add customer %s: %w", c.nameEN, err)
		}
		s.customers[c.code] = added.ID
		site, err := machines.AddSite(ctx, s.db, s.now, s.who, machines.Site{CustomerID: added.ID, Name: c.site.name, NameEN: c.site.nameEN,
			Latitude: &c.site.latitude, Longitude: &c.site.longitude, TimeZone: "Asia/Shanghai"})
		if err != nil {
			return fmt.Errorf("add site %s: %w", c.site.nameEN, err)
		}
		s.sites[c.code+"/"+c.site.code] = site.ID
		for _, p := range c.people {
			person, err := machines.AddContact(ctx, s.db, s.now, s.who, machines.Contact{CustomerID: added.ID, Name: p.name, NameEN: p.nameEN,
				Salutation: p.salutation, SalutationEN: p.salutationEN, Capacity: p.capacity, Phone: p.phone, Language: "zh"})
			if err != nil {
				return fmt.Errorf("add contact %s: %w", p.nameEN, err)
			}
			s.contacts[p.name] = person.ID
		}
	}
	return nil
}

// kinds adds the models and the signals that their rule packs know.
func (s *seeding) kinds(ctx context.Context) error {
	packs, err := knownPacks()
	if err != nil {
		return err
	}
	for _, m := range simulate.Models() {
		added, err := machines.AddModel(ctx, s.db, s.now, s.who, machines.Model{Manufacturer: m.Manufacturer, Name: m.Name, Kind: m.Kind, Label: m.Label, LabelEN: m.LabelEN, Pack: m.Name})
		if err != nil {
			return fmt.Errorf("add model %s: %w", m.Name, err)
		}
		s.models[m.Name] = added.ID
	}
	if err := detection.NewFleet(packs).NameSignals(ctx, s.db, s.now, s.who); err != nil {
		return err
	}
	return nil
}
