package telemetry

import "strings"

// Where replayed records come from: a dead letter, or the messages of a name that
// was claimed, which stands behind the prefix.
const (
	replaySource  = "replay"
	claimedPrefix = "replay:"
)

// replayed says whether a record was written to the log again after a person
// asked for it.
func replayed(source string) bool { return source == replaySource || claimed(source) }

// claimed says whether a record was kept as unclaimed before: what it holds of
// names that are still unknown is kept already.
func claimed(source string) bool { return strings.HasPrefix(source, claimedPrefix) }
