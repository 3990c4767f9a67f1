// Package silence decides why a machine says nothing: it is switched off, it works
// where no network reaches it, or nobody can tell. It is pure: what was said, when,
// how connections ended and ticks of event time decide, so that a replay of the
// intake log decides the same. It must not know a database, a broker or a clock.
//
// A sensor that is silent while its machine goes on talking is no silence of the
// machine; the rule "sensors" finds it.
package silence

import "time"

// Cause is what a silence means; the words are those of a machine's connectivity.
type Cause string

// The causes.
const (
	Off        Cause = "off"
	NoCoverage Cause = "no_coverage"
	Unknown    Cause = "silent" // undecided, and no guess is made
)

// Reason is one thing that speaks for or against a cause. The words are those of
// the machine file, and of the pages' texts "silence.why.".
type Reason string

// The reasons, in the order in which they are told.
const (
	Backlog     Reason = "backlog"      // what it measured meanwhile has come later
	AtRest      Reason = "at_rest"      // its last words: ignition off, no speed, no load
	AtWork      Reason = "at_work"      // its last words: it was working
	Goodbye     Reason = "goodbye"      // its sender took leave
	LinkBroken  Reason = "link_broken"  // its connection broke without a good-bye
	ToldGone    Reason = "told_gone"    // it is said to be gone: by itself or by its broker, nobody knows
	WithGateway Reason = "with_gateway" // everything behind its gateway fell silent together
	WithSite    Reason = "with_site"    // others of its site that worked fell silent together with it
	AfterHours  Reason = "after_hours"  // its usual working hours had ended
	MissedHours Reason = "missed_hours" // it usually works at the time, and says nothing
	NoWords     Reason = "no_words"     // what it says does not tell whether it works
)

// Reasons lists every reason, in the order in which they are told.
func Reasons() []Reason {
	return []Reason{Backlog, AtRest, AtWork, Goodbye, LinkBroken, ToldGone, WithGateway, WithSite, AfterHours, MissedHours, NoWords}
}

// Words is what a machine's last words say of its work.
type Words uint8

// The words.
const (
	NoneSaid Words = iota
	Resting
	Working
)

// Leave is how a machine's connection ended, as far as somebody said so.
type Leave uint8

// How a connection ends.
const (
	NoLeave Leave = iota
	TookLeave
	Broke // a last will, or the broker gave the connection up
	Gone  // the sender's topic says offline, and it may be either
)

// Together is who fell silent at the same time.
type Together uint8

// Who was with it.
const (
	Alone Together = iota
	Gateway
	Site
)

// Evidence is all that is known of one silence.
type Evidence struct {
	Words    Words
	Leave    Leave
	Together Together
	Ended    bool // its usual working hours
	Missed   bool // a usual working hour has passed in silence
	Backlog  bool
}

// Cause decides. The first line that holds counts; what stands first is proof, or
// is said by the machine itself, and what stands last is likely.
func (e Evidence) Cause() Cause {
	switch {
	case e.Backlog:
		return NoCoverage
	case e.Words == Resting, e.Leave == TookLeave:
		return Off
	case e.Ended && !e.Missed:
		return Off
	case e.Together == Gateway, e.Together == Site && e.Words == Working:
		return NoCoverage
	case e.Leave == Broke && e.Words == Working, e.Leave == Gone && e.Words == Working:
		return NoCoverage
	case e.Leave == Gone && e.Words == NoneSaid:
		return Off
	}
	return Unknown
}

// Reasons lists what is known of one silence, also what speaks against the cause.
func (e Evidence) Reasons() []Reason {
	var list []Reason
	add := func(holds bool, r Reason) {
		if holds {
			list = append(list, r)
		}
	}
	add(e.Backlog, Backlog)
	add(e.Words == Resting, AtRest)
	add(e.Words == Working, AtWork)
	add(e.Leave == TookLeave, Goodbye)
	add(e.Leave == Broke, LinkBroken)
	add(e.Leave == Gone, ToldGone)
	add(e.Together == Gateway, WithGateway)
	add(e.Together == Site, WithSite)
	add(e.Ended && !e.Missed, AfterHours)
	add(e.Missed, MissedHours)
	add(e.Words == NoneSaid, NoWords)
	return list
}

// Silence is one time in which a machine said nothing, as it is known now. It is
// told again when it ends and whenever more is known of it; Since names it.
type Silence struct {
	Since   time.Time // its last words, event time
	Noticed time.Time // when it was noticed, event time
	Until   time.Time // its next words; zero while it goes on
	First   Cause     // what was thought when it was noticed
	Evidence
}
