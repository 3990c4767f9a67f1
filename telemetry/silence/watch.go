package silence

import "time"

// keptSpells is how many silences of a machine a late backlog can still explain.
const keptSpells = 4

// lateAfter is how old what a machine says must be when it comes, to be a backlog.
const lateAfter = int64(5 * time.Minute)

// leastSpell is what a database can tell from nothing: a machine that came back at once.
const leastSpell = int64(time.Microsecond)

// rethinkFor is how long after a silence was noticed it is asked each minute whether
// others have fallen silent too; later once an hour.
const rethinkFor = int64(time.Hour)

// Watch is what is remembered of one machine. The zero value has heard nothing. It
// is not safe for concurrent use.
type Watch struct {
	last    int64 // newest event time that it has named, Unix ns; 0 = never heard
	heard   int64 // tick before its newest message: its clock may be behind
	excused int64 // until when silence is ours
	rhythm  rhythm
	week    week
	spoke   bool // in the present hour
	hour    int64
	leave   Leave
	spells  []spell // the newest last; only that one may be open
}

type spell struct {
	since, noticed, until int64 // until 0 = it goes on
	thought               Cause // when it was noticed
	first, proof          int64 // oldest and newest that was measured in it and came later, 0 = nothing
	Evidence
}

// Surroundings are what the machine itself does not know; they are asked only when
// something has to be decided.
type Surroundings struct {
	Words    func() Words
	Together func(since, window int64) Together
}

// Resume begins a watch of a machine that was heard before anybody watched.
func (w *Watch) Resume(last int64) { w.last, w.heard = last, last }

// Last is the newest event time that the machine has named, 0 before the first.
func (w *Watch) Last() int64 { return w.last }

// Window is within how long after each other two machines fall silent together, ns.
func (w *Watch) Window() int64 { return 2*w.rhythm.mean + int64(2*time.Minute) }

// Quiet says whether the machine has said nothing for a while and for three of its
// usual distances.
func (w *Watch) Quiet(now int64, while time.Duration) bool {
	return w.open() != nil || now-max(w.last, w.heard, w.excused) > max(int64(while), 3*w.rhythm.mean)
}

// Silent is the silence that goes on, nil while the machine speaks.
func (w *Watch) Silent() *Silence {
	if s := w.open(); s != nil {
		told := s.told()
		return &told
	}
	return nil
}

func (w *Watch) open() *spell {
	if n := len(w.spells); n > 0 && w.spells[n-1].until == 0 {
		return &w.spells[n-1]
	}
	return nil
}

// Heard notes a message: measured at an instant, come after the tick of now. timed
// says that the machine's own clock has named the instant. It tells what changes: a
// silence ends, or turns out to have been no coverage. around is as before the message.
func (w *Watch) Heard(at, now int64, timed bool, around Surroundings) []Silence {
	told := w.remember(at, now, timed)
	if w.last == 0 {
		w.last, w.heard, w.spoke = max(at, 1), now, true
		return told
	}
	if s := w.open(); s != nil {
		s.until = max(at, now, s.since+leastSpell)
		told = append(told, s.told())
	} else if from := max(w.last, w.heard, w.excused); at-from > w.rhythm.patience() {
		// No tick has come between: a clock that jumped, or a replay in steps.
		w.begin(from, at, around)
		s := w.open()
		s.until = at
		told = append(told, s.told())
	}
	if at > w.last {
		w.rhythm.learn(max(at-max(w.last, w.excused), 0))
		w.last = at
	}
	w.heard, w.spoke, w.leave = now, true, NoLeave
	return told
}

// Earlier notes what the source itself calls measured earlier: no sign of life, and
// a proof of what was.
func (w *Watch) Earlier(at, now int64) []Silence { return w.remember(at, now, true) }

// remember looks whether a message was measured in a silence. What covers half of it
// proves that the machine went on; a few messages that had waited prove little.
func (w *Watch) remember(at, now int64, timed bool) []Silence {
	if !timed || now-at < lateAfter {
		return nil
	}
	for i := range w.spells {
		s := &w.spells[i]
		end := s.until
		if end == 0 {
			end = now
		}
		if at <= s.since || at >= end {
			continue
		}
		if s.first == 0 {
			s.first, s.proof = at, at
		}
		s.first, s.proof = min(s.first, at), max(s.proof, at)
		if s.Backlog || s.proof-s.first < (end-s.since)/2 {
			return nil
		}
		s.Backlog = true
		return []Silence{s.told()}
	}
	return nil
}

