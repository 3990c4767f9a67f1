package maintenancetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/webhooks"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
)

// tenant makes a customer with one of everything; phone lacks its last digit.
func (w *World) tenant(t testing.TB, mark, phone string) *Tenant {
	t.Helper()
	a := &Tenant{Mark: mark, Phone: phone + "1", People: map[identity.Role]Person{}}
	w.do(t, func(ctx context.Context, tx pgx.Tx) error { return w.machineFile(ctx, tx, a, phone) })
	for _, role := range customerRoles {
		a.People[role] = w.person(t, role, &a.Customer.ID, mark)
	}
	w.do(t, func(ctx context.Context, tx pgx.Tx) error { return w.trouble(ctx, tx, a) })
	w.do(t, func(ctx context.Context, tx pgx.Tx) error { return w.work(ctx, tx, a) })
	w.do(t, func(ctx context.Context, tx pgx.Tx) error { return w.care(ctx, tx, a) })
	w.do(t, func(ctx context.Context, tx pgx.Tx) error { return w.hooks(ctx, tx, a) })
	return a
}

func (w *World) machineFile(ctx context.Context, tx pgx.Tx, a *Tenant, phone string) (err error) {
	month := Now.Add(-30 * 24 * time.Hour)
	if a.Customer, err = machines.AddCustomer(ctx, tx, month, Program, machines.Customer{Name: a.Mark + " 泵送", NameEN: a.Mark + " Pumping", Tier: "A", Language: "zh"}); err != nil {
		return err
	}
	lat, lon := 26.86, 112.60
	if a.Site, err = machines.AddSite(ctx, tx, month, Program, machines.Site{CustomerID: a.Customer.ID, Name: a.Mark + " 停车场", NameEN: a.Mark + " yard",
		Latitude: &lat, Longitude: &lon, TimeZone: "Asia/Shanghai"}); err != nil {
		return err
	}
	for i, name := range []string{"机主", "操作手", "代表"} {
		capacity := []string{"owner", "operator", "representative"}[i]
		c, err := machines.AddContact(ctx, tx, month, Program, machines.Contact{CustomerID: a.Customer.ID, Name: a.Mark + " " + name, NameEN: a.Mark + " " + capacity,
			Salutation: a.Mark + " 总", SalutationEN: "Mr " + a.Mark, Capacity: capacity, Phone: fmt.Sprintf("%s%d", phone, i+1), Language: "zh"})
		if err != nil {
			return err
		}
		if capacity == "owner" {
			a.Owner = c
		}
	}
	if a.Machine, err = w.AddMachine(ctx, tx, a, "1", true); err != nil {
		return err
	}
	if a.Bare, err = w.AddMachine(ctx, tx, a, "2", false); err != nil {
		return err
	}
	a.Component, err = machines.AddComponent(ctx, tx, month, Program, machines.Component{MachineID: a.Machine.ID, Code: "hydraulic_cooler", Name: a.Mark + " 散热器", NameEN: a.Mark + " cooler",
		Serial: a.Mark + "-C1", InstalledAt: month})
	return err
}

// AddMachine gives a customer one more machine.
func (w *World) AddMachine(ctx context.Context, tx pgx.Tx, a *Tenant, number string, device bool) (machines.Machine, error) {
	return machines.AddMachine(ctx, tx, Now.Add(-30*24*time.Hour), Program, machines.Machine{Key: a.Mark + "-" + number, Manufacturer: "Beichen", Serial: a.Mark + "-S" + number,
		Name: a.Mark + " 泵车 " + number, NameEN: a.Mark + " pump " + number, Plate: a.Mark + "P" + number, ModelID: &w.Model.ID, CustomerID: &a.Customer.ID, SiteID: &a.Site.ID,
		ResponsibleID: &w.Technician, WarrantyMonths: 12, WarrantyHours: 2000, Contract: a.Mark + " 合同", HasDevice: device})
}

