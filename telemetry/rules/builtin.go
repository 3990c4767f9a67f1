package rules

// The rules that no pack holds.
const (
	WatcherID  = "watcher"  // on a machine without a pack: every signal
	UnmappedID = "unmapped" // beside a pack: signals that it does not name
)

// Builtin gives a rule that no pack holds, nil for other ids. What is wrong with a
// signal that no one has described is a hint only beside a pack.
func Builtin(id string) *Rule {
	r := &Rule{
		ID: id, Kind: "watcher", FailureMode: "unknown", Severity: Advice,
		Title: "Signals have left their own normal", TitleZH: "信号偏离自身正常状态",
	}
	switch id {
	case WatcherID:
		return r
	case UnmappedID:
		r.Severity = Info
		r.Title, r.TitleZH = "Signals without a description have left their own normal", "未映射的信号偏离自身正常状态"
		return r
	}
	return nil
}
