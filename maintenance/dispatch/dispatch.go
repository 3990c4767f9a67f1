// Package dispatch says who should go to a job, and why: pure, jobs and
// technicians in, a ranking with its reasons out.
package dispatch

import (
	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/machines"
)

// Term is one part of a score, in points, with its reason.
type Term struct {
	Name   string        `json:"name" enum:"responsible,travel,skill,load,parts"`
	Points float64       `json:"points"`
	Text   machines.Text `json:"text"`
}

// Candidate is a technician for a job: a score with its terms, or the hard
// constraint that excludes him.
type Candidate struct {
	TechnicianID  uuid.UUID      `json:"technicianId"`
	Name          string         `json:"name"`
	NameEN        string         `json:"nameEn"`
	Score         float64        `json:"score" doc:"0-100, more is better; 0 when excluded"`
	Terms         []Term         `json:"terms"`
	Excluded      *machines.Text `json:"excluded" doc:"why he may not go; null when he may"`
	TravelMinutes int            `json:"travelMinutes"`
	DistanceKM    float64        `json:"distanceKm"`
}
