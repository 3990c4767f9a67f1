package machines

import (
	"time"

	"github.com/google/uuid"
)

// Row is a machine with what a list shows of its model, owner and site.
type Row struct {
	Machine
	ModelName      string     `json:"modelName" db:"model_name"`
	ModelLabel     string     `json:"modelLabel" db:"model_label"`
	ModelLabelEN   string     `json:"modelLabelEn" db:"model_label_en"`
	Kind           string     `json:"kind" db:"kind"`
	CustomerName   string     `json:"customerName" db:"customer_name"`
	CustomerNameEN string     `json:"customerNameEn" db:"customer_name_en"`
	SiteName       string     `json:"siteName" db:"site_name"`
	SiteNameEN     string     `json:"siteNameEn" db:"site_name_en"`
	Latitude       *float64   `json:"latitude" db:"latitude"`
	Longitude      *float64   `json:"longitude" db:"longitude"`
	ShutUntil      *time.Time `json:"shutUntil" db:"shut_until"`
}

// Ownership is whose a machine was from when to when.
type Ownership struct {
	CustomerID     uuid.UUID  `json:"customerId" db:"customer_id"`
	CustomerName   string     `json:"customerName" db:"customer_name"`
	CustomerNameEN string     `json:"customerNameEn" db:"customer_name_en"`
	From           time.Time  `json:"from" db:"valid_from"`
	To             *time.Time `json:"to" db:"valid_to"`
}

// File is the one-file-per-machine record (一机一档).
type File struct {
	Machine       Row              `json:"machine"`
	Model         *Model           `json:"model"`
	Customer      *Customer        `json:"customer"`
	Site          *Site            `json:"site"`
	Contacts      []Contact        `json:"contacts"`
	Components    []Component      `json:"components"`
	Signals       []Signal         `json:"signals"`
	Findings      []Finding        `json:"findings" doc:"newest first"`
	TroubleCodes  []TroubleCode    `json:"troubleCodes" doc:"active first, 200 at most"`
	HealthChanges []HealthChange   `json:"healthChanges"`
	Events        []LifecycleEvent `json:"events" doc:"newest first, 200 at most"`
	Readings      []Reading        `json:"readings"`
	Ownerships    []Ownership      `json:"ownerships"`
}

// Filter narrows a list of machines.
type Filter struct {
	CustomerID      *uuid.UUID
	ModelID         *uuid.UUID
	SiteID          *uuid.UUID
	Health          string
	OperatingStatus string
	Connectivity    string
	Kind            string
	Search          string // part of key, serial number, name, plate or customer
	Limit           int
	Cursor          string
}

// FindingFilter narrows a list of findings.
type FindingFilter struct {
	MachineID *uuid.UUID
	State     string
	Limit     int
	Cursor    string
}

// Page is a part of a list; Next is the cursor of the following part, "" on the last.
type Page[T any] struct {
	Items []T
	Next  string
}

// Seen is what a batch of observations says of a machine beside its signals.
type Seen struct {
	MachineID uuid.UUID
	At        time.Time  // zero: it was not heard
	First     *time.Time // when it was heard first; nil = before: it is online since then, unless a silence is known that came later
	Hours     *float64   // operating hours; never go back
	Volume    *float64   // pumped volume, m³
	Score     *Score     // nil: as it was
}

// Score is a machine's health score, 0 to 100, with what takes points off it.
type Score struct {
	Points       int
	Contributors []Contributor
}
