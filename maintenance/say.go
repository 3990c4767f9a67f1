package maintenance

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/thirdstate/thirdstate/machines"
)

// zone is the service organisation's time zone: what is said on the phone and
// when a day begins.
var zone = time.FixedZone("UTC+8", 8*3600)

// localTime says a moment as people do on the phone.
func localTime(t time.Time) machines.Text {
	t = t.In(zone)
	return machines.Text{ZH: fmt.Sprintf("%d月%d日 %s", t.Month(), t.Day(), t.Format("15:04")), EN: t.Format("2 Jan 15:04")}
}

// localDay says a day.
func localDay(t time.Time) machines.Text {
	t = t.In(zone)
	return machines.Text{ZH: fmt.Sprintf("%d月%d日", t.Month(), t.Day()), EN: t.Format("2 Jan")}
}

// dayFrom says a day as seen from now: today, last night, yesterday, or its date.
func dayFrom(now, t time.Time) machines.Text {
	now, t = now.In(zone), t.In(zone)
	yesterday := now.AddDate(0, 0, -1)
	switch {
	case sameDay(now, t):
		return machines.Text{ZH: "今天", EN: "today"}
	case sameDay(yesterday, t) && t.Hour() >= 18:
		return machines.Text{ZH: "昨晚", EN: "last night"}
	case sameDay(yesterday, t):
		return machines.Text{ZH: "昨天", EN: "yesterday"}
	}
	day := localDay(t)
	return machines.Text{ZH: day.ZH, EN: "on " + day.EN}
}

// clockFrom says a moment of the near future: the hour alone when it is today.
func clockFrom(now, t time.Time) machines.Text {
	if sameDay(now.In(zone), t.In(zone)) {
		return machines.Text{ZH: t.In(zone).Format("15:04"), EN: t.In(zone).Format("15:04")}
	}
	return localTime(t)
}

func sameDay(a, b time.Time) bool {
	ay, am, ad := a.Date()
	by, bm, bd := b.Date()
	return ay == by && am == bm && ad == bd
}

// calledMachine is how a machine is named on the phone: by the last four digits of
// its serial number, which are on its side in big figures, else by its name.
func calledMachine(serial, name, nameEN string) machines.Text {
	if tail := tailOf(serial); tail != "" {
		return machines.Text{ZH: "尾号" + tail, EN: tail}
	}
	return machines.Text{ZH: machines.InLanguage("zh", name, nameEN), EN: machines.InLanguage("en", name, nameEN)}
}

// inBoth is what a person said: in both languages where he was noted in both.
func inBoth(text, textEN string) machines.Text {
	return machines.Text{ZH: machines.InLanguage("zh", text, textEN), EN: machines.InLanguage("en", text, textEN)}
}

// greeting opens a sentence with the person and, when known, who is speaking.
func greeting(salutation, salutationEN string, speaker machines.Text) machines.Text {
	g := machines.Text{ZH: "您好", EN: "Good day"}
	if salutation != "" {
		g.ZH = salutation + "您好"
	}
	if who := machines.InLanguage("en", salutation, salutationEN); who != "" {
		g.EN = "Good day " + who
	}
	if speaker.ZH == "" {
		return machines.Text{ZH: g.ZH + "，这里是服务中心。", EN: g.EN + ", service centre here. "}
	}
	return machines.Text{ZH: g.ZH + "，我是" + speaker.ZH + "。", EN: g.EN + ", " + speaker.EN + " here. "}
}

// workDone says what was done. The engineer's own words are quoted in the
// languages that he gave them in; another one names the kind of work.
func workDone(result, resultEN, activity string) machines.Text {
	said := machines.Text{ZH: "做了检修", EN: "it was worked on"}
	for _, a := range activities {
		if a.name == activity {
			said = a.text
		}
	}
	short := func(text string) string { return strings.TrimRight(clip(strings.TrimSpace(text), 80), "。.;；") }
	if result = short(result); resultEN != "" {
		said.EN = short(resultEN)
	}
	switch {
	case result == "":
	case strings.ContainsFunc(result, func(r rune) bool { return unicode.Is(unicode.Han, r) }):
		said.ZH = result
	default:
		said.EN = result
	}
	return said
}

// activity is a kind of work as ISO 14224 names it, and how it is said.
type activity struct {
	name string
	text machines.Text
}

// activities are those that are said on the phone.
var activities = []activity{
	{"replace", machines.Text{ZH: "换了件", EN: "a part was replaced"}},
	{"repair", machines.Text{ZH: "做了修理", EN: "it was repaired"}},
	{"adjust", machines.Text{ZH: "做了调整", EN: "it was adjusted"}},
	{"service", machines.Text{ZH: "做了保养", EN: "it was serviced"}},
	{"check", machines.Text{ZH: "做了检查", EN: "it was checked"}},
	{"inspection", machines.Text{ZH: "做了检查", EN: "it was inspected"}},
}

// deviationLeft says what the data show after a repair.
func deviationLeft(v *Verdict) machines.Text {
	switch {
	case v == nil:
		return machines.Text{}
	case !v.Enough:
		return machines.Text{ZH: "数据还在验证", EN: "the data are still being verified"}
	case v.Passed:
		return machines.Text{ZH: "数据已恢复正常", EN: "the data are back to normal"}
	}
	n, side := trimmedNumber(v.Deviation)+spokenUnit(v.Unit), v.side()
	return machines.Text{ZH: "数据上还" + side.ZH + " " + n, EN: "the data still show it " + n + " " + side.EN}
}

// side says on which side of normal a machine still is.
func (v *Verdict) side() machines.Text {
	if v.Deviation < 0 {
		return machines.Text{ZH: "低", EN: "low"}
	}
	return machines.Text{ZH: "高", EN: "high"}
}

func trimmedNumber(x float64) string {
	if x < 0 {
		x = -x
	}
	return strings.TrimSuffix(strconv.FormatFloat(x, 'f', 1, 64), ".0")
}

// spokenUnit writes a UCUM unit as people read it.
func spokenUnit(ucum string) string {
	switch ucum {
	case "", "1":
		return ""
	case "Cel", "K":
		return " ℃"
	case "%":
		return " %"
	}
	return " " + strings.Trim(ucum, "[]{}")
}

// clip cuts a text to n characters at most.
func clip(text string, n int) string {
	r := []rune(text)
	if len(r) <= n {
		return text
	}
	return string(r[:n-1]) + "…"
}

// shorten cuts a text to what a notice holds.
func shorten(t machines.Text) machines.Text {
	return machines.Text{ZH: clip(t.ZH, noticeRunes), EN: clip(t.EN, noticeRunes)}
}

// and puts two texts one after the other.
func and(a, b machines.Text) machines.Text { return machines.Text{ZH: a.ZH + b.ZH, EN: a.EN + b.EN} }
