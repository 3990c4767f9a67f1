package demo

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/simulate"
	"github.com/thirdstate/thirdstate/internal/accounts"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/packs"
)

func knownPacks() (map[string]*rules.Pack, error) {
	all, err := packs.All()
	if err != nil {
		return nil, fmt.Errorf("read the rule packs: %w", err)
	}
	return all, nil
}

// fleet opens the machine files, each with its owner, site, engineer in charge,
// components and calendar plan.
func (s *seeding) fleet(ctx context.Context, list []simulate.Machine) error {
	all, err := knownPacks()
	if err != nil {
		return err
	}
	kinds, makers := map[string]string{}, map[string]string{}
	for _, m := range simulate.Models() {
		kinds[m.Name], makers[m.Name] = m.Kind, m.Manufacturer
	}
	for _, m := range list {
		customer, ok := s.customers[m.Customer]
		if !ok {
			return fmt.Errorf("machine %s belongs to %q, who is nobody", m.Key, m.Customer)
		}
		row := machines.Machine{Key: m.Key, Manufacturer: makers[m.Model], Serial: m.Key, Name: m.Name, NameEN: m.NameEN, Plate: m.Plate,
			ModelID: known(s.models, m.Model), CustomerID: &customer, SiteID: known(s.sites, m.Customer+"/"+m.Site),
			ResponsibleID: s.inCharge(m, kinds[m.Model]), BuiltOn: someTime(m.BuiltOn), HandedOverOn: someTime(m.HandedOver),
			WarrantyMonths: m.WarrantyMonths, WarrantyHours: m.WarrantyHours, HasDevice: m.HasDevice, OperatingHours: someNumber(m.Hours), PumpedVolume: someNumber(m.Volume)}
		added, err := machines.AddMachine(ctx, s.db, s.now, s.who, row)
		if err != nil {
			return fmt.Errorf("add machine %s: %w", m.Key, err)
		}
		if err := s.components(ctx, added, m, all[m.Model]); err != nil {
			return err
		}
		if err := s.plan(ctx, added, kinds[m.Model]); err != nil {
			return err
		}
	}
	return nil
}

// plan gives a machine its calendar plan; the due days of the fleet are spread
// over one interval.
func (s *seeding) plan(ctx context.Context, m machines.Machine, kind string) error {
	days := map[string]int{"concrete_pump": 90, "excavator": 90, "compressor": 120, "genset": 90}[kind]
	if days == 0 {
		days = 180
	}
	due := s.now.Add(36*time.Hour + spread(m.Key+" plan", 0, time.Duration(days)*24*time.Hour)).Truncate(time.Hour)
	_, err := maintenance.AddPlan(ctx, s.db, s.now, s.who, maintenance.ServicePlan{MachineID: m.ID, Name: fmt.Sprintf("%d 天定期保养", days),
		NameEN: fmt.Sprintf("%d-day service", days), IntervalDays: days, LeadDays: 3, DueAt: due})
	if err != nil {
		return fmt.Errorf("add the plan of %s: %w", m.Key, err)
	}
	return nil
}

// inCharge finds the engineer who knows the kind of machine and lives nearest to
// its customer; the story's hero has his own.
func (s *seeding) inCharge(m simulate.Machine, kind string) *uuid.UUID {
	if m.Customer == "tongda" {
		return known(s.technicians, "chenhaibo")
	}
	best, least := "", math.Inf(1)
	for _, c := range customers {
		if c.code != m.Customer {
			continue
		}
		for _, e := range engineers {
			if !slices.ContainsFunc(e.skills, func(k skill) bool { return k.name == kind }) {
				continue
			}
			at := stationAt(e.station)
			far := math.Hypot(at.latitude-c.site.latitude, at.longitude-c.site.longitude) + float64(spread(m.Key+e.login, 0, time.Second))/float64(10*time.Second)
			if far < least {
				best, least = e.login, far
			}
		}
	}
	return known(s.technicians, best)
}

func known(ids map[string]uuid.UUID, code string) *uuid.UUID {
	if id, ok := ids[code]; ok {
		return &id
	}
	return nil
}

func someTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func someNumber(v float64) *float64 {
	if v == 0 {
		return nil
	}
	return &v
}

// spread gives a duration in [low, high) that depends on the words alone, so that
// the story is the same each time.
func spread(words string, low, high time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(words)) // a hash takes everything
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return low + time.Duration(float64(x>>11)/(1<<53)*float64(high-low))
}

// users may sign in by one click; they have no password.
func (s *seeding) users(ctx context.Context) error {
	for i, l := range logins {
		_, err := accounts.AddUser(ctx, s.db, s.now.Add(time.Duration(i)*time.Microsecond), s.who, accounts.NewUser{Login: l.login, Name: l.name, NameEN: l.nameEN,
			Role: identity.Role(l.role), CustomerID: known(s.customers, l.customer), TechnicianID: known(s.technicians, l.engineer),
			ContactID: known(s.contacts, l.name), OneClick: true, Language: "zh"})
		if err != nil {
			return fmt.Errorf("add user %s: %w", l.login, err)
		}
	}
	return nil
}
