package rules

import "time"

// The rules that no pack holds.
const (
	WatcherID  = "watcher"  // on a machine without a pack: every signal
	UnmappedID = "unmapped" // beside a pack: signals that it does not name
	SensorsID  = "sensors"  // on every machine: signals that are out or frozen while the others go on
)

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
	}
	return nil
}
