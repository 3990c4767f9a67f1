package detection

import (
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/machines"
)

// How long signs of life wait: while there is more to evaluate, and for more to come.
// Storing them takes about a tenth of the time at most, so that those of a large fleet
// under load wait longer.
const (
	signsEvery = 2 * time.Second
	signsIdle  = 5 * time.Millisecond
	signsShare = 10
)

// pending is what has been evaluated beside findings and is not stored yet: signs of
// life and scores, by machine. A row that says when a machine was heard needs
// not be written with each of its messages; what is news of a machine (its first
// sign, connected, gone) does not wait. A snapshot is taken only when nothing is
// pending, so that what was not stored is evaluated again after a restart.
type pending struct {
	seen  map[string]*machines.Seen
	news  map[string]struct{}
	since time.Time     // wall clock, when nothing was left
	cost  time.Duration // of storing them last
}

func newPending() *pending {
	return &pending{seen: map[string]*machines.Seen{}, news: map[string]struct{}{}, since: time.Now()}
}

// of is what is pending of a machine.
func (p *pending) of(id uuid.UUID, key string) *machines.Seen {
	s := p.seen[key]
	if s == nil {
		s = &machines.Seen{MachineID: id}
		p.seen[key] = s
	}
	return s
}

func (p *pending) empty() bool { return len(p.seen) == 0 }

func (p *pending) due() bool { return time.Since(p.since) > max(signsEvery, signsShare*p.cost) }

// idle is how long to wait for more before they are stored.
func (p *pending) idle() time.Duration {
	return max(signsIdle, signsShare*p.cost-time.Since(p.since))
}

// take moves all into an outcome.
func (p *pending) take(out *Outcome) {
	for _, key := range slices.Sorted(maps.Keys(p.seen)) {
		out.Seen = append(out.Seen, *p.seen[key])
	}
	clear(p.seen)
	clear(p.news)
	p.since = time.Now()
}

// takeNews moves into an outcome what cannot wait.
func (p *pending) takeNews(out *Outcome) {
	for _, key := range slices.Sorted(maps.Keys(p.news)) {
		out.Seen = append(out.Seen, *p.seen[key])
		delete(p.seen, key)
	}
	clear(p.news)
}
