package maintenance

// The checklists, to be read and added to by people of the trade. A visit's list
// is a frame (what the kind of work begins and ends with) around the checks of its
// fault, or of its kind of machine. Units are UCUM, as the signals' are.

// checklistFrame is what a kind of work begins and ends with.
type checklistFrame struct {
	kind   string
	before []ChecklistItem
	after  []ChecklistItem
	rounds bool // without a fault: the round of the kind of machine
	proves bool // numbers are measured after the work and prove it
}

// faultCheck are the checks of some failure modes.
type faultCheck struct {
	name  string
	modes []string
	items []ChecklistItem
}

// machineRound is the walk round a kind of machine.
type machineRound struct {
	kind  string
	items []ChecklistItem
}

// yes is a check that passes or fails; a failed one opens a case of its failure mode.
func yes(zh, en, component, mode string) ChecklistItem {
	return ChecklistItem{Text: zh, TextEN: en, Kind: "pass_fail", Required: true, Component: component, FailureMode: mode}
}

// measured is a reading that its limits decide; it is kept as a reading of the signal too.
func measured(zh, en, unit string, low, high *float64, signal, component, mode string) ChecklistItem {
	return ChecklistItem{Text: zh, TextEN: en, Kind: "number", Unit: unit, Low: low, High: high, Required: true, Signal: signal, Component: component, FailureMode: mode}
}

func picture(zh, en string) ChecklistItem {
	return ChecklistItem{Text: zh, TextEN: en, Kind: "photo", Required: true}
}

func optional(i ChecklistItem) ChecklistItem { i.Required = false; return i }
func proof(i ChecklistItem) ChecklistItem    { i.Proof = true; return i }
func most(v float64) *float64                { return &v }
func least(v float64) *float64               { return &v }

// hourMeter is read at every visit: it is evidence, and it uncovers a meter that was turned back.
var hourMeter = ChecklistItem{Text: "小时计读数", TextEN: "Hour meter", Kind: "meter", Unit: "h", Low: least(0), Required: true, Signal: "operating_hours"}

var madeSafe = yes("停机、泄压、挂牌", "Stopped, pressure released, tagged", "", "")

var trialRun = proof(yes("带载试机正常，故障现象消失", "Trial run under load in order, the symptom is gone", "", ""))

// checklistFrames lists the kinds of work. The first one is taken for a kind without its own.
var checklistFrames = []checklistFrame{
	{kind: "inspection", before: []ChecklistItem{hourMeter, madeSafe}, after: []ChecklistItem{picture("现场照片", "Photo of the machine")}, rounds: true},
	{kind: "maintenance", before: []ChecklistItem{hourMeter, madeSafe,
		yes("更换机油和机滤", "Engine oil and filter changed", "engine", ""),
		yes("加注润滑脂", "Greased", "", ""),
		yes("检查皮带和管路", "Belts and hoses checked", "", "hydraulic_leak")}, after: []ChecklistItem{picture("保养后照片", "Photo after the service")}, rounds: true},
	{kind: "repair", before: []ChecklistItem{madeSafe, picture("维修前照片", "Photo before the repair")},
		after: []ChecklistItem{picture("维修后照片", "Photo after the repair"), trialRun, hourMeter}, proves: true},
	{kind: "patrol", before: []ChecklistItem{hourMeter}, after: []ChecklistItem{
		{Text: "机主或操作手的意见", TextEN: "What owner or operator says", Kind: "text", Required: true}, picture("现场照片", "Photo of the machine")}, rounds: true},
	{kind: "special", before: []ChecklistItem{{Text: "客户不满意的原因（原话）", TextEN: "Why the customer is not satisfied, in his words", Kind: "text", Required: true}},
		after: []ChecklistItem{proof(yes("问题已当面解决", "Settled face to face", "", "")), optional(picture("现场照片", "Photo"))}, proves: true},
	{kind: "remote", before: []ChecklistItem{{Text: "操作手描述的现象", TextEN: "What the operator sees", Kind: "text", Required: true}},
		after: []ChecklistItem{proof(yes("指导后恢复正常", "In order after the guidance", "", ""))}, proves: true},
}

