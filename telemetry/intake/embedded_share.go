package intake

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// How far behind the rules may be before topics are held to their share.
const (
	shareEvery = 250 * time.Millisecond // a stretch: how often it is looked, and what a share is of
	shareHold  = 2 * time.Second        // of work before the rules, from which on topics are held
	shareFree  = time.Second            // below which they are free again
	shareStill = 20                     // stretches without progress: it is not the load that the rules wait for
	shareLeast = 5                      // messages of a topic in a stretch that always go
	shareMost  = 100_000                // topics that are told apart; those beyond it share one share
)

// share keeps what is live live while machines bring what they have kept for a day:
// once the rules have seconds of work before them, a topic that has had its share of
// what they evaluate in a stretch is read from again in the next one. Nothing is
// dropped: the sender keeps what is not acknowledged. It never waits for a database,
// only for rules that get on.
type share struct {
	evaluated func() intakelog.LSN // nil = nobody evaluates
	last      func() intakelog.LSN

	next atomic.Int64 // when it is looked again, Unix ns
	held atomic.Bool

	mu    sync.Mutex
	at    intakelog.LSN // as it was looked last
	still int           // stretches in which the rules did not move
	pace  float64       // records that they evaluate in a stretch, smoothed
	quota int           // messages of a topic in this stretch
	said  map[string]int
}

// look begins a stretch.
func (s *share) look(at, last intakelog.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	moved := float64(at - min(s.at, at))
	if s.at = at; moved == 0 {
		s.still++
	} else {
		s.still = 0
	}
	if s.pace == 0 {
		s.pace = moved
	}
	s.pace += (moved - s.pace) / 4
	behind := math.Inf(1)
	if s.pace > 0 {
		behind = float64(last-min(at, last)) / s.pace * float64(shareEvery)
	}
	limit := float64(shareHold)
	if s.held.Load() {
		limit = float64(shareFree)
	}
	held := behind > limit && s.pace > 0 && s.still < shareStill
	s.quota = math.MaxInt // of the first stretch, which counts who is there
	if held && len(s.said) > 0 {
		s.quota = max(shareLeast, int(s.pace)/len(s.said))
	}
	if s.said == nil || !held {
		s.said = map[string]int{}
	} else {
		clear(s.said)
	}
	s.held.Store(held)
}

// takes counts a message of a topic and says whether it is within its share.
func (s *share) takes(topic string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.said[topic]; !known && len(s.said) >= shareMost {
		topic = ""
	}
	if s.said[topic] >= s.quota {
		return false
	}
	s.said[topic]++
	return true
}

// wait returns when a message of a topic may be taken, or when the client has left.
func (s *share) wait(ctx context.Context, topic string) {
	if s.evaluated == nil {
		return
	}
	for ctx.Err() == nil {
		now, next := time.Now().UnixNano(), s.next.Load()
		if now >= next && s.next.CompareAndSwap(next, now+int64(shareEvery)) {
			s.look(s.evaluated(), s.last())
		}
		if !s.held.Load() || s.takes(topic) {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(max(s.next.Load()-now, int64(time.Millisecond)))):
		}
	}
}
