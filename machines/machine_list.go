package machines

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// rowSQL reads machines with what a list shows of model, owner and site.
const rowSQL = `SELECT ` + machineColumns + `,
		COALESCE(d.name, '') AS model_name, COALESCE(d.label, '') AS model_label, COALESCE(d.label_en, '') AS model_label_en, COALESCE(d.kind, '') AS kind,
		COALESCE(c.name, '') AS customer_name, COALESCE(c.name_en, '') AS customer_name_en,
		COALESCE(s.name, '') AS site_name, COALESCE(s.name_en, '') AS site_name_en, s.latitude, s.longitude, s.shut_until
	FROM machine m LEFT JOIN model d ON d.id = m.model_id LEFT JOIN customer c ON c.id = m.customer_id LEFT JOIN site s ON s.id = m.site_id`

const getRowSQL = rowSQL + ` WHERE m.id = @id`

// GetRow reads one machine with its model, owner and site.
func GetRow(ctx context.Context, db postgres.DB, id uuid.UUID) (Row, error) {
	row, err := postgres.One[Row](ctx, db, getRowSQL, pgx.NamedArgs{"id": id})
	if problem.Of(err) == problem.NotFound {
		return row, problem.New(problem.NotFound, "no such machine")
	}
	if err != nil {
		return row, fmt.Errorf("read the machine: %w", err)
	}
	return row, nil
}

const listSQL = rowSQL + `
	WHERE (@after = '' OR m.key > @after)
		AND (@customerID::uuid IS NULL OR m.customer_id = @customerID) AND (@modelID::uuid IS NULL OR m.model_id = @modelID)
		AND (@siteID::uuid IS NULL OR m.site_id = @siteID) AND (@health = '' OR m.health = @health)
		AND (@operatingStatus = '' OR m.operating_status = @operatingStatus) AND (@connectivity = '' OR m.connectivity = @connectivity) AND (@kind = '' OR d.kind = @kind)
		AND (@search = '' OR m.key ILIKE @search OR m.serial ILIKE @search OR m.name ILIKE @search OR m.name_en ILIKE @search
			OR m.plate ILIKE @search OR c.name ILIKE @search OR c.name_en ILIKE @search)
	ORDER BY m.key LIMIT @limit`

// List gives a page of the machines that the caller sees, in the order of their keys.
func List(ctx context.Context, db postgres.DB, f Filter) (Page[Row], error) {
	after, err := DecodeCursor(f.Cursor, 1)
	if err != nil {
		return Page[Row]{}, err
	}
	limit := PageLimit(f.Limit)
	args := pgx.NamedArgs{"after": "", "customerID": f.CustomerID, "modelID": f.ModelID, "siteID": f.SiteID, "health": f.Health,
		"operatingStatus": f.OperatingStatus, "connectivity": f.Connectivity, "kind": f.Kind, "search": contains(f.Search), "limit": limit + 1}
	if after != nil {
		args["after"] = after[0]
	}
	rows, err := postgres.All[Row](ctx, db, listSQL, args)
	if err != nil {
		return Page[Row]{}, fmt.Errorf("list machines: %w", err)
	}
	return PageOf(rows, limit, func(r Row) string { return EncodeCursor(r.Key) }), nil
}

// contains is the LIKE pattern for "somewhere in it", "" for no search.
func contains(search string) string {
	search = strings.TrimSpace(search)
	if search == "" {
		return ""
	}
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(search) + "%"
}