// faultChecks lists what is checked for a failure mode.
var faultChecks = []faultCheck{
	{"fouled_cooler", []string{"fouled_cooler", "oil_overheated", "leaking_fan_motor", "overheating"}, []ChecklistItem{
		yes("散热片清洁、无堵塞", "Cooler fins clean and free", "hydraulic_cooler", "fouled_cooler"),
		optional(measured("风扇转速", "Fan speed", "/min", least(1400), nil, "fan_speed", "fan_motor", "leaking_fan_motor")),
		yes("风扇马达无内泄、无异响", "Fan motor without leak or noise", "fan_motor", "leaking_fan_motor"),
		measured("带载 30 分钟后液压油温", "Hydraulic oil temperature after 30 min under load", "Cel", nil, most(80), "hydraulic_oil_temp", "hydraulic_cooler", "fouled_cooler"),
	}},
	{"engine_cooling", []string{"engine_overheated", "air_end_overheated", "coolant_leak"}, []ChecklistItem{
		yes("散热器清洁、风扇皮带张紧正常", "Radiator clean, fan belt tight", "cooling_system", "engine_overheated"),
		yes("冷却液位正常、无渗漏", "Coolant level right, no leak", "cooling_system", "coolant_leak"),
		measured("带载 30 分钟后温度", "Temperature after 30 min under load", "Cel", nil, most(98), "coolant_temp", "cooling_system", "engine_overheated"),
	}},
	{"wear_plate", []string{"worn_wear_plate"}, []ChecklistItem{
		measured("眼镜板与切割环间隙", "Gap between wear plate and cutting ring", "mm", nil, most(2), "", "wear_plate", "worn_wear_plate"),
		measured("吸料效率", "Filling of the delivery cylinders", "%", least(75), nil, "filling_efficiency", "wear_plate", "worn_wear_plate"),
	}},
	{"bearing", []string{"bearing"}, []ChecklistItem{
		measured("轴承处振动", "Vibration at the bearing", "mm/s", nil, most(7.1), "vibration", "air_end", "bearing"),
		measured("轴承温度", "Bearing temperature", "Cel", nil, most(95), "bearing_temp", "air_end", "bearing"),
		yes("无异响、油样无金属屑", "No noise, no metal in the oil", "air_end", "bearing"),
	}},
	{"injector", []string{"injector", "governor_unstable"}, []ChecklistItem{
		measured("左排气温度", "Exhaust temperature, left bank", "Cel", nil, most(560), "exhaust_temp_left", "injectors", "injector"),
		measured("右排气温度", "Exhaust temperature, right bank", "Cel", nil, most(560), "exhaust_temp_right", "injectors", "injector"),
		yes("喷油器回油量一致", "Injectors return evenly", "injectors", "injector"),
		yes("转速和频率平稳", "Speed and frequency steady", "governor", "governor_unstable"),
	}},
	{"leak", []string{"hydraulic_leak", "air_leak", "swing_motor_leak", "swing_motor_seep", "leak"}, []ChecklistItem{
		yes("接头、油封、管路无渗漏", "Fittings, seals and hoses without leak", "hydraulic_system", "hydraulic_leak"),
		optional(measured("停机 10 分钟后液位", "Level 10 min after stopping", "%", least(60), nil, "hydraulic_oil_level", "hydraulic_system", "hydraulic_leak")),
	}},
	{"blockage", []string{"blocked_filter", "blocked_air_filter", "blocked_separator", "blocked_vent"}, []ChecklistItem{
		yes("滤芯清洁或已更换", "Filter element clean or changed", "return_filter", "blocked_filter"),
		optional(measured("滤芯压差", "Differential pressure of the filter", "bar", nil, most(1.8), "return_filter_dp", "return_filter", "blocked_filter")),
		yes("进排风通畅", "Air ways free", "air_filter", "blocked_air_filter"),
	}},
	{"imbalance", []string{"imbalance"}, []ChecklistItem{
		measured("联轴器处振动", "Vibration at the coupling", "mm/s", nil, most(18), "vibration", "coupling", "imbalance"),
		yes("联轴器对中、地脚紧固", "Coupling aligned, feet tight", "coupling", "imbalance"),
	}},
	{"pump", []string{"worn_main_pump"}, []ChecklistItem{
		measured("主泵泄油量", "Case drain flow of the main pump", "L/min", nil, most(25), "case_drain_flow", "main_pump", "worn_main_pump"),
		yes("主泵无异响", "Main pump without noise", "main_pump", "worn_main_pump"),
	}},
	{"engine_oil", []string{"low_oil_pressure"}, []ChecklistItem{
		yes("机油位正常、无乳化", "Oil level right, no emulsion", "engine", "low_oil_pressure"),
		yes("怠速机油压力正常（带压力表复测）", "Oil pressure at idle right, by gauge", "engine", "low_oil_pressure"),
	}},
	{"electrical", []string{"charging_failed", "motor_overloaded"}, []ChecklistItem{
		optional(measured("运行时电瓶电压", "Battery voltage while running", "V", least(24), most(30), "battery_voltage", "alternator", "charging_failed")),
		yes("接线端子紧固、无过热", "Terminals tight, not burnt", "alternator", "charging_failed"),
	}},
	{"sensor", []string{"sensor_failure", "no_data"}, []ChecklistItem{
		yes("传感器插头、线束完好", "Plug and harness of the sensor whole", "sensor", "sensor_failure"),
		yes("与手持仪表读数一致", "Agrees with a hand-held instrument", "sensor", "sensor_failure"),
	}},
}

