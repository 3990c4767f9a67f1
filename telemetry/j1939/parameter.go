package j1939

// Parameter is a suspect parameter: its name, and for common ones where its value
// lies in which group.
type Parameter struct {
	SPN    uint32
	EN, ZH string
	place
}

// place is where a value lies and what it means.
type place struct {
	pgn        uint32
	first      int     // byte, from 0
	size       int     // bytes
	resolution float64 // of one step, in the signal's unit
	offset     float64
	signal     string
}

// Value is one signal of a message, in the signal's canonical UCUM unit.
type Value struct {
	SPN    uint32
	Signal string
	Value  float64
}

// Values reads what a message says of common parameters. What the control unit
// calls not available or an error is a gap and not a value.
func Values(m Message) []Value {
	var out []Value
	for i := range Parameters {
		p := &Parameters[i]
		if p.pgn != m.PGN || p.size == 0 || p.first+p.size > len(m.Data) {
			continue
		}
		if raw, ok := rawOf(m.Data[p.first : p.first+p.size]); ok {
			out = append(out, Value{SPN: p.SPN, Signal: p.signal, Value: float64(raw)*p.resolution + p.offset})
		}
	}
	return out
}

// rawOf reads a little-endian number; ok is false where its most significant byte
// says reserved (0xFB to 0xFD), error (0xFE) or not available (0xFF).
func rawOf(b []byte) (raw uint64, ok bool) {
	if b[len(b)-1] >= 0xFB {
		return 0, false
	}
	for i := len(b) - 1; i >= 0; i-- {
		raw = raw<<8 | uint64(b[i])
	}
	return raw, true
}

const bar = 0.01 // of a kilopascal

// Parameters lists the common suspect parameters by number. Add yours here.
//
//nolint:gochecknoglobals // an ordered list, never written
var Parameters = []Parameter{
	{84, "Wheel-based vehicle speed", "车速", place{65265, 1, 2, 1.0 / 256, 0, "vehicle_speed"}},
	{92, "Engine load at current speed", "发动机负荷率", place{61443, 2, 1, 1, 0, "engine_load"}},
	{94, "Fuel delivery pressure", "燃油供油压力", place{65263, 0, 1, 4 * bar, 0, "fuel_pressure"}},
	{96, "Fuel level", "燃油液位", place{65276, 1, 1, 0.4, 0, "fuel_level"}},
	{97, "Water in fuel", "燃油含水", place{}},
	{98, "Engine oil level", "机油液位", place{65263, 2, 1, 0.4, 0, "engine_oil_level"}},
	{100, "Engine oil pressure", "机油压力", place{65263, 3, 1, 4 * bar, 0, "engine_oil_pressure"}},
	{102, "Boost pressure", "增压压力", place{65270, 1, 1, 2 * bar, 0, "boost_pressure"}},
	{105, "Intake manifold temperature", "进气温度", place{65270, 2, 1, 1, -40, "intake_temp"}},
	{107, "Air filter differential pressure", "空滤压差", place{65270, 4, 1, 0.05 * bar, 0, "air_filter_dp"}},
	{110, "Engine coolant temperature", "冷却液温度", place{65262, 0, 1, 1, -40, "coolant_temp"}},
	{111, "Coolant level", "冷却液液位", place{65263, 7, 1, 0.4, 0, "coolant_level"}},
	{157, "Fuel rail pressure", "共轨压力", place{}},
	{158, "Key-switch battery voltage", "钥匙开关电瓶电压", place{65271, 6, 2, 0.05, 0, "key_switch_voltage"}},
	{168, "Battery voltage", "电瓶电压", place{65271, 4, 2, 0.05, 0, "battery_voltage"}},
	{171, "Ambient air temperature", "环境温度", place{65269, 3, 2, 0.03125, -273, "ambient_temp"}},
	{174, "Fuel temperature", "燃油温度", place{65262, 1, 1, 1, -40, "fuel_temp"}},
	{175, "Engine oil temperature", "机油温度", place{65262, 2, 2, 0.03125, -273, "engine_oil_temp"}},
	{183, "Fuel rate", "燃油消耗率", place{65266, 0, 2, 0.05, 0, "fuel_rate"}},
	{190, "Engine speed", "发动机转速", place{61444, 3, 2, 0.125, 0, "engine_speed"}},
	{247, "Engine total hours", "发动机累计小时", place{65253, 0, 4, 0.05, 0, "operating_hours"}},
	{250, "Total fuel used", "累计油耗", place{65257, 4, 4, 0.5, 0, "fuel_used"}},
	{513, "Actual engine torque", "发动机实际扭矩", place{61444, 2, 1, 1, -125, "engine_torque"}},
	{620, "5 V sensor supply", "传感器5V电源", place{}},
	{629, "Controller 1", "控制器1", place{}},
	{639, "J1939 network", "J1939网络", place{}},
	{651, "Injector cylinder 1", "1缸喷油器", place{}},
	{652, "Injector cylinder 2", "2缸喷油器", place{}},
	{653, "Injector cylinder 3", "3缸喷油器", place{}},
	{654, "Injector cylinder 4", "4缸喷油器", place{}},
	{655, "Injector cylinder 5", "5缸喷油器", place{}},
	{656, "Injector cylinder 6", "6缸喷油器", place{}},
	{1569, "Engine protection torque derate", "发动机保护限扭", place{}},
	{1638, "Hydraulic temperature", "液压油温", place{65128, 0, 1, 1, -40, "hydraulic_oil_temp"}},
	{1761, "Diesel exhaust fluid level", "尿素液位", place{65110, 0, 1, 0.4, 0, "def_level"}},
	{2602, "Hydraulic oil level", "液压油位", place{65128, 2, 1, 0.4, 0, "hydraulic_oil_level"}},
	{3031, "Diesel exhaust fluid temperature", "尿素温度", place{65110, 1, 1, 1, -40, "def_temp"}},
	{3251, "Particulate filter differential pressure", "颗粒捕集器压差", place{}},
	{3719, "Particulate filter soot load", "颗粒捕集器积碳", place{64891, 0, 1, 1, 0, "dpf_soot"}},
	{3720, "Particulate filter ash load", "颗粒捕集器积灰", place{64891, 1, 1, 1, 0, "dpf_ash"}},
	{3936, "Particulate filter", "颗粒捕集器", place{}},
	{4364, "SCR conversion efficiency", "SCR转化效率", place{}},
	{5246, "SCR operator inducement", "SCR驾驶员诱导", place{}},
}