// Said notes a sender's word that the machine is connected or not, come after the
// tick of now. It counts from the newest that the machine has said itself, whose
// clock may be ahead of ours.
func (w *Watch) Said(online bool, leave Leave, at, now int64, around Surroundings) []Silence {
	if online {
		return w.present(at, now)
	}
	if w.last == 0 {
		w.last, w.heard = at, now
	}
	w.leave = leave
	if s := w.open(); s != nil {
		return w.rethink(s, false, at, around)
	}
	w.begin(max(w.last, 1), max(at, w.last), around)
	return []Silence{w.open().told()}
}

func (w *Watch) present(at, now int64) (told []Silence) {
	if s := w.open(); s != nil {
		s.until = max(at, now, s.since+leastSpell)
		told = []Silence{s.told()}
	}
	w.last, w.heard, w.spoke, w.leave = max(w.last, at), now, true, NoLeave
	return told
}

// Left notes how the connection ended that the machine spoke over. That alone is no
// silence: many devices connect for each message.
func (w *Watch) Left(leave Leave) {
	if w.leave == NoLeave {
		w.leave = leave
	}
}

// Tick tells that event time has come to at. excused says that the time before it
// was our own or a source's downtime.
func (w *Watch) Tick(at int64, excused bool, around Surroundings) []Silence {
	over, missed := w.turn(at, excused, around)
	if excused {
		w.excused = max(w.excused, at)
	}
	s := w.open()
	switch {
	case w.last == 0:
	case s == nil:
		if from := max(w.last, w.heard, w.excused); at-from <= w.rhythm.patience() {
			return nil
		}
		w.begin(w.last, at, around)
		return []Silence{w.open().told()}
	case over || at-s.noticed <= rethinkFor:
		return w.rethink(s, missed, at, around)
	}
	return nil
}

// turn learns from an hour that is over; missed = it was one in which the machine
// usually works, and passed in silence.
func (w *Watch) turn(at int64, excused bool, around Surroundings) (over, missed bool) {
	hour := at / int64(time.Hour)
	before, spoke := w.hour, w.spoke
	if hour == before {
		return false, false
	}
	w.hour, w.spoke = hour, false
	if before == 0 || excused || w.excused > before*int64(time.Hour) || w.last == 0 {
		return true, false
	}
	s, of := w.open(), int(before%168)
	missed = s != nil && s.since < before*int64(time.Hour) && w.week.usual(of)
	w.week.learn(of, spoke && around.Words() != Resting)
	return true, missed
}

func (w *Watch) begin(since, now int64, around Surroundings) {
	if n := len(w.spells); n > 0 {
		since = max(since, w.spells[n-1].until)
	}
	s := spell{since: since, noticed: max(now, since)}
	s.Evidence = w.evidence(s, now, around)
	s.thought = s.Cause()
	if len(w.spells) == keptSpells {
		copy(w.spells, w.spells[1:])
		w.spells = w.spells[:keptSpells-1]
	}
	w.spells = append(w.spells, s)
}

// rethink looks at a silence that goes on once more.
func (w *Watch) rethink(s *spell, missed bool, now int64, around Surroundings) []Silence {
	known := w.evidence(*s, now, around)
	known.Missed, known.Backlog = s.Missed || missed, s.Backlog
	known.Ended = known.Ended || s.Ended // what came after it is told by Missed
	if known.Together == Alone {
		known.Together = s.Together // they may have come back before it
	}
	if known == s.Evidence {
		return nil
	}
	s.Evidence = known
	return []Silence{s.told()}
}

func (w *Watch) evidence(s spell, now int64, around Surroundings) Evidence {
	return Evidence{Words: around.Words(), Leave: w.leave, Together: around.Together(s.since, w.Window()), Ended: w.week.ended(s.since, now)}
}

func (s *spell) told() Silence {
	told := Silence{Since: unix(s.since), Noticed: unix(s.noticed), First: s.thought, Evidence: s.Evidence}
	if s.until != 0 {
		told.Until, told.Noticed = unix(s.until), unix(min(s.noticed, s.until))
	}
	return told
}

func unix(ns int64) time.Time { return time.Unix(0, ns).UTC().Truncate(time.Microsecond) }
