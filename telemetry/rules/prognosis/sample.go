package prognosis

import (
	"math"
	"sort"
)

// sample is the rows of all lives that are fitted.
type sample struct {
	tracks  [][]track // of each signal, at each row
	ages    []float64
	target  []float64 // what remained, at most the cap
	life    []int32
	settled []bool // of a machine that was followed long enough to be asked about
	table   table  // features without those of an index
}

// stretch is a part of a life that is followed: from a row to the last one.
type stretch struct {
	life, from int
	heard      bool // from its middle on: how the machine began is not known
}

// whole are the lives from their beginning.
func whole(lives []Life) []stretch {
	list := make([]stretch, len(lives))
	for i := range lives {
		list[i].life = i
	}
	return list
}

// heard are the lives as who hears of the machine late sees them: from four ages on.
func heard(lives []Life, typical float64) []stretch {
	var list []stretch
	for i := range lives {
		l := &lives[i]
		for _, share := range []float64{0.2, 0.4, 0.6, 0.8} {
			from := sort.Search(len(l.Rows), func(j int) bool { return l.Rows[j].Age >= share*typical })
			if from > 0 && from < len(l.Rows) {
				list = append(list, stretch{i, from, true})
			}
		}
	}
	return list
}

// sample follows machines. Of very many rows it takes every second, third ...
func (m *Model) sample(lives []Life, list []stretch) *sample {
	signals, rows := len(m.Signals), 0
	for _, p := range list {
		rows += len(lives[p.life].Rows) - p.from
	}
	step := 1 + rows*features(signals)/maxCells
	s := &sample{}
	for _, p := range list {
		l := &lives[p.life]
		f := m.Follow()
		for j := range l.Rows[p.from:] {
			r := &l.Rows[p.from+j]
			if !f.take(r) || j%step != 0 {
				continue
			}
			tracks := append([]track(nil), f.tracks...)
			if p.heard {
				for i := range tracks {
					tracks[i].initial = math.NaN()
				}
			}
			s.tracks = append(s.tracks, tracks)
			s.ages = append(s.ages, r.Age)
			s.target = append(s.target, math.Min(m.Cap, l.last()-r.Age))
			s.life = append(s.life, int32(p.life)) //nolint:gosec // bounded by maxLives
			s.settled = append(s.settled, f.rows >= m.memory.fast)
		}
	}
	column, into := make([][]float32, perTrack), make([]float32, perTrack)
	for signal := range signals {
		for i := range column {
			column[i] = make([]float32, len(s.tracks))
		}
		for r := range s.tracks {
			s.tracks[r][signal].put(into)
			for i, v := range into {
				column[i][r] = v
			}
		}
		for i := range column {
			s.table.add(column[i])
		}
	}
	ages := make([]float32, len(s.ages))
	for r, v := range s.ages {
		ages[r] = float32(v)
	}
	s.table.add(ages)
	return s
}

// moves says whether any signal has values that can be told apart.
func (s *sample) moves() bool {
	for _, limit := range s.table.limit[:max(0, len(s.table.limit)-1)] {
		if len(limit) > 0 {
			return true
		}
	}
	return false
}

// lives counts the lives that rows are of.
func (s *sample) lives() int {
	seen := map[int32]bool{}
	for _, l := range s.life {
		seen[l] = true
	}
	return len(seen)
}

// indexed are the columns of an index.
func (s *sample) indexed(x *index) [][]float32 {
	columns, into := make([][]float32, perTrack), make([]float32, perTrack)
	for i := range columns {
		columns[i] = make([]float32, len(s.tracks))
	}
	for r := range s.tracks {
		h := x.of(s.tracks[r])
		h.put(into)
		for i, v := range into {
			columns[i][r] = v
		}
	}
	return columns
}

// fold lists the rows of a fold, or of all others.
func (s *sample) fold(k int, inside bool) []int32 {
	var rows []int32
	for r, life := range s.life {
		if (int(life)%folds == k) == inside {
			rows = append(rows, int32(r)) //nolint:gosec // bounded by maxCells
		}
	}
	return rows
}

// judge asks a forest about the lives of its fold.
func (s *sample) judge(f *forest, fold int, most, typical float64) []said {
	var list []said
	if len(s.tracks) == 0 {
		return nil
	}
	into := make([]float32, features(len(s.tracks[0])))
	for _, r := range s.fold(fold, true) {
		v := clamp(f.ask(into, s.tracks[r], s.ages[r], true), most)
		list = append(list, said{remaining: v, rest: s.target[r] - v, life: s.life[r], byAge: clamp(typical-s.ages[r], most) - s.target[r]})
	}
	return list
}
