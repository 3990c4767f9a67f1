package detection

import (
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/silence"
)

// crowd knows which machines are near each other, so that those can be told who fell
// silent together. It follows from what was said, and is made again after a restart.
type crowd struct {
	groups map[group]map[string]*watched
	peers  map[group]*silence.Peers // at the present tick
	now    int64                    // event time of the present tick; 0 between ticks: nobody can tell then who is silent
}

// group is a site or a gateway.
type group struct {
	kind silence.Together
	of   string
}

// quietFor is how long a machine has to have said nothing to count as silent beside
// others, or three of its usual distances if that is more.
const quietFor = 5 * time.Minute

// groups are where a machine belongs, the gateway first: it explains more.
func (w *watched) groups() []group {
	var list []group
	if w.near.Via != "" {
		list = append(list, group{silence.Gateway, w.near.Via})
	}
	if w.near.Site != uuid.Nil {
		list = append(list, group{silence.Site, w.near.Site.String()})
	}
	return list
}

// move keeps where a machine is heard from. A message that names no gateway, such as
// the program's own, leaves it where it is.
func (c *crowd) move(w *watched, near telemetry.Near) {
	if near.Via == "" {
		near.Via = w.near.Via
	}
	if near == w.near {
		return
	}
	for _, g := range w.groups() {
		if delete(c.groups[g], w.Key); len(c.groups[g]) == 0 {
			delete(c.groups, g)
		}
	}
	w.near = near
	c.join(w)
}

func (c *crowd) join(w *watched) {
	if c.groups == nil {
		c.groups = map[group]map[string]*watched{}
	}
	for _, g := range w.groups() {
		if c.groups[g] == nil {
			c.groups[g] = map[string]*watched{}
		}
		c.groups[g][w.Key] = w
	}
}

// together says who of its groups fell silent with a machine.
func (c *crowd) together(w *watched, since, window int64) silence.Together {
	if c.now == 0 {
		return silence.Alone
	}
	for _, g := range w.groups() {
		if t := c.of(g).Of(g.kind, since, window); t != silence.Alone {
			return t
		}
	}
	return silence.Alone
}

// of counts a group, once a tick.
func (c *crowd) of(g group) *silence.Peers {
	if p := c.peers[g]; p != nil {
		return p
	}
	p := &silence.Peers{}
	for _, w := range c.groups[g] {
		words := w.lastWords()
		if words == silence.Resting || g.kind == silence.Site && words != silence.Working {
			continue
		}
		p.Add(w.silence.Last(), w.silence.Quiet(c.now, quietFor))
	}
	p.Sort()
	c.peers[g] = p
	return p
}

// lastWords is what a machine's last values say of its work.
func (w *watched) lastWords() silence.Words {
	if !w.listened {
		var l silence.Listener
		w.rules.Last(l.Hear)
		w.words, w.listened = l.Words(), true
	}
	return w.words
}

// surround makes the questions once: they are handed over with each message.
func (r *Runner) surround() {
	r.surroundings = silence.Surroundings{
		Words:    func() silence.Words { return r.asked.lastWords() },
		Together: func(since, window int64) silence.Together { return r.crowd.together(r.asked, since, window) },
	}
}

// around is what a machine's silence depends on beside itself.
func (r *Runner) around(w *watched) silence.Surroundings {
	r.asked = w
	return r.surroundings
}

// hear lets a message end a silence, or prove what it was. It comes before the rules
// have seen the message.
func (r *Runner) hear(w *watched, o *telemetry.Located, t *touched) {
	r.crowd.move(w, o.Near)
	at := o.At.UnixNano()
	if o.Flags&observation.Historical != 0 {
		t.silences(w, w.silence.Earlier(at, r.ticked))
		return
	}
	timed := o.Flags&(observation.NoTime|observation.ClockAhead) == 0
	t.silences(w, w.silence.Heard(at, r.ticked, timed, r.around(w)))
	w.listened = false
}

// present keeps a sender's word that a machine is connected or not.
func (r *Runner) present(p *telemetry.LocatedPresence, t *touched) {
	w := r.watch(Watched{ID: p.MachineID, Key: p.Machine, Pack: p.Pack})
	r.crowd.move(w, p.Near)
	if p.Online {
		t.sign(w, p.At)
	}
	t.silences(w, w.silence.Said(p.Online, p.Leave, p.At.UnixNano(), r.ticked, r.around(w)))
}

// left keeps how a connection ended, of all that were heard over it.
func (r *Runner) left(l *telemetry.LocatedLink) {
	if l.Via != "" {
		for _, w := range r.crowd.groups[group{silence.Gateway, l.Via}] {
			w.silence.Left(l.Leave)
		}
	}
	for _, key := range l.Machines {
		if w := r.watched[key]; w != nil {
			w.silence.Left(l.Leave)
		}
	}
}

// silences keeps what is known of silences now, in the words of the machine file.
func (t *touched) silences(w *watched, told []silence.Silence) {
	for _, s := range told {
		news := machines.Silence{MachineID: w.ID, Since: s.Since, NoticedAt: s.Noticed, Cause: string(s.Cause()), FirstCause: string(s.First), Why: []string{}}
		for _, reason := range s.Reasons() {
			news.Why = append(news.Why, string(reason))
		}
		if !s.Until.IsZero() {
			news.Until = &s.Until
		}
		key := w.Key + strconv.FormatInt(s.Since.UnixMicro(), 36)
		if i, known := t.spells[key]; known {
			t.told[i] = news // only what is known at the end of the batch is written
			continue
		}
		t.spells[key] = len(t.told)
		t.told = append(t.told, news)
	}
}
