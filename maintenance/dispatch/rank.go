package dispatch

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/machines"
)

// Job is what has to be done, where and when.
type Job struct {
	Day           time.Time // of the visit; a certificate must be valid on it
	Kind          string    // kind of machine; whoever goes must be qualified on it
	Skills        []string  // beside the machine's kind
	Parts         []Part
	Latitude      *float64 // nil = nobody knows where the machine is
	Longitude     *float64
	ResponsibleID *uuid.UUID // engineer in charge of the machine
	Down          bool       // the machine is down: arrival time first
}

// Part is a part that the job needs.
type Part struct {
	Number string
	Name   machines.Text
	Depots []Depot // stations that hold it
}

// Depot is a station's stock of a part.
type Depot struct {
	Name     machines.Text
	Quantity int
}

// Technician is who could go.
type Technician struct {
	ID         uuid.UUID
	Name       string
	NameEN     string
	Active     bool
	Latitude   float64
	Longitude  float64
	Skills     []Skill
	Van        map[string]int // part number to quantity
	OpenOrders int
}

// Skill is what a technician may work on until a day.
type Skill struct {
	Name       string
	Level      int        // 1 to 3
	ValidUntil *time.Time // the last valid day; nil = for ever
}

// weights are the most points that each term can give; they add up to 100.
type weights struct{ responsible, travel, skill, load, parts float64 }

var (
	preventive = weights{responsible: 35, travel: 25, skill: 15, load: 10, parts: 15} // who knows the machine
	urgent     = weights{responsible: 5, travel: 65, skill: 10, load: 5, parts: 15}   // who is there first
)

// Rank orders technicians for a job, best first; those who may not go come last,
// each with the constraint that excludes him. It looks at nothing but its arguments.
func Rank(job Job, technicians []Technician) []Candidate {
	w := preventive
	if job.Down {
		w = urgent
	}
	ranked := make([]Candidate, 0, len(technicians))
	for _, t := range technicians {
		ranked = append(ranked, judge(job, t, w))
	}
	slices.SortStableFunc(ranked, func(a, b Candidate) int {
		return cmp.Or(excludedLast(a, b), cmp.Compare(b.Score, a.Score), cmp.Compare(a.DistanceKM, b.DistanceKM), cmp.Compare(a.Name, b.Name), cmp.Compare(a.TechnicianID.String(), b.TechnicianID.String()))
	})
	if len(ranked) > 0 && ranked[0].Excluded == nil {
		explainNearer(job, ranked)
	}
	return ranked
}

func excludedLast(a, b Candidate) int {
	switch {
	case (a.Excluded == nil) == (b.Excluded == nil):
		return 0
	case a.Excluded == nil:
		return -1
	}
	return 1
}

func judge(job Job, t Technician, w weights) Candidate {
	c := Candidate{TechnicianID: t.ID, Name: t.Name, NameEN: t.NameEN, Terms: []Term{}}
	if job.Latitude != nil && job.Longitude != nil {
		c.DistanceKM, c.TravelMinutes = travel(t.Latitude, t.Longitude, *job.Latitude, *job.Longitude)
	}
	if why := excludes(job, t); why != nil {
		c.Excluded = why
		return c
	}
	c.Terms = terms(job, t, c.TravelMinutes, w)
	for _, term := range c.Terms {
		c.Score += term.Points
	}
	c.Score = min(100, round(c.Score))
	return c
}

// excludes gives the hard constraint that keeps a technician from a job, or nil.
func excludes(job Job, t Technician) *machines.Text {
	if !t.Active {
		return &machines.Text{ZH: "已停用", EN: "not active"}
	}
	wanted := job.Skills
	if job.Kind != "" {
		wanted = append([]string{job.Kind}, wanted...)
	}
	for i, name := range wanted {
		skill := t.skill(name)
		switch {
		case skill == nil && i == 0 && job.Kind != "":
			return &machines.Text{ZH: "没有该机型资质", EN: "not qualified on this model"}
		case skill == nil:
			label := skillName(name)
			return &machines.Text{ZH: "没有" + label.ZH + "资质", EN: "not qualified: " + label.EN}
		case skill.expired(job.Day):
			label := skillName(name)
			return &machines.Text{ZH: label.ZH + "证已于 " + skill.ValidUntil.Format("2006-01-02") + " 过期",
				EN: "certificate expired " + skill.ValidUntil.Format("2 Jan 2006") + " (" + label.EN + ")"}
		}
	}
	return nil
}

func (t Technician) skill(name string) *Skill {
	for i := range t.Skills {
		if t.Skills[i].Name == name {
			return &t.Skills[i]
		}
	}
	return nil
}

// expired says whether a certificate has ended before a day; its last day counts.
func (s Skill) expired(day time.Time) bool {
	if s.ValidUntil == nil {
		return false
	}
	y, m, d := s.ValidUntil.Date()
	dy, dm, dd := day.Date()
	return time.Date(dy, dm, dd, 0, 0, 0, 0, time.UTC).After(time.Date(y, m, d, 0, 0, 0, 0, time.UTC))
}

// explainNearer completes the reason of those who may not go by how far they are,
// so that the dispatcher sees why a nearer one was not chosen.
func explainNearer(job Job, ranked []Candidate) {
	located := job.Latitude != nil && job.Longitude != nil
	for i, c := range ranked {
		if c.Excluded != nil {
			ranked[i].Excluded = notChosen(c, located && c.TravelMinutes < ranked[0].TravelMinutes, located)
		}
	}
}
