package rules

// The rules that no pack holds.
const (
	WatcherID  = "watcher"  // on a machine without a pack: every signal
	UnmappedID = "unmapped" // beside a pack: signals that it does not name
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
	}
	return nil
}