// Trouble is a finding of the oil's temperature.
func Trouble(a *Tenant, machine machines.Machine, opened time.Time) machines.FindingChange {
	component := "hydraulic_cooler"
	evidence, _ := json.Marshal(map[string]any{"signal": "hydraulic_oil_temp", "unit": "Cel", "observed": 71.2, "deviation": 6.8, "low": 58.0, "high": 64.0, "sigma": 1.2, "limit": 4.1,
		"since": opened.Add(-3 * time.Hour)}) // a map of numbers, texts and times always can be written
	return machines.FindingChange{Change: machines.FindingOpened, Finding: machines.Finding{MachineID: machine.ID, Component: &component, Rule: "oil_runs_hot", RuleHash: "h1",
		FailureMode: "fouled_cooler", Title: a.Mark + " 油温偏高", TitleEN: a.Mark + " oil runs hot", Severity: machines.Warning, Source: "rule", State: "open",
		OpenedAt: opened, DetectedAt: opened.Add(time.Minute), UpdatedAt: opened.Add(time.Minute), Evidence: evidence,
		Facts: machines.Facts{Causes: []machines.Text{{ZH: "散热器脏堵", EN: "fouled cooler"}}, FirstChecks: []machines.Text{{ZH: "散热片", EN: "fins"}},
			Skills: []string{"concrete_pump"}, PFDays: 12}}}
}

// trouble opens a case by a finding and one by a call.
func (w *World) trouble(ctx context.Context, tx pgx.Tx, a *Tenant) error {
	opened := Now.Add(-26 * time.Hour)
	if err := maintenance.Accept(ctx, tx, opened.Add(time.Minute), []machines.FindingChange{Trouble(a, a.Machine, opened)}); err != nil {
		return err
	}
	found, err := machines.OpenFindings(ctx, tx, a.Machine.ID)
	if err != nil || len(found) != 1 || found[0].CaseID == nil {
		return fmt.Errorf("the finding opened no case: %v %w", found, err)
	}
	a.Finding = found[0]
	file, err := maintenance.GetCase(ctx, tx, Program, *found[0].CaseID)
	if err != nil {
		return err
	}
	a.Case = file.Case
	a.Request, err = maintenance.OpenRequest(ctx, tx, Now.Add(-3*time.Hour), w.Principal(w.Staff[identity.CallCentre]), maintenance.Request{MachineID: a.Bare.ID, Down: true, PouringNow: true,
		OperatorPhone: a.Phone, Description: a.Mark + " 不能打方", CallerName: a.Mark + " 操作手"})
	if err != nil {
		return err
	}
	a.Reading, _, err = machines.AddReading(ctx, tx, Now.Add(-2*time.Hour), Program, machines.Reading{MachineID: a.Machine.ID, At: Now.Add(-2 * time.Hour), Signal: "hydraulic_oil_temp",
		Value: 66, Unit: "Cel", Source: "patrol"})
	if err != nil {
		return err
	}
	until := Now.Add(-40 * time.Hour)
	if err := machines.NoteSilences(ctx, tx, until, Program, []machines.Silence{{MachineID: a.Machine.ID, Since: Now.Add(-50 * time.Hour), NoticedAt: Now.Add(-49 * time.Hour), Until: &until,
		Cause: machines.Off, FirstCause: machines.Silent, Why: []string{"at_rest"}}}); err != nil {
		return err
	}
	a.Code, err = troubleCode(ctx, tx, a)
	return err
}

// troubleCode is what the engine's control unit says: hot coolant, amber lamp.
func troubleCode(ctx context.Context, tx pgx.Tx, a *Tenant) (machines.TroubleCode, error) {
	book, err := machines.LoadTrouble(ctx, tx, []uuid.UUID{a.Machine.ID})
	if err != nil {
		return machines.TroubleCode{}, err
	}
	spn, fmi, unit := 110, 0, 0
	code := machines.TroubleCode{Code: "SPN110-FMI0", SPN: &spn, FMI: &fmi, Severity: "critical", AmberWarning: true, Description: a.Mark + " 冷却液温度高", DescriptionEN: a.Mark + " coolant hot"}
	book.Report(machines.TroubleReport{MachineID: a.Machine.ID, At: Now.Add(-time.Hour), Protocol: "j1939", SourceAddress: &unit, Whole: true, Period: time.Second,
		Codes: []machines.ReportedCode{{TroubleCode: code, On: true}}}, postgres.NewID)
	if err := book.Save(ctx, tx); err != nil {
		return machines.TroubleCode{}, err
	}
	return book.ActiveOf(a.Machine.ID)[0], nil
}

