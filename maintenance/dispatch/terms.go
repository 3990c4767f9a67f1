package dispatch

import (
	"fmt"
	"slices"
	"strings"

	"github.com/thirdstate/thirdstate/machines"
)

// terms are the parts of a technician's score, in the order in which they are shown.
func terms(job Job, t Technician, minutes int, w weights) []Term {
	return []Term{responsible(job, t, w.responsible), drive(job, minutes, w.travel), skilled(job, t, w.skill), load(t, w.load), parts(job, t, w.parts)}
}

func responsible(job Job, t Technician, most float64) Term {
	if job.ResponsibleID != nil && *job.ResponsibleID == t.ID {
		return Term{"responsible", most, machines.Text{ZH: "包机责任人", EN: "engineer in charge of this machine"}}
	}
	return Term{"responsible", 0, machines.Text{ZH: "非包机责任人", EN: "not in charge of this machine"}}
}

// drive gives half of the points at 45 minutes, a third at 90: near ones are told
// apart, far ones are all far.
func drive(job Job, minutes int, most float64) Term {
	if job.Latitude == nil || job.Longitude == nil {
		return Term{"travel", round(most / 2), machines.Text{ZH: "设备位置未知", EN: "the machine's position is unknown"}}
	}
	return Term{"travel", round(most * travelScale / (travelScale + float64(minutes))),
		machines.Text{ZH: fmt.Sprintf("车程 %d 分钟", minutes), EN: fmt.Sprintf("%d min drive", minutes)}}
}

// topLevel is the highest level of a skill.
const topLevel = 3

// skilled takes the mean level of what the job asks for, and shows the skill that
// the job names before the one on the kind of machine.
func skilled(job Job, t Technician, most float64) Term {
	wanted := slices.Clone(job.Skills)
	if job.Kind != "" {
		wanted = append(wanted, job.Kind)
	}
	if len(wanted) == 0 {
		return Term{"skill", most, machines.Text{ZH: "无特殊资质要求", EN: "no skill is asked for"}}
	}
	sum, zh, en := 0.0, []string{}, []string{}
	for i, name := range wanted {
		s := t.skill(name) // is there: who lacks it was excluded
		if s == nil {
			continue
		}
		sum += float64(min(s.Level, topLevel)) / topLevel
		if i > 0 {
			continue
		}
		label := skillName(name)
		zh, en = append(zh, label.ZH+levelZH(s.Level)+"证"), append(en, fmt.Sprintf("%s level %d", label.EN, s.Level))
		if s.ValidUntil != nil {
			zh[0] += "有效至 " + s.ValidUntil.Format("2006-01")
			en[0] += " valid to " + s.ValidUntil.Format("2006-01")
		}
	}
	return Term{"skill", round(most * sum / float64(len(wanted))), machines.Text{ZH: strings.Join(zh, ""), EN: strings.Join(en, "")}}
}

func levelZH(level int) string {
	if names := []string{"一级", "二级", "三级"}; level >= 1 && level <= len(names) {
		return names[level-1]
	}
	return fmt.Sprintf("%d级", level)
}

// load takes a quarter of the points for each open order.
func load(t Technician, most float64) Term {
	points := round(most * max(0, 1-float64(t.OpenOrders)/4))
	if t.OpenOrders == 0 {
		return Term{"load", points, machines.Text{ZH: "手上无单", EN: "no open orders"}}
	}
	en := fmt.Sprintf("%d open orders", t.OpenOrders)
	if t.OpenOrders == 1 {
		en = "1 open order"
	}
	return Term{"load", points, machines.Text{ZH: fmt.Sprintf("手上 %d 单", t.OpenOrders), EN: en}}
}

