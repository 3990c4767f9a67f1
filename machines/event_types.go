package machines

import (
	"slices"
	"strings"
)

// eventKind is what may happen to a kind of thing, and what of it a customer is
// told; without public fields it is the service organisation's own business, and
// no customer's webhook hears of it.
type eventKind struct {
	Entity  string   // as in the audit log
	Happens []string // actions and states, as in the type of an event
	Public  []string // fields of the entity's JSON
}

// eventKinds lists every kind of thing that the audit log writes about; a test
// holds that none is missing. Add yours here, and think of the customer: no other
// customer's, no engineer's score, no internal note, no secret.
var eventKinds = []eventKind{
	{"machine", []string{"added", "operating-status", "health", "transferred", "transferred-away", "claimed-device", "connectivity", "silence-explained"},
		[]string{"id", "key", "manufacturer", "serial", "name", "nameEn", "plate", "modelId", "customerId", "siteId", "hasDevice", "health", "cause", "status", "note", "noteEn", "operatingStatus", "findingId", "connectivity", "since", "until", "why"}},
	{"component", []string{"added"}, []string{"id", "machineId", "parentId", "code", "name", "nameEn", "serial", "installedAt", "removedAt"}},
	{"reading", []string{"added"}, []string{"id", "machineId", "at", "signal", "value", "unit", "source"}},
	{"finding", []string{"opened", "updated", "closed", "dismissed"},
		[]string{"id", "machineId", "component", "rule", "failureMode", "title", "titleEn", "severity", "source", "state", "openedAt", "detectedAt", "closedAt", "closeReason", "caseId"}},
	{"case", []string{"opened", "triaged", "informed", "planned", "in-work", "verifying", "verified", "awaiting-callback", "satisfied", "closed", "remote-guidance", "deferred", "waiting",
		"cancelled", "open", "requested", "escalated", "assigned", "noted"},
		[]string{"id", "number", "machineId", "customerId", "failureMode", "title", "titleEn", "severity", "origin", "state", "waitingFor", "openedAt", "informedAt", "plannedAt", "workStartedAt",
			"workCompletedAt", "verifiedAt", "satisfiedAt", "closedAt", "stateAt", "deferredUntil", "machineDown", "comebacks", "version"}},
	{"work_order", []string{"added", "open", "dispatched", "accepted", "en-route", "on-site", "completed", "cannot-complete", "cancelled", "moved", "hurried"},
		[]string{"id", "number", "caseId", "planId", "machineId", "customerId", "kind", "title", "titleEn", "state", "createdAt", "dueAt", "plannedAt", "dispatchedAt", "acceptedAt", "enRouteAt", "onSiteAt",
			"completedAt", "stateAt", "result", "resultEn", "failureMode", "cause", "activity", "signedBy", "signerCapacity", "version"}},
	{"assignment", []string{"added", "dispatched", "accepted", "en-route", "on-site", "completed", "declined", "cancelled", "cannot-complete"}, nil},
	{"checklist_item", []string{"answered"}, []string{"id", "workOrderId", "position", "text", "textEn", "kind", "unit", "result", "number", "doneAt"}},
	{"attachment", []string{"added"}, []string{"id", "machineId", "entity", "entityId", "mediaType", "createdAt"}},
	{"callback", []string{"added", "attempted", "due", "done", "unreachable", "cancelled"}, []string{"id", "caseId", "machineId", "kind", "state", "dueAt", "attempts", "outcome", "doneAt", "version"}},
	{"complaint", []string{"added", "received", "answered", "closed", "withdrawn"},
		[]string{"id", "number", "machineId", "caseId", "class", "text", "textEn", "state", "receivedAt", "promiseDueAt", "answeredAt", "answer", "closedAt", "version"}},
	{"promise", []string{"added", "settled", "open", "kept", "broken", "withdrawn"}, []string{"id", "machineId", "caseId", "text", "textEn", "madeAt", "dueAt", "state", "settledAt"}},
	{"service_plan", []string{"added", "moved"}, []string{"id", "machineId", "name", "nameEn", "checklist", "intervalDays", "dueAt", "lastDoneAt", "paused"}},
	{"customer", []string{"added"}, []string{"id", "name", "nameEn", "language"}},
	{"site", []string{"added"}, []string{"id", "customerId", "name", "nameEn", "latitude", "longitude", "timeZone", "shutUntil", "shutReason", "shutReasonEn"}},
	{"contact", []string{"added"}, []string{"id", "capacity", "language"}},
	{"model", []string{"added", "signals-added"}, nil},
	{"device", []string{"added", "revoked"}, nil},
	{"dead_letter", []string{"replayed", "discarded"}, nil},
	{"dead_letter_group", []string{"replayed", "discarded"}, nil},
	{"held_outcome", []string{"stored", "discarded"}, nil},
	{"alert_budget", []string{"set"}, nil},
	{"sweep", []string{"listed", "looked-at"}, nil},
	{"rule_version", []string{"added", "published", "retired"}, nil},
	{"rule_stage", []string{"taken-up", "promoted", "demoted"}, nil},
	{"rule_report", []string{"added"}, nil},
	{"user", []string{"added", "disabled"}, nil},
	{"token", []string{"created", "revoked"}, nil},
	{"webhook", []string{"added", "changed", "removed", "secret-rotated", "disabled", "tested", "replayed"}, nil},
}

// EventType is one type of event that a webhook may ask for.
type EventType struct {
	Type   string `json:"type"`
	Public bool   `json:"public" doc:"customers' webhooks hear of it too"`
}

// EventTypes lists every type of event, in the order of the reference.
func EventTypes() []EventType {
	var list []EventType
	for _, k := range eventKinds {
		for _, action := range k.Happens {
			list = append(list, EventType{Type: hyphens.Replace(k.Entity) + "." + action, Public: k.Public != nil})
		}
	}
	return list
}

// PublicFields lists what of an entity a customer's webhook is told, and says
// whether it hears of such entities at all.
func PublicFields(entity string) (fields []string, public bool) {
	for _, k := range eventKinds {
		if k.Entity == entity {
			return slices.Clone(k.Public), k.Public != nil
		}
	}
	return nil, false
}

// KnowsEvents says whether a pattern asks for events that exist: "*" for all,
// "case.*" for all of an entity, or one type.
func KnowsEvents(pattern string) bool {
	entity, _, _ := strings.Cut(pattern, ".")
	return pattern == "*" || slices.ContainsFunc(EventTypes(), func(t EventType) bool {
		return t.Type == pattern || pattern == entity+".*" && strings.HasPrefix(t.Type, entity+".")
	})
}
