package intakelog

import "strings"

// Sources of records that were written to the log again: a dead letter, or the
// messages of a name that was claimed, which stands behind the prefix.
const (
	Replay        = "replay"
	ClaimedPrefix = "replay:"
)

// Replayed says whether a record was written to the log again after a person
// asked for it.
func (r *Record) Replayed() bool { return r.Source == Replay || r.Claimed() }

// Claimed says whether a record was kept as unclaimed before: what it holds of
// names that are still unknown is kept already.
func (r *Record) Claimed() bool { return strings.HasPrefix(r.Source, ClaimedPrefix) }
