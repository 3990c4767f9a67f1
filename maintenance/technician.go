package maintenance

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance/dispatch"
)

const techniciansSQL = `SELECT t.id, t.name, t.name_en, t.phone, t.station_id, t.latitude, t.longitude, t.active,
  coalesce(u.name, '') AS station_name, coalesce(u.name_en, '') AS station_name_en,
  (SELECT count(*) FROM work_order o WHERE o.technician_id = t.id AND o.state IN ('dispatched', 'accepted', 'en_route', 'on_site')) AS open_orders
FROM technician t LEFT JOIN org_unit u ON u.id = t.station_id ORDER BY t.name, t.id LIMIT 1000`

type skillRow struct {
	TechnicianID uuid.UUID `db:"technician_id"`
	Skill
}

const skillsSQL = `SELECT technician_id, skill, level, valid_until FROM technician_skill ORDER BY technician_id, skill`

type vanRow struct {
	TechnicianID uuid.UUID `db:"technician_id"`
	Number       string    `db:"number"`
	Quantity     int       `db:"quantity"`
}

const vansSQL = `SELECT s.technician_id, p.number, s.quantity FROM part_stock s JOIN part p ON p.id = s.part_id WHERE s.technician_id IS NOT NULL AND s.quantity > 0`

// Technicians lists the engineers with skills, van stock and load.
func Technicians(ctx context.Context, db postgres.DB) ([]TechnicianRow, error) {
	rows, err := postgres.All[TechnicianRow](ctx, db, techniciansSQL, nil)
	if err != nil {
		return nil, fmt.Errorf("list technicians: %w", err)
	}
	skills, err := postgres.All[skillRow](ctx, db, skillsSQL, nil)
	if err != nil {
		return nil, fmt.Errorf("list skills: %w", err)
	}
	vans, err := postgres.All[vanRow](ctx, db, vansSQL, nil)
	if err != nil {
		return nil, fmt.Errorf("list van stock: %w", err)
	}
	at := make(map[uuid.UUID]*TechnicianRow, len(rows))
	for i := range rows {
		rows[i].Skills, rows[i].VanParts = []Skill{}, map[string]int{}
		at[rows[i].ID] = &rows[i]
	}
	for _, s := range skills {
		if t := at[s.TechnicianID]; t != nil {
			t.Skills = append(t.Skills, s.Skill)
		}
	}
	for _, v := range vans {
		if t := at[v.TechnicianID]; t != nil {
			t.VanParts[v.Number] = v.Quantity
		}
	}
	return rows, nil
}

// Candidates ranks the engineers for a work order, best first, each with the terms
// of his score or the constraint that excludes him.
func Candidates(ctx context.Context, db postgres.DB, now time.Time, order uuid.UUID) ([]dispatch.Candidate, error) {
	o, err := loadOrder(ctx, db, order)
	if err != nil {
		return nil, err
	}
	return rank(ctx, db, now, o)
}

func rank(ctx context.Context, db postgres.DB, now time.Time, o WorkOrder) ([]dispatch.Candidate, error) {
	job, err := jobOf(ctx, db, now, o)
	if err != nil {
		return nil, err
	}
	rows, err := Technicians(ctx, db)
	if err != nil {
		return nil, err
	}
	people := make([]dispatch.Technician, 0, len(rows))
	for _, r := range rows {
		t := dispatch.Technician{ID: r.ID, Name: r.Name, NameEN: r.NameEN, Active: r.Active, Latitude: r.Latitude, Longitude: r.Longitude, Van: r.VanParts, OpenOrders: r.OpenOrders}
		if o.TechnicianID != nil && *o.TechnicianID == r.ID && !o.State.Ended() && t.OpenOrders > 0 {
			t.OpenOrders-- // this one
		}
		for _, s := range r.Skills {
			t.Skills = append(t.Skills, dispatch.Skill{Name: s.Name, Level: s.Level, ValidUntil: s.ValidUntil})
		}
		people = append(people, t)
	}
	return dispatch.Rank(job, people), nil
}

// jobOf says what an order asks for: the day of the visit in the organisation's
// zone, the machine's place or the one that the caller shared.
func jobOf(ctx context.Context, db postgres.DB, now time.Time, o WorkOrder) (dispatch.Job, error) {
	m, err := machines.GetRow(ctx, db, o.MachineID)
	if err != nil {
		return dispatch.Job{}, err
	}
	day := now
	if o.PlannedAt != nil && o.PlannedAt.After(now) {
		day = *o.PlannedAt
	}
	job := dispatch.Job{Day: day.In(zone), Kind: m.Kind, Skills: o.Skills, Latitude: m.Latitude, Longitude: m.Longitude, ResponsibleID: m.ResponsibleID, Down: o.Priority == 1}
	if o.CaseID != nil {
		c, err := loadCase(ctx, db, *o.CaseID)
		if err != nil {
			return dispatch.Job{}, err
		}
		if c.Latitude != nil && c.Longitude != nil {
			job.Latitude, job.Longitude = c.Latitude, c.Longitude
		}
		job.Down = job.Down || c.MachineDown
	}
	job.Parts, err = partsOf(ctx, db, o.Parts)
	return job, err
}

// PartsAt says of parts what they are called and which stations have them.
func PartsAt(ctx context.Context, db postgres.DB, numbers []string) ([]dispatch.Part, error) {
	return partsOf(ctx, db, numbers)
}

type partRow struct {
	Number    string  `db:"number"`
	Name      string  `db:"name"`
	NameEN    string  `db:"name_en"`
	Station   *string `db:"station"`
	StationEN *string `db:"station_en"`
	Quantity  *int    `db:"quantity"`
}

const partsOfSQL = `SELECT p.number, p.name, p.name_en, u.name AS station, u.name_en AS station_en, s.quantity
FROM part p LEFT JOIN part_stock s ON s.part_id = p.id AND s.station_id IS NOT NULL AND s.quantity > 0 LEFT JOIN org_unit u ON u.id = s.station_id
WHERE p.number = ANY(@numbers) ORDER BY p.number, s.quantity DESC NULLS LAST, u.name`

// partsOf reads what is known of parts and where they lie; a number that nobody
// knows is its own name.
func partsOf(ctx context.Context, db postgres.DB, numbers []string) ([]dispatch.Part, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	rows, err := postgres.All[partRow](ctx, db, partsOfSQL, pgx.NamedArgs{"numbers": numbers})
	if err != nil {
		return nil, fmt.Errorf("look for parts: %w", err)
	}
	parts := make([]dispatch.Part, 0, len(numbers))
	for _, number := range numbers {
		p := dispatch.Part{Number: number, Name: machines.Text{ZH: number, EN: number}}
		for _, r := range rows {
			if r.Number != number {
				continue
			}
			p.Name = machines.Text{ZH: r.Name, EN: machines.InLanguage("en", r.Name, r.NameEN)}
			if r.Station != nil && r.Quantity != nil {
				p.Depots = append(p.Depots, dispatch.Depot{Name: machines.Text{ZH: *r.Station, EN: *r.StationEN}, Quantity: *r.Quantity})
			}
		}
		parts = append(parts, p)
	}
	return parts, nil
}
