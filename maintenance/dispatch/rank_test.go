package dispatch

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/machines"
)

func day(text string) time.Time {
	at, err := time.Parse("2006-01-02", text)
	if err != nil {
		panic(err)
	}
	return at
}

func until(text string) *time.Time { at := day(text); return &at }
func at(v float64) *float64        { return &v }

var (
	haibo = Technician{ID: uuid.MustParse("00000000-0000-7000-8000-000000000001"), Name: "陈海波", NameEN: "Chen Haibo", Active: true, Latitude: 26.893, Longitude: 112.572,
		Skills: []Skill{{"concrete_pump", 3, until("2027-03-31")}, {"hydraulics", 3, until("2027-03-31")}}, Van: map[string]int{"HF-3307": 1}}
	qiang = Technician{ID: uuid.MustParse("00000000-0000-7000-8000-000000000002"), Name: "李强", NameEN: "Li Qiang", Active: true, Latitude: 26.80, Longitude: 112.66,
		Skills: []Skill{{"genset", 3, until("2027-06-30")}}}
	feng = Technician{ID: uuid.MustParse("00000000-0000-7000-8000-000000000003"), Name: "彭飞", NameEN: "Peng Fei", Active: true, Latitude: 26.79, Longitude: 112.67,
		Skills: []Skill{{"concrete_pump", 2, until("2027-01-31")}, {"hydraulics", 2, until("2027-01-31")}}, Van: map[string]int{"HF-3307": 1, "FM-2208": 1}}
)

func hotOil() Job {
	return Job{Day: day("2026-06-04"), Kind: "concrete_pump", Skills: []string{"hydraulics"}, ResponsibleID: &haibo.ID, Latitude: at(26.78), Longitude: at(112.68),
		Parts: []Part{{"HF-3307", machines.Text{ZH: "滤芯", EN: "filter"}, nil}, {"FM-2208", machines.Text{ZH: "风扇马达", EN: "fan motor"}, []Depot{{machines.Text{ZH: "衡阳站", EN: "Hengyang"}, 1}}}}}
}

func find(t *testing.T, list []Candidate, who Technician) Candidate {
	t.Helper()
	for _, c := range list {
		if c.TechnicianID == who.ID {
			return c
		}
	}
	t.Fatalf("%s is not among the candidates", who.NameEN)
	return Candidate{}
}

func TestRank_EngineerInChargeComesFirstForAPreventiveVisit(t *testing.T) {
	ranked := Rank(hotOil(), []Technician{qiang, feng, haibo})
	if ranked[0].TechnicianID != haibo.ID {
		t.Fatalf("first is %s, want the engineer in charge", ranked[0].NameEN)
	}
}

func TestRank_DownMachineWeighsArrivalFirst(t *testing.T) {
	job := hotOil()
	job.Down = true
	if ranked := Rank(job, []Technician{haibo, feng}); ranked[0].TechnicianID != feng.ID {
		t.Fatalf("first is %s, want the nearer one", ranked[0].NameEN)
	}
}

func TestRank_SaysWhyInBothLanguages(t *testing.T) {
	ranked := Rank(hotOil(), []Technician{qiang, haibo})
	chosen := find(t, ranked, haibo)
	var zh, en []string
	for _, term := range chosen.Terms {
		zh, en = append(zh, term.Text.ZH), append(en, term.Text.EN)
	}
	for _, want := range []string{"包机责任人", "车程", "液压三级证有效至 2027-03", "车上有滤芯 1，无风扇马达（衡阳站库存 1）"} {
		if !strings.Contains(strings.Join(zh, ";"), want) {
			t.Errorf("%q lacks %q", zh, want)
		}
	}
	for _, want := range []string{"engineer in charge of this machine", "min drive", "hydraulics level 3 valid to 2027-03", "in van: filter 1; not in van: fan motor (1 at Hengyang)"} {
		if !strings.Contains(strings.Join(en, ";"), want) {
			t.Errorf("%q lacks %q", en, want)
		}
	}
	nearer := find(t, ranked, qiang)
	if nearer.Excluded == nil || nearer.Score != 0 {
		t.Fatalf("%+v must be excluded", nearer)
	}
	if want := "Li Qiang is nearer (5 min), not chosen: not qualified on this model"; nearer.Excluded.EN != want {
		t.Errorf("got %q, want %q", nearer.Excluded.EN, want)
	}
	if want := "李强更近（5 分钟），未选：没有该机型资质"; nearer.Excluded.ZH != want {
		t.Errorf("got %q, want %q", nearer.Excluded.ZH, want)
	}
}

func TestRank_QualificationIsAHardFilter(t *testing.T) {
	expired, inactive, unskilled := haibo, haibo, haibo
	expired.Skills = []Skill{{"concrete_pump", 3, until("2026-03-31")}, {"hydraulics", 3, until("2027-03-31")}}
	inactive.Active = false
	unskilled.Skills = []Skill{{"concrete_pump", 3, nil}}
	for name, tc := range map[string]struct {
		who  Technician
		want string
	}{
		"expired":   {expired, "certificate expired 31 Mar 2026"},
		"inactive":  {inactive, "not active"},
		"unskilled": {unskilled, "not qualified: hydraulics"},
		"model":     {qiang, "not qualified on this model"},
	} {
		c := Rank(hotOil(), []Technician{tc.who})[0]
		if c.Excluded == nil || !strings.Contains(c.Excluded.EN, tc.want) {
			t.Errorf("%s: excluded = %+v, want %q", name, c.Excluded, tc.want)
		}
	}
}

func TestRank_CertificateIsValidOnItsLastDay(t *testing.T) {
	who := haibo
	who.Skills = []Skill{{"concrete_pump", 3, until("2026-06-04")}, {"hydraulics", 3, nil}}
	job := hotOil()
	job.Day = day("2026-06-04").Add(23 * time.Hour)
	if c := Rank(job, []Technician{who})[0]; c.Excluded != nil {
		t.Errorf("excluded on the last day: %s", c.Excluded.EN)
	}
	job.Day = day("2026-06-05")
	if c := Rank(job, []Technician{who})[0]; c.Excluded == nil {
		t.Error("may go the day after")
	}
}

// Whatever the order of the technicians: same ranking, scores of 0 to 100 that
// are the sum of their terms, and the excluded last.
func TestRank_IsAFunctionOfItsArguments(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		job := hotOil()
		job.Down = r.IntN(2) == 0
		var people []Technician
		for i := range 1 + r.IntN(12) {
			who := []Technician{haibo, qiang, feng}[r.IntN(3)]
			who.ID[15], who.OpenOrders = byte(i+10), r.IntN(8)
			who.Latitude += r.Float64() * 5
			people = append(people, who)
		}
		first := Rank(job, people)
		r.Shuffle(len(people), func(i, j int) { people[i], people[j] = people[j], people[i] })
		if again := Rank(job, people); !reflect.DeepEqual(first, again) {
			t.Fatalf("order of arguments matters:\n%+v\n%+v", first, again)
		}
		for i, c := range first {
			sum := 0.0
			for _, term := range c.Terms {
				sum += term.Points
			}
			if c.Score < 0 || c.Score > 100 || round(sum) != c.Score || (c.Excluded != nil) != (len(c.Terms) == 0) {
				t.Fatalf("score %v of terms %+v", c.Score, c.Terms)
			}
			if i > 0 && (first[i-1].Excluded != nil && c.Excluded == nil || c.Excluded == nil && c.Score > first[i-1].Score) {
				t.Fatalf("out of order at %d", i)
			}
		}
	}
}
