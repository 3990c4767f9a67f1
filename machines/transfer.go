package machines

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// goesAlong lists what is open or built in when a machine changes hands, and so
// becomes the new owner's matter. All else stays the record of him in whose time it
// was written: what is closed, and every line of history. The cases' tables are
// maintenance's; they stand here because a transfer must leave nothing half.
var goesAlong = []string{
	`UPDATE component SET customer_id = @to WHERE machine_id = @machineID AND removed_at IS NULL`,
	`UPDATE finding SET customer_id = @to WHERE machine_id = @machineID AND state = 'open'`,
	`UPDATE remaining_life SET customer_id = @to WHERE machine_id = @machineID`,
	`UPDATE trouble_code SET customer_id = @to WHERE machine_id = @machineID AND cleared_at IS NULL`,
	`UPDATE service_case SET customer_id = @to WHERE machine_id = @machineID AND state NOT IN ('closed', 'cancelled')`,
	`UPDATE service_plan SET customer_id = @to WHERE machine_id = @machineID`,
	`UPDATE work_order SET customer_id = @to WHERE machine_id = @machineID AND state NOT IN ('completed', 'cannot_complete', 'cancelled')`,
	`UPDATE assignment a SET customer_id = @to FROM work_order o WHERE o.id = a.work_order_id AND o.machine_id = @machineID AND a.ended_at IS NULL`,
	`UPDATE checklist_item i SET customer_id = @to FROM work_order o WHERE o.id = i.work_order_id AND o.machine_id = @machineID
		AND o.state NOT IN ('completed', 'cannot_complete', 'cancelled')`,
	// the person to call was the old owner's
	`UPDATE callback SET customer_id = @to, contact_id = NULL WHERE machine_id = @machineID AND state = 'due'`,
}

const (
	endOwnershipSQL = `UPDATE machine_ownership SET valid_to = @now WHERE machine_id = @machineID AND valid_to IS NULL`
	transferSQL     = `UPDATE machine SET customer_id = @to, site_id = NULL, version = version + 1 WHERE id = @machineID`
)

// Transfer gives a machine to another customer. From now on the new owner sees it
// and its telemetry, and the old one sees what was his; components, plans and all
// that is open go along. The site is the old owner's and has to be set anew.
func Transfer(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, id, customerID uuid.UUID) error {
	m, err := Lock(ctx, db, id)
	if err != nil {
		return err
	}
	to, err := GetCustomer(ctx, db, customerID)
	if err != nil {
		return unknownCustomer(err)
	}
	if m.CustomerID != nil && *m.CustomerID == customerID {
		return problem.New(problem.Conflict, "the machine is this customer's already")
	}
	args := pgx.NamedArgs{"machineID": id, "to": customerID, "now": now}
	for _, sql := range append([]string{endOwnershipSQL, transferSQL}, goesAlong...) {
		if _, err := postgres.Run(ctx, db, sql, args); err != nil {
			return fmt.Errorf("transfer machine %s: %w", m.Key, postgres.Translate(err))
		}
	}
	if err := own(ctx, db, id, customerID, now); err != nil {
		return err
	}
	if err := AddEvent(ctx, db, LifecycleEvent{MachineID: id, At: now, Kind: "ownership", Text: "设备过户至" + to.Name, TextEN: "Now owned by " + InLanguage("en", to.Name, to.NameEN),
		Actor: who.Name, Entity: "customer", EntityID: &to.ID}); err != nil {
		return err
	}
	return auditTransfer(ctx, db, now, who, m, to)
}

// auditTransfer leaves an entry with each owner, of whom neither learns of the other.
func auditTransfer(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, m Machine, to Customer) error {
	if m.CustomerID != nil {
		if err := Audit(ctx, db, now, who, "machine", m.ID, &m.ID, m.CustomerID, "transferred away", map[string]any{"customerId": m.CustomerID, "siteId": m.SiteID}, nil); err != nil {
			return err
		}
	}
	return Audit(ctx, db, now, who, "machine", m.ID, &m.ID, &to.ID, "transferred", nil, map[string]any{"customerId": to.ID})
}