// work tells the owner, plans the visit and brings the engineer to the machine.
func (w *World) work(ctx context.Context, tx pgx.Tx, a *Tenant) error {
	manager, engineer := w.Principal(w.Staff[identity.ServiceManager]), w.Principal(w.Staff[identity.FieldEngineer])
	at := Now.Add(-24 * time.Hour)
	var err error
	if a.Case, err = maintenance.Inform(ctx, tx, at, manager, a.Case.ID, &a.Owner.ID, "sms", a.Mark+" 泵车油温偏高"); err != nil {
		return err
	}
	planned := Now.Add(-2 * time.Hour)
	if a.Order, err = maintenance.ScheduleOrder(ctx, tx, at.Add(time.Hour), manager, maintenance.NewOrder{CaseID: &a.Case.ID, MachineID: a.Machine.ID, Kind: "repair",
		Title: a.Mark + " 清洗散热器", TitleEN: a.Mark + " clean the cooler", PlannedAt: &planned}); err != nil {
		return err
	}
	if a.Order, err = maintenance.MoveOrder(ctx, tx, at.Add(2*time.Hour), manager, a.Order.ID, maintenance.OrderMove{To: maintenance.OrderDispatched, TechnicianID: &w.Technician}); err != nil {
		return err
	}
	if a.Order, err = maintenance.MoveOrder(ctx, tx, at.Add(3*time.Hour), engineer, a.Order.ID, maintenance.OrderMove{To: maintenance.OrderAccepted}); err != nil {
		return err
	}
	file, err := maintenance.GetWorkOrder(ctx, tx, manager, a.Order.ID)
	if err != nil || len(file.Checklist) == 0 {
		return fmt.Errorf("the order has no checklist: %w", err)
	}
	a.Item = file.Checklist[0]
	a.Photo, err = maintenance.Attach(ctx, tx, at.Add(4*time.Hour), engineer, "checklist_item", a.Item.ID, a.Mark+".png", "image/png", PNG())
	return err
}

const (
	callbackSQL = `INSERT INTO callback (id, case_id, machine_id, customer_id, contact_id, kind, state, due_at, created_at)
		VALUES (@id, @case, @machine, @customer, @contact, 'satisfaction', 'due', @now, @now)`
	attemptSQL = `INSERT INTO callback_attempt (id, callback_id, customer_id, at, actor, outcome, note) VALUES (@id, @callback, @customer, @now, '王倩', 'unreachable', @note)`
	meetingSQL = `INSERT INTO meeting (id, month, chair, chair_en) VALUES (@id, '2026-06-01', '李振华', 'Li Zhenhua') ON CONFLICT (month) DO UPDATE SET chair = excluded.chair RETURNING id`
	issueSQL   = `INSERT INTO meeting_issue (id, meeting_id, customer_id, case_id, text, text_en, raised_by, raised_by_en, raised_at)
		VALUES (@id, @meeting, @customer, @case, @note, @note, @note, @note, @now)`
	lifeSQL = `INSERT INTO remaining_life (id, machine_id, customer_id, component, model, model_hash, since, place, looked_at, behind, state, rows, from_new, age, remaining, low, high, unit, said_at)
		VALUES (@id, @machine, @customer, @note, 'BC56', repeat('ab', 32), @now, @now, @now, false, '', 500, true, 1200, 340, 210, 520, 'hour', @now)`
	healthSQL = `INSERT INTO health_change (id, machine_id, customer_id, at, health, previous, cause) VALUES (@id, @machine, @customer, @now, 'third_state', 'well', @note)`
)

