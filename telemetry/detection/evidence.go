package detection

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/bundle"
)

// Bounds of what is read again for one bundle.
const (
	evidenceYears  = 5
	evidenceRows   = 20_000 // at once
	evidenceAll    = 3_000_000
	evidenceWindow = 512
	evidenceMakers = 2 // bundles that are made at once; who asks for one more waits
)

// Subject is a finding with what it takes to find it again.
type Subject struct {
	Finding machines.Finding
	Watched Watched
	History history.Ref
	Cohorts []ToldCohort // what its rules were told of its sisters until it was found
}

// ReadSubject reads a finding that db may see, and whose it is.
func ReadSubject(ctx context.Context, db postgres.DB, id uuid.UUID) (Subject, error) {
	f, err := machines.GetFinding(ctx, db, id)
	if err != nil {
		return Subject{}, err
	}
	m, err := machines.Get(ctx, db, f.MachineID)
	if err != nil {
		return Subject{}, err
	}
	s := Subject{Finding: f, Watched: Watched{ID: m.ID, Key: m.Key}, History: history.Ref{Key: m.Key, No: m.No}}
	list, err := machines.Models(ctx, db)
	for _, model := range list {
		if m.ModelID != nil && model.ID == *m.ModelID {
			s.Watched.Pack = PackOf(model)
		}
	}
	var evidence rules.Evidence
	if err == nil && s.Watched.Pack != "" && json.Unmarshal(f.Evidence, &evidence) == nil && evidence.Sisters != nil {
		s.Cohorts, err = Cohorts(ctx, db, s.Watched.Pack, f.OpenedAt.Add(rules.MaxLateness))
	}
	return s, err
}

// Rows gives what a machine reported in [from, to), in the order of time, as a history does.
type Rows func(ctx context.Context, machine history.Ref, from, to time.Time, limit int) ([]observation.Observation, error)

// Evidence lets the rules see the machine's stored history again until they open the
// finding, and makes a bundle of it. What the history does not hold, and what happened
// to the rules beside it (a repair, another pack, values that came too late), may
// be missing for that: then the problem is a Conflict.
func (f *Fleet) Evidence(ctx context.Context, s Subject, rows Rows) ([]byte, error) {
	w, found := s.Watched, s.Finding
	if found.Source != "rule" {
		return nil, problem.New(problem.Conflict, "no rule has opened this finding: there is nothing to compute again").WithZH("此隐患不是由规则发现的，无可复算")
	}
	select {
	case f.makers <- struct{}{}:
		defer func() { <-f.makers }()
	case <-ctx.Done():
		return nil, problem.New(problem.Unavailable, "too many bundles are being made; try again").WithZH("正在生成的证据包过多，请稍后再试")
	}
	pack := f.Pack(w)
	m, recorder := rules.New(w.Key, pack), bundle.Recorder{Every: evidenceWindow}
	from, to := found.OpenedAt.AddDate(-evidenceYears, 0, 0), found.OpenedAt.Add(rules.MaxLateness+time.Second)
	for seen := 0; seen < evidenceAll; {
		list, err := rows(ctx, s.History, from, to, evidenceRows)
		if err != nil {
			return nil, fmt.Errorf("read the history of %s: %w", w.Key, err)
		}
		for _, o := range list {
			o.Machine = w.Key
			for len(s.Cohorts) > 0 && s.Cohorts[0].Told.Before(o.At) {
				told := s.Cohorts[0]
				s.Cohorts = s.Cohorts[1:]
				recorder.Beside(m, told.Cohort, told.Told)
				if again := opened(m.Beside(told.Cohort, told.Told), found); again != nil {
					return evidence(recorder.Bundle(*again, pack, false), found)
				}
			}
			recorder.Record(m, o)
			if again := opened(m.Observe(o), found); again != nil {
				return evidence(recorder.Bundle(*again, pack, false), found)
			}
		}
		if seen += len(list); len(list) < evidenceRows {
			break
		}
		from = list[len(list)-1].At.Add(1)
	}
	if again := opened(m.Flush(), found); again != nil {
		return evidence(recorder.Bundle(*again, pack, true), found)
	}
	return nil, problem.New(problem.Conflict,
		"the finding does not follow from the stored history alone: a repair, other rules, values that came late or are no longer stored lie between").
		WithZH("仅凭已存历史无法复算此隐患：其间有维修、规则变更、迟到或已不再保存的数据")
}

// opened is the finding among what was found.
func opened(list []rules.Finding, want machines.Finding) *rules.Finding {
	for i := range list {
		if f := &list[i]; f.Change == rules.Opened && f.Rule == want.Rule && f.OpenedAt.Equal(want.OpenedAt) {
			return f
		}
	}
	return nil
}

func evidence(b *bundle.Bundle, found machines.Finding) ([]byte, error) {
	if b.Finding.RuleHash != found.RuleHash {
		return nil, problem.New(problem.Conflict, "the rule %s has changed since: it was %s and is %s", found.Rule, found.RuleHash, b.Finding.RuleHash).
			WithZH("规则 %s 已变更：当时为 %s，现为 %s", found.Rule, found.RuleHash, b.Finding.RuleHash)
	}
	data, err := bundle.Write(b)
	if err != nil {
		return nil, fmt.Errorf("make the bundle of finding %s: %w", found.ID, err)
	}
	return data, nil
}
