package rules

import "time"

// The rules that no pack holds.
const (
	WatcherID  = "watcher"  // on a machine without a pack: every signal
	UnmappedID = "unmapped" // beside a pack: signals that it does not name
	SensorsID  = "sensors"  // on every machine: signals that are out or frozen while the others go on

	RedStopID     = "red-stop-lamp" // on machines with trouble codes
	WarningLampID = "warning-lamp"
)

// maxBuiltin is how many of them one machine may have.
const maxBuiltin = 5

// builtin is a rule that no pack holds, with its hash: all machines share it.
type builtin struct {
	rule *Rule
	hash string
}

//nolint:gochecknoglobals // never written
var (
	watcherRule = newBuiltin(Rule{
		ID: WatcherID, Kind: "watcher", FailureMode: "unknown", Severity: Advice,
		Title: "Signals have left their own normal", TitleZH: "信号偏离自身正常状态",
	})
	// What is wrong with a signal that no one has described is a hint only beside a pack.
	unmappedRule = newBuiltin(Rule{
		ID: UnmappedID, Kind: "watcher", FailureMode: "unknown", Severity: Info,
		Title: "Signals without a description have left their own normal", TitleZH: "未映射的信号偏离自身正常状态",
	})
	sensorsRule = newBuiltin(Rule{
		ID: SensorsID, Kind: "sensors", FailureMode: "sensor_failure", Severity: Advice, Clear: 10 * time.Minute,
		Title: "A sensor is silent or frozen, machine well", TitleZH: "传感器无数据或卡滞，设备正常",
		Causes:      []Text{{EN: "Sensor or its plug", ZH: "传感器或插头故障"}, {EN: "Cable broken or chafed", ZH: "线束断路或磨损"}},
		FirstChecks: []Text{{EN: "Plug and cable of the sensor", ZH: "传感器插头与线束"}, {EN: "Has somebody taken the signal off the gateway?", ZH: "是否有人在网关上取消了该信号"}},
		Skills:      []string{"electrical"}, PFDays: 30, Verify: Repair{RegimeHours: 1},
	})
)

// Lamps of trouble codes. The codes that have them on are named in the evidence.
//
//nolint:gochecknoglobals // never written
var (
	redStopRule = newBuiltin(Rule{
		ID: RedStopID, Kind: "lamp", Signal: redStop, FailureMode: "red_stop_lamp", Severity: Alarm, Clear: 10 * time.Minute,
		Title: "Red stop lamp", TitleZH: "红色停机灯亮",
		FirstChecks: []Text{
			{EN: "Stop the engine at once and do not start it again before the cause is known", ZH: "立即停机，查明原因前不要再启动"},
			{EN: "Look at what the code names: oil and coolant level, leaks, belts", ZH: "按故障码检查：机油和冷却液液位、渗漏、皮带"},
			{EN: "Read the codes with the maker's tool before the battery is disconnected", ZH: "断电前用厂家诊断仪读取故障码"},
		},
		Verify: Repair{RegimeHours: 1},
	})
	warningLampRule = newBuiltin(Rule{
		ID: WarningLampID, Kind: "lamp", Signal: warningLamp, FailureMode: "warning_lamp", Severity: Warning, Hold: 5 * time.Minute, Clear: 10 * time.Minute,
		Title: "Warning lamp", TitleZH: "警告灯亮",
		FirstChecks: []Text{{EN: "Look at what the code names; the machine may go on working", ZH: "按故障码检查，设备可继续工作"}},
		Verify:      Repair{RegimeHours: 1},
	})
)

func newBuiltin(r Rule) builtin { return builtin{&r, r.Hash()} }

// Builtin gives a rule that no pack holds, nil for other ids. It is shared: copy
// it before you change it.
func Builtin(id string) *Rule {
	switch id {
	case WatcherID:
		return watcherRule.rule
	case UnmappedID:
		return unmappedRule.rule
	case SensorsID:
		return sensorsRule.rule
	case RedStopID:
		return redStopRule.rule
	case WarningLampID:
		return warningLampRule.rule
	}
	return nil
}
