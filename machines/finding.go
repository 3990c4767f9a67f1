package machines

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Severity says how urgent a finding is.
type Severity string

// The severities; info is noted on the machine file and opens no case.
const (
	Info    Severity = "info"
	Advice  Severity = "advice"
	Warning Severity = "warning"
	Alarm   Severity = "alarm"
)

// Finding is evidence that a machine is degraded or faulty; at most one is open
// per machine, component and rule.
type Finding struct {
	ID          uuid.UUID       `json:"id" db:"id"`
	MachineID   uuid.UUID       `json:"machineId" db:"machine_id"`
	CustomerID  *uuid.UUID      `json:"-" db:"customer_id"`
	Component   *string         `json:"component" db:"component"`
	Rule        string          `json:"rule" db:"rule"`
	RuleHash    string          `json:"ruleHash" db:"rule_hash"`
	FailureMode string          `json:"failureMode" db:"failure_mode"`
	Title       string          `json:"title" db:"title"`
	TitleEN     string          `json:"titleEn" db:"title_en"`
	Severity    Severity        `json:"severity" db:"severity"`
	Source      string          `json:"source" db:"source" enum:"rule,inspection,daily_check,reading,request"`
	State       string          `json:"state" db:"state" enum:"open,closed,dismissed"`
	OpenedAt    time.Time       `json:"openedAt" db:"opened_at" doc:"event time"`
	DetectedAt  time.Time       `json:"detectedAt" db:"detected_at" doc:"program clock"`
	UpdatedAt   time.Time       `json:"updatedAt" db:"updated_at"`
	ClosedAt    *time.Time      `json:"closedAt" db:"closed_at"`
	CloseReason string          `json:"closeReason" db:"close_reason"`
	Evidence    json.RawMessage `json:"evidence" db:"evidence" doc:"what left its normal, since when, by how much, against what; shape: rules.Evidence"`
	Facts       Facts           `json:"facts" db:"facts"`
	CaseID      *uuid.UUID      `json:"caseId" db:"case_id"`
}

// Text is a text in both languages.
type Text struct {
	ZH string `json:"zh"`
	EN string `json:"en"`
}

// In picks the text for a language.
func (t Text) In(language string) string { return InLanguage(language, t.ZH, t.EN) }

// Facts are what the fault catalogue knows about a finding's failure mode.
type Facts struct {
	Causes      []Text   `json:"causes,omitempty"`
	FirstChecks []Text   `json:"firstChecks,omitempty"`
	Skills      []string `json:"skills,omitempty"`
	Parts       []string `json:"parts,omitempty"`
	PFDays      float64  `json:"pfDays,omitempty" doc:"typical days from detectable to failure (P-F interval)"`
}

// Change is what happened to a finding.
type Change string

// The changes of a finding as detection reports them.
const (
	FindingOpened  Change = "opened"
	FindingUpdated Change = "updated"
	FindingClosed  Change = "closed"
)

// FindingChange is a finding as detection (or an inspection) reports it. ID,
// CustomerID and CaseID of the finding are filled in when it is stored.
type FindingChange struct {
	Change  Change
	Finding Finding // MachineID, Component, Rule and OpenedAt identify the episode
	Propose bool    // came from late data: may be shown, opens no case
	Stage   Stage   // of the rule that found it; "" = Dispatch
}
