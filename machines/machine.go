// Package machines is the one-file-per-machine record (一机一档): what a machine
// is, whose it is and how it is doing. It knows nothing of telemetry and nothing
// of what people do about a finding.
package machines

import (
	"time"

	"github.com/google/uuid"
)

// Health is the one health state of a machine (EN 13306: normal, degraded, faulty).
type Health string

// The health states. Operating status (shut down, locked ...) is apart from them.
const (
	Well       Health = "well"
	ThirdState Health = "third_state" // a latent fault: still works, but something has begun to fail
	Faulty     Health = "faulty"
	Unknown    Health = "unknown"
)

// OperatingStatus says whether the machine is in use, apart from its health.
type OperatingStatus string

// The operating statuses. A lock is shown, never commanded.
const (
	Working   OperatingStatus = "working"
	ShutDown  OperatingStatus = "shut_down"
	WinterLay OperatingStatus = "winter_lay_up"
	Stored    OperatingStatus = "stored"
	Locked    OperatingStatus = "locked"
	Unlocated OperatingStatus = "unlocated"
	Scrapped  OperatingStatus = "scrapped"
)

// Customer is a contract party whose machines are cared for; it is the tenant.
type Customer struct {
	ID        uuid.UUID `json:"id" db:"id"`
	Name      string    `json:"name" db:"name"`
	NameEN    string    `json:"nameEn" db:"name_en"`
	Tier      string    `json:"tier" db:"tier" enum:"A,B,C"`
	Language  string    `json:"language" db:"language" enum:"zh,en"`
	CreatedAt time.Time `json:"createdAt" db:"created_at"`
}

// Site is a place where a customer's machines work.
type Site struct {
	ID           uuid.UUID  `json:"id" db:"id"`
	CustomerID   uuid.UUID  `json:"customerId" db:"customer_id"`
	Name         string     `json:"name" db:"name"`
	NameEN       string     `json:"nameEn" db:"name_en"`
	Latitude     *float64   `json:"latitude" db:"latitude"`
	Longitude    *float64   `json:"longitude" db:"longitude"`
	TimeZone     string     `json:"timeZone" db:"time_zone"`
	ShutUntil    *time.Time `json:"shutUntil" db:"shut_until"`
	ShutReason   string     `json:"shutReason" db:"shut_reason"`
	ShutReasonEN string     `json:"shutReasonEn" db:"shut_reason_en"`
}

// Contact is a person on the customer's side.
type Contact struct {
	ID              uuid.UUID  `json:"id" db:"id"`
	CustomerID      uuid.UUID  `json:"customerId" db:"customer_id"`
	Name            string     `json:"name" db:"name"`
	NameEN          string     `json:"nameEn" db:"name_en"`
	Salutation      string     `json:"salutation" db:"salutation"`
	SalutationEN    string     `json:"salutationEn" db:"salutation_en"`
	Capacity        string     `json:"capacity" db:"capacity" enum:"owner,operator,manager,legal,representative,finance"`
	Phone           string     `json:"phone" db:"phone" doc:"E.164"`
	Language        string     `json:"language" db:"language"`
	LastConfirmedAt *time.Time `json:"lastConfirmedAt" db:"last_confirmed_at"`
}

// Model is a make and type of machine.
type Model struct {
	ID           uuid.UUID `json:"id" db:"id"`
	Manufacturer string    `json:"manufacturer" db:"manufacturer"`
	Name         string    `json:"name" db:"name"`
	Kind         string    `json:"kind" db:"kind" doc:"concrete_pump, excavator, compressor, genset ..."`
	Label        string    `json:"label" db:"label"`
	LabelEN      string    `json:"labelEn" db:"label_en"`
	Pack         string    `json:"pack" db:"pack" doc:"rule pack that watches this model"`
}

// Signal is a named quantity of a model, in its canonical UCUM unit.
type Signal struct {
	ID       uuid.UUID `json:"id" db:"id"`
	ModelID  uuid.UUID `json:"modelId" db:"model_id"`
	Name     string    `json:"name" db:"name"`
	Label    string    `json:"label" db:"label"`
	LabelEN  string    `json:"labelEn" db:"label_en"`
	Unit     string    `json:"unit" db:"unit"`
	Role     string    `json:"role" db:"role" enum:"condition,context,ignore"`
	Low      *float64  `json:"low" db:"low"`
	High     *float64  `json:"high" db:"high"`
	Position int       `json:"position" db:"position"`
}

// Contributor is one part of a health score: 100 less all losses is the score.
type Contributor struct {
	Signal string  `json:"signal"`
	Rule   string  `json:"rule" doc:"that takes the points"`
	By     string  `json:"by" doc:"what for: strain, novelty, finding, code, sensor or trend; empty in what was stored before"`
	Weight float64 `json:"weight" doc:"points that it takes at its limit"`
	Loss   float64 `json:"loss" doc:"points that it takes from 100 now"`
}

