package watchfile

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// words says things in one of two languages.
type words struct{ zh, timed bool }

func (w words) say(en, zh string, args ...any) string {
	if w.zh {
		en = zh
	}
	if len(args) == 0 {
		return en
	}
	return fmt.Sprintf(en, args...)
}

// when names a row by its time, where there is one.
func (w words) when(at time.Time, row int) string {
	if !w.timed {
		return w.say("row %d", "第 %d 行", row)
	}
	return at.Format("2006-01-02 15:04:05")
}

// span says from when to when an episode lasted.
func (w words) span(e Episode) string {
	from := w.when(e.OpenedAt, e.Opened)
	if e.Closed == 0 {
		return w.say("from %s on, open at the end of the file", "自 %s 起,文件结束时仍未恢复", from)
	}
	return w.say("from %s to %s", "自 %s 至 %s", from, w.when(e.ClosedAt, e.Closed))
}

// why explains a finding in sentences.
func (w words) why(e rules.Evidence) []string {
	var list []string
	near := func(v float64) string { return to(v, e.Limit) }
	if e.Kind == "threshold" {
		near = figure4
	}
	add := func(en, zh string, args ...any) { list = append(list, w.say(en, zh, args...)) }
	switch {
	case e.Sign != "":
		signs := map[string][2]string{"frozen": {"frozen", "卡滞"}, "absent": {"silent", "无数据"}, "implausible": {"out of what is possible", "超出可能范围"}}
		add("%s is %s while the others go on: the sensor before the machine.", "%s %s,其余信号正常:先查传感器。", e.Signal, w.say(signs[e.Sign][0], signs[e.Sign][1]))
	case e.Kind == "threshold":
		add("%s was %s, beyond its limit of %s.", "%s 为 %s,超过限值 %s。", e.Signal, figure4(e.Observed), figure4(e.Limit))
	case e.Signal != "" && e.Deviation != 0:
		add("%s was %s where %s is normal (%s to %s): %s away.", "%s 为 %s,正常值 %s(范围 %s 至 %s),偏离 %s。",
			e.Signal, near(e.Observed), near(e.Normal), near(e.Low), near(e.High), signed(e.Deviation))
	case e.Signal != "":
		add("Seen on %s.", "信号:%s。", e.Signal)
	}
	if len(e.Causes) > 0 {
		add("By earliest departure: %s.", "按最早偏离排序:%s。", w.causes(e.Causes))
	}
	if e.StopAt != nil && w.timed {
		if d := e.DaysToLimit; d != nil {
			add("On this trend it reaches %s, where the machine stops, in %s to %s days (80 %% interval).", "照此趋势,%[2]s 至 %[3]s 天后到达停机线 %[1]s(80 %% 区间)。", figure4(*e.StopAt), figure4(d[0]), figure4(d[1]))
		} else {
			add("When it reaches %s, where the machine stops: no estimate.", "何时到达停机线 %s:无估计。", figure4(*e.StopAt))
		}
	}
	if e.Regime != "" {
		add("Only looked at while %s.", "仅在 %s 时判断。", e.Regime)
	}
	if u := e.Unless; u != nil {
		side := w.say("above", "不低于")
		if u.Below {
			side = w.say("below", "不高于")
		}
		add("Would not have been raised had %s stayed %s %s.", "若 %s 保持%s %s,则不会报出。", u.Signal, side, near(u.Value))
	}
	if s := e.Sisters; s != nil && s.AtWork > 0 {
		add("Beside %d machines: %.1f of their spreads from the middle, which is %s from normal.", "与 %d 台设备相比:距中位 %.1f 倍离散度,中位偏离正常 %s。", s.AtWork, math.Abs(s.Distance), signed(s.Middle))
	}
	if s := e.Sisters; s != nil && s.Alike() {
		add("Most of them have gone the same way, as by the weather.", "多数设备同向偏离,如天气所致。")
	}
	if e.SisterPercentile != nil {
		add("Farther from its own normal than %.0f %% of the others.", "偏离程度超过其他设备中的 %.0f %%。", *e.SisterPercentile)
	}
	return list
}

func (w words) causes(list []rules.Cause) string {
	var parts []string
	for _, c := range list {
		if len(parts) > 0 && c.Share < 0.005 {
			continue
		}
		part := fmt.Sprintf("%s %.0f %%", c.Signal, 100*c.Share)
		if !c.Since.IsZero() && w.timed {
			part += w.say(" (since %s)", "(自 %s)", c.Since.Format("2006-01-02 15:04:05"))
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, w.say(", ", "、"))
}

// to writes a value as finely as a difference of step shows.
func to(v, step float64) string {
	if !(math.Abs(step) > 1e-12) {
		return figure4(v)
	}
	digits := int(math.Max(0, math.Min(12, 1-math.Floor(math.Log10(math.Abs(step))))))
	return strconv.FormatFloat(v, 'f', digits, 64)
}

func figure4(v float64) string { return fmt.Sprintf("%.4g", v) }

func signed(v float64) string { return fmt.Sprintf("%+.3g", v) }

// Tally says what a run came to in one line, in "en" or else in Chinese.
func (s Summary) Tally(language string) string {
	if language != "en" {
		return fmt.Sprintf("%d 行,%d 台设备,%d 个信号,%d 次异常", s.Rows, s.Machines, len(s.Signals), len(s.Episodes))
	}
	return count1(s.Rows, "row") + ", " + count1(s.Machines, "machine") + ", " + count1(len(s.Signals), "signal") + ", " + count1(len(s.Episodes), "episode")
}

// count1 writes a number of things.
func count1(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