// machineRounds lists the walk round each kind of machine.
var machineRounds = []machineRound{
	{"concrete_pump", []ChecklistItem{
		yes("散热片清洁", "Cooler fins clean", "hydraulic_cooler", "fouled_cooler"),
		yes("液压系统无渗漏", "Hydraulic system without leak", "hydraulic_system", "hydraulic_leak"),
		measured("眼镜板与切割环间隙", "Gap between wear plate and cutting ring", "mm", nil, most(2), "", "wear_plate", "worn_wear_plate"),
		yes("臂架、销轴、管卡无裂纹", "Boom, pins and pipe clamps without crack", "boom", "boom_crack"),
		yes("输送管壁厚合格", "Pipe walls thick enough", "pipeline", "worn_pipeline"),
	}},
	{"excavator", []ChecklistItem{
		yes("散热片清洁", "Cooler fins clean", "hydraulic_cooler", "fouled_cooler"),
		yes("回转马达无渗油", "Swing motor without seep", "swing_motor", "swing_motor_seep"),
		yes("液压系统无渗漏", "Hydraulic system without leak", "hydraulic_system", "hydraulic_leak"),
		yes("履带张紧合格", "Track tension right", "track", "loose_track"),
		yes("空滤指示正常", "Air filter indicator right", "air_filter", "blocked_air_filter"),
	}},
	{"compressor", []ChecklistItem{
		yes("油位正常、无乳化", "Oil level right, no emulsion", "air_end", "low_oil"),
		measured("主机处振动", "Vibration at the air end", "mm/s", nil, most(7.1), "vibration", "air_end", "bearing"),
		yes("无异响", "No noise", "air_end", "bearing"),
		yes("冷却器清洁", "Cooler clean", "oil_cooler", "fouled_cooler"),
		yes("管网无漏气", "Net without leak", "air_net", "air_leak"),
	}},
	{"genset", []ChecklistItem{
		yes("冷却液位正常、无渗漏", "Coolant level right, no leak", "cooling_system", "coolant_leak"),
		measured("电瓶电压", "Battery voltage", "V", least(24), most(30), "battery_voltage", "alternator", "charging_failed"),
		yes("进排风通畅", "Air ways free", "alternator", "blocked_vent"),
		yes("启动试验正常", "Starts in order", "engine", "start_failed"),
	}},
}