// care is what customers hear and say: calls, complaints, promises, plans.
func (w *World) care(ctx context.Context, tx pgx.Tx, a *Tenant) (err error) {
	agent := w.Principal(w.Staff[identity.CallCentre])
	if a.Complaint, err = maintenance.AddComplaint(ctx, tx, Now.Add(-5*time.Hour), agent, maintenance.Complaint{CustomerID: &a.Customer.ID, MachineID: &a.Machine.ID, CaseID: &a.Case.ID,
		Class: "service", Text: a.Mark + " 来晚了", RaisedBy: a.Mark + " 机主"}); err != nil {
		return err
	}
	if a.Promise, err = maintenance.AddPromise(ctx, tx, Now.Add(-5*time.Hour), agent, maintenance.Promise{CustomerID: &a.Customer.ID, MachineID: &a.Machine.ID, CaseID: &a.Case.ID,
		Text: a.Mark + " 中午前到", TextEN: a.Mark + " before noon", Person: "陈海波", DueAt: Now.Add(4 * time.Hour)}); err != nil {
		return err
	}
	if a.Plan, err = maintenance.AddPlan(ctx, tx, Now.Add(-5*time.Hour), w.Principal(w.Staff[identity.Dispatcher]), maintenance.ServicePlan{MachineID: a.Machine.ID, Name: a.Mark + " 月检",
		NameEN: a.Mark + " monthly", IntervalDays: 30, LeadDays: 7, DueAt: Now.Add(20 * 24 * time.Hour)}); err != nil {
		return err
	}
	if err := maintenance.RecordSweep(ctx, tx, Now.Add(-time.Hour), Program, maintenance.Sweep{CaseID: a.Case.ID, Component: "hydraulic_cooler", Batch: a.Mark + "-B1",
		Signals: []string{"hydraulic_oil_temp"}, Level: 0.05, Basis: "itself", Alike: 1}, []maintenance.SweepMachine{{MachineID: a.Bare.ID, Shares: []string{"model"}, P: 0.01, Q: 0.02, Listed: true}}); err != nil {
		return err
	}
	swept, err := maintenance.Sweeps(ctx, tx)
	if err != nil {
		return err
	}
	for _, s := range swept {
		if s.CaseID == a.Case.ID {
			a.Sweep = s.ID
		}
	}
	meeting, err := postgres.Value[uuid.UUID](ctx, tx, meetingSQL, pgx.NamedArgs{"id": uuid.New()})
	if err != nil {
		return err
	}
	a.Callback = uuid.New()
	args := pgx.NamedArgs{"id": a.Callback, "case": a.Case.ID, "machine": a.Machine.ID, "customer": a.Customer.ID, "contact": a.Owner.ID, "now": Now.Add(-time.Hour),
		"callback": a.Callback, "meeting": meeting, "note": a.Mark + " 一字不改"}
	for _, sql := range []string{callbackSQL, attemptSQL, issueSQL, healthSQL, lifeSQL} {
		if _, err := postgres.Run(ctx, tx, sql, args); err != nil {
			return err
		}
		args["id"] = uuid.New()
	}
	return nil
}

// hooks lets the customer's own program hear of what happens.
func (w *World) hooks(ctx context.Context, tx pgx.Tx, a *Tenant) (err error) {
	owner := w.Principal(a.People[identity.OwnerAdmin])
	if a.Webhook, _, err = webhooks.Add(ctx, tx, Webhooks(), Now.Add(-time.Hour), owner, webhooks.New{CustomerID: &a.Customer.ID, URL: "https://" + a.Mark + ".example.com/hooks",
		Description: a.Mark + " 机队系统", Events: []string{"*"}}); err != nil {
		return err
	}
	a.Delivery, err = webhooks.Test(ctx, tx, Now.Add(-time.Hour), owner, a.Webhook.ID)
	return err
}

// PNG is a small picture.
func PNG() []byte {
	var buf bytes.Buffer
	_ = png.Encode(&buf, image.NewGray(image.Rect(0, 0, 8, 8))) // a buffer takes everything
	return buf.Bytes()
}