// parts gives the share of the job's parts that lie in the van, and says which
// station has what does not.
func parts(job Job, t Technician, most float64) Term {
	if len(job.Parts) == 0 {
		return Term{"parts", most, machines.Text{ZH: "不需配件", EN: "no parts needed"}}
	}
	var have, lack machines.Text
	n := 0
	for _, p := range job.Parts {
		if q := t.Van[p.Number]; q > 0 {
			n++
			have = listed(have, machines.Text{ZH: fmt.Sprintf("%s %d", p.Name.In("zh"), q), EN: fmt.Sprintf("%s %d", p.Name.In("en"), q)})
			continue
		}
		lack = listed(lack, machines.Text{ZH: p.Name.In("zh") + p.depots("zh"), EN: p.Name.In("en") + p.depots("en")})
	}
	text := machines.Text{ZH: "车上有" + have.ZH, EN: "in van: " + have.EN}
	switch {
	case n == 0:
		text = machines.Text{ZH: "车上无" + lack.ZH, EN: "not in van: " + lack.EN}
	case lack.ZH != "":
		text = machines.Text{ZH: text.ZH + "，无" + lack.ZH, EN: text.EN + "; not in van: " + lack.EN}
	}
	return Term{"parts", round(most * float64(n) / float64(len(job.Parts))), text}
}

func listed(list, one machines.Text) machines.Text {
	if list.ZH == "" {
		return one
	}
	return machines.Text{ZH: list.ZH + "、" + one.ZH, EN: list.EN + ", " + one.EN}
}

// depots names the stations that hold a part, or says that none does.
func (p Part) depots(language string) string {
	var places []string
	for _, d := range p.Depots {
		if d.Quantity > 0 && language == "zh" {
			places = append(places, fmt.Sprintf("%s库存 %d", d.Name.ZH, d.Quantity))
		} else if d.Quantity > 0 {
			places = append(places, fmt.Sprintf("%d at %s", d.Quantity, d.Name.In("en")))
		}
	}
	switch {
	case len(places) > 0 && language == "zh":
		return "（" + strings.Join(places, "、") + "）"
	case len(places) > 0:
		return " (" + strings.Join(places, ", ") + ")"
	case language == "zh":
		return "（各站无库存）"
	}
	return " (no station has one)"
}

// notChosen is why a technician was not chosen, beginning with his name.
func notChosen(c Candidate, nearer, located bool) *machines.Text {
	who, en := c.Name, machines.InLanguage("en", c.Name, c.NameEN)
	why := *c.Excluded
	switch {
	case nearer:
		return &machines.Text{ZH: fmt.Sprintf("%s更近（%d 分钟），未选：%s", who, c.TravelMinutes, why.ZH), EN: fmt.Sprintf("%s is nearer (%d min), not chosen: %s", en, c.TravelMinutes, why.EN)}
	case located:
		return &machines.Text{ZH: fmt.Sprintf("%s（%d 分钟），未选：%s", who, c.TravelMinutes, why.ZH), EN: fmt.Sprintf("%s (%d min), not chosen: %s", en, c.TravelMinutes, why.EN)}
	}
	return &machines.Text{ZH: who + "，未选：" + why.ZH, EN: en + ", not chosen: " + why.EN}
}

// skillName says a skill as people do; one that is not listed is shown as it is.
func skillName(name string) machines.Text {
	for _, s := range skillNames {
		if s.name == name {
			return s.text
		}
	}
	return machines.Text{ZH: name, EN: strings.ReplaceAll(name, "_", " ")}
}

// skillNames lists the skills that have a name in both languages. Add yours here.
var skillNames = []struct {
	name string
	text machines.Text
}{
	{"concrete_pump", machines.Text{ZH: "混凝土泵车", EN: "concrete pump"}},
	{"excavator", machines.Text{ZH: "挖掘机", EN: "excavator"}},
	{"compressor", machines.Text{ZH: "空压机", EN: "compressor"}},
	{"genset", machines.Text{ZH: "发电机组", EN: "genset"}},
	{"crane", machines.Text{ZH: "起重机", EN: "crane"}},
	{"pump", machines.Text{ZH: "泵", EN: "pump"}},
	{"engine", machines.Text{ZH: "发动机", EN: "engine"}},
	{"hydraulics", machines.Text{ZH: "液压", EN: "hydraulics"}},
	{"electrical", machines.Text{ZH: "电气", EN: "electrical"}},
	{"mechanics", machines.Text{ZH: "机械", EN: "mechanics"}},
	{"refrigeration", machines.Text{ZH: "制冷", EN: "refrigeration"}},
}
