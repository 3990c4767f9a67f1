package rules

import "math"

// zoneLimits are where zones B, C and D begin in a standard.
type zoneLimits struct {
	name  string
	unit  string
	begin [3]float64
}

// vibrationZones lists the tables of ISO 20816 and its forerunners: broadband
// velocity r.m.s. in mm/s, or displacement r.m.s. in um, of steady operation. The
// numbers are those of the published tables; a site may write limits of its own.
//
//nolint:gochecknoglobals // never written
var vibrationZones = []zoneLimits{
	// ISO 20816-3:2022. 1: above 300 kW, or shaft height from 315 mm. 2: 15 to 300 kW, or 160 to 315 mm.
	{"iso20816-3/1/rigid", "mm/s", [3]float64{2.3, 4.5, 7.1}},
	{"iso20816-3/1/flexible", "mm/s", [3]float64{3.5, 7.1, 11}},
	{"iso20816-3/2/rigid", "mm/s", [3]float64{1.4, 2.8, 4.5}},
	{"iso20816-3/2/flexible", "mm/s", [3]float64{2.3, 4.5, 7.1}},
	{"iso20816-3/1/rigid/displacement", "um", [3]float64{29, 57, 90}},
	{"iso20816-3/1/flexible/displacement", "um", [3]float64{45, 90, 140}},
	{"iso20816-3/2/rigid/displacement", "um", [3]float64{22, 45, 71}},
	{"iso20816-3/2/flexible/displacement", "um", [3]float64{37, 71, 113}},
	// ISO 10816-7, rotodynamic pumps: category I (critical) and II, to 200 kW and above.
	{"iso10816-7/1/to-200kW", "mm/s", [3]float64{2.5, 4.0, 6.6}},
	{"iso10816-7/1/above-200kW", "mm/s", [3]float64{3.5, 5.6, 9.0}},
	{"iso10816-7/2/to-200kW", "mm/s", [3]float64{3.2, 5.1, 8.5}},
	{"iso10816-7/2/above-200kW", "mm/s", [3]float64{4.2, 6.1, 9.5}},
	// ISO 10816-1, classes of machines.
	{"iso10816-1/class-1", "mm/s", [3]float64{0.71, 1.8, 4.5}},
	{"iso10816-1/class-2", "mm/s", [3]float64{1.12, 2.8, 7.1}},
	{"iso10816-1/class-3", "mm/s", [3]float64{1.8, 4.5, 11.2}},
	{"iso10816-1/class-4", "mm/s", [3]float64{2.8, 7.1, 18}},
}

// zones are the names of zones, best first; A has no limit.
const zoneNames = "ABCD"

// particles is the greatest number of particles in a millilitre of each ISO 4406
// code, from code 0 on. It is the table of the standard, which doubling only
// comes near to: code 7 ends at 1.3.
//
//nolint:gochecknoglobals // never written
var particles = [...]float64{
	0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.3, 2.5, 5, 10, 20, 40, 80, 160, 320, 640, 1300, 2500,
	5000, 10000, 20000, 40000, 80000, 160000, 320000, 640000, 1300000, 2500000,
}

// cleanlinessCode is the ISO 4406 code of a count of particles in a millilitre; one
// above the last code is for more than the standard counts.
func cleanlinessCode(count float64) int {
	for code, most := range particles {
		if count <= most*(1+1e-9) { // counts are converted from other units
			return code
		}
	}
	return len(particles)
}

// mostParticles is the greatest count of a code.
func mostParticles(code int) float64 {
	if code >= len(particles) {
		return math.MaxFloat64
	}
	return particles[max(code, 0)]
}

// FailureMode is one of ISO 14224:2016, table B.15 and following.
type FailureMode struct {
	Code string
	Name Text
}

// FailureModes lists the failure modes of ISO 14224 by their codes.
//
//nolint:gochecknoglobals // never written
var FailureModes = []FailureMode{
	{"AIR", Text{"Abnormal instrument reading", "仪表读数异常"}},
	{"BRD", Text{"Breakdown", "损坏停机"}},
	{"DOP", Text{"Delayed operation", "动作延迟"}},
	{"ELF", Text{"External leakage, fuel", "燃油外漏"}},
	{"ELP", Text{"External leakage, process medium", "工艺介质外漏"}},
	{"ELU", Text{"External leakage, utility medium", "辅助介质外漏"}},
	{"ERO", Text{"Erratic output", "输出不稳"}},
	{"FCO", Text{"Failure to connect", "接通失败"}},
	{"FDC", Text{"Failure to disconnect", "断开失败"}},
	{"FRO", Text{"Failure to rotate", "不能旋转"}},
	{"FTC", Text{"Failure to close on demand", "不能关闭"}},
	{"FTF", Text{"Failure to function on demand", "不能动作"}},
	{"FTI", Text{"Failure to function as intended", "功能未达预期"}},
	{"FTO", Text{"Failure to open on demand", "不能打开"}},
	{"FTS", Text{"Failure to start on demand", "不能启动"}},
	{"HIO", Text{"High output", "输出过高"}},
	{"IHT", Text{"Insufficient heat transfer", "换热不足"}},
	{"INL", Text{"Internal leakage", "内漏"}},
	{"LBP", Text{"Low oil supply pressure", "供油压力低"}},
	{"LOA", Text{"Load drop", "负载坠落"}},
	{"LOO", Text{"Low output", "输出过低"}},
	{"LOR", Text{"Loss of redundancy", "失去冗余"}},
	{"NOI", Text{"Noise", "噪声"}},
	{"NOO", Text{"No output", "无输出"}},
	{"OHE", Text{"Overheating", "过热"}},
	{"OTH", Text{"Other", "其他"}},
	{"PDE", Text{"Parameter deviation", "参数偏离"}},
	{"PLU", Text{"Plugged or choked", "堵塞"}},
	{"SER", Text{"Minor in-service problems", "运行中小缺陷"}},
	{"STD", Text{"Structural deficiency", "结构缺陷"}},
	{"STP", Text{"Failure to stop on demand", "不能停止"}},
	{"UNK", Text{"Unknown", "未知"}},
	{"UST", Text{"Spurious stop", "误停机"}},
	{"VIB", Text{"Vibration", "振动"}},
}