// Machine is one serial-numbered unit.
type Machine struct {
	ID              uuid.UUID       `json:"id" db:"id"`
	No              int             `json:"-" db:"no"`
	Key             string          `json:"key" db:"key" doc:"immutable, unique in the installation; names the MQTT topic"`
	Manufacturer    string          `json:"manufacturer" db:"manufacturer"`
	Serial          string          `json:"serial" db:"serial"`
	Name            string          `json:"name" db:"name"`
	NameEN          string          `json:"nameEn" db:"name_en"`
	Plate           string          `json:"plate" db:"plate"`
	ModelID         *uuid.UUID      `json:"modelId" db:"model_id"`
	CustomerID      *uuid.UUID      `json:"customerId" db:"customer_id"`
	SiteID          *uuid.UUID      `json:"siteId" db:"site_id"`
	ResponsibleID   *uuid.UUID      `json:"responsibleId" db:"responsible_id" doc:"engineer in charge of the machine (包机责任人)"`
	BuiltOn         *time.Time      `json:"builtOn" db:"built_on"`
	HandedOverOn    *time.Time      `json:"handedOverOn" db:"handed_over_on"`
	WarrantyMonths  int             `json:"warrantyMonths" db:"warranty_months"`
	WarrantyHours   int             `json:"warrantyHours" db:"warranty_hours"`
	Contract        string          `json:"contract" db:"contract"`
	Duty            string          `json:"duty" db:"duty" doc:"what it mostly does, in your own word; sisters are of the same duty"`
	HasDevice       bool            `json:"hasDevice" db:"has_device"`
	OperatingStatus OperatingStatus `json:"operatingStatus" db:"operating_status"`
	OperatingNote   string          `json:"operatingNote" db:"operating_note"`
	OperatingNoteEN string          `json:"operatingNoteEn" db:"operating_note_en"`
	Health          Health          `json:"health" db:"health"`
	HealthSince     *time.Time      `json:"healthSince" db:"health_since"`
	Score           *int            `json:"score" db:"score"`
	Contributors    []Contributor   `json:"contributors" db:"contributors"`
	Connectivity    string          `json:"connectivity" db:"connectivity" enum:"online,silent,no_coverage,off,unknown,none" doc:"silent: it says nothing and nobody can tell why; none: it has no telematics"`
	ConnectedSince  *time.Time      `json:"connectivitySince" db:"connectivity_since" doc:"since when it is so; of a silent machine, its last words"`
	ConnectedWhy    []string        `json:"connectivityWhy" db:"connectivity_why" doc:"why a silent machine is held to be so, see /silences"`
	LastSeenAt      *time.Time      `json:"lastSeenAt" db:"last_seen_at"`
	OperatingHours  *float64        `json:"operatingHours" db:"operating_hours"`
	PumpedVolume    *float64        `json:"pumpedVolume" db:"pumped_volume"`
	CreatedAt       time.Time       `json:"createdAt" db:"created_at"`
	Version         int             `json:"version" db:"version"`
}

// Component is a maintainable item in a machine's tree.
type Component struct {
	ID          uuid.UUID  `json:"id" db:"id"`
	MachineID   uuid.UUID  `json:"machineId" db:"machine_id"`
	ParentID    *uuid.UUID `json:"parentId" db:"parent_id"`
	Code        string     `json:"code" db:"code"`
	Name        string     `json:"name" db:"name"`
	NameEN      string     `json:"nameEn" db:"name_en"`
	Serial      string     `json:"serial" db:"serial"`
	Batch       string     `json:"batch" db:"batch" doc:"of its making; machines that share it may share a defect"`
	Firmware    string     `json:"firmware" db:"firmware"`
	InstalledAt time.Time  `json:"installedAt" db:"installed_at"`
	RemovedAt   *time.Time `json:"removedAt" db:"removed_at"`
}

// LifecycleEvent is one line of a machine's life.
type LifecycleEvent struct {
	ID        uuid.UUID  `json:"id" db:"id"`
	MachineID uuid.UUID  `json:"machineId" db:"machine_id"`
	At        time.Time  `json:"at" db:"at"`
	Kind      string     `json:"kind" db:"kind" doc:"built, handed_over, finding, case, visit, part, callback, ownership, status, health ..."`
	Text      string     `json:"text" db:"text"`
	TextEN    string     `json:"textEn" db:"text_en"`
	Actor     string     `json:"actor" db:"actor"`
	Entity    string     `json:"entity" db:"entity"`
	EntityID  *uuid.UUID `json:"entityId" db:"entity_id"`
}

// HealthChange is one change of a machine's health with its cause.
type HealthChange struct {
	ID        uuid.UUID  `json:"id" db:"id"`
	MachineID uuid.UUID  `json:"machineId" db:"machine_id"`
	At        time.Time  `json:"at" db:"at"`
	Health    Health     `json:"health" db:"health"`
	Previous  Health     `json:"previous" db:"previous"`
	Score     *int       `json:"score" db:"score"`
	Cause     string     `json:"cause" db:"cause"`
	CauseEN   string     `json:"causeEn" db:"cause_en"`
	RuleHash  string     `json:"ruleHash" db:"rule_hash"`
	FindingID *uuid.UUID `json:"findingId" db:"finding_id"`
}

// Reading is a value that a person measured, beside telemetry.
type Reading struct {
	ID        uuid.UUID  `json:"id" db:"id"`
	MachineID uuid.UUID  `json:"machineId" db:"machine_id"`
	At        time.Time  `json:"at" db:"at"`
	Signal    string     `json:"signal" db:"signal"`
	Value     float64    `json:"value" db:"value"`
	Unit      string     `json:"unit" db:"unit"`
	Source    string     `json:"source" db:"source" enum:"daily_check,patrol,oil_sample,visit"`
	Actor     string     `json:"actor" db:"actor"`
	PhotoID   *uuid.UUID `json:"photoId" db:"photo_id"`
}

// InLanguage picks the text for a language; it falls back to the other one.
func InLanguage(language, zh, en string) string {
	if language == "en" && en != "" {
		return en
	}
	if zh == "" {
		return en
	}
	return zh
}
