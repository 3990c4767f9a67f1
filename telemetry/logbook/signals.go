package logbook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// tellEvery is how often, in event time, the signals of codes that stay active are
// written again.
const tellEvery = time.Minute

// maxSignals bounds the codes of one machine that become signals at an instant;
// dtc.active counts all of them.
const maxSignals = 200

// signals are what rules see of codes: dtc.spn110.fmi0 is 1 while the code is
// active and 0 once it has cleared; dtc.active, dtc.critical and dtc.red_stop count
// the codes that are active, critical, and with the red lamp on, and
// dtc.warning_lamp those with the amber or the protect lamp and not the red one.
// dtc.red_stop.spn110.fmi0 names who has the red one on.
type signals struct {
	*keeper
	book    *machines.TroubleBook
	told    map[uuid.UUID]told // by this transaction
	changes int                // of the book that have been noted
	records []intakelog.Record
}

// told is what was written of a machine last.
type told struct {
	at           time.Time
	red, warning float64 // codes with the lamps on
}

// note writes down what an entry has changed, and every minute what has not. That a
// lamp goes on or out is a change, too.
func (s *signals) note(e entry, news bool) {
	changes := s.book.Changes()[s.changes:]
	s.changes += len(changes)
	if e.lsn <= s.known { // read again after a restart
		return
	}
	values := map[string]float64{}
	at := e.at
	for _, c := range changes {
		if c.MachineID == e.machine {
			if len(values) == 0 || c.At.After(at) {
				at = c.At
			}
			values[Signal(c.Code)] = 0
		}
	}
	before := s.toldBefore(e.machine)
	due := news && len(e.trouble.Codes) > 0 && e.at.Sub(before.at) >= tellEvery
	if len(values) == 0 && !due && !news {
		return
	}
	changed := len(values) > 0
	s.count(e.machine, values)
	now := told{at, values["dtc.red_stop"], values["dtc.warning_lamp"]}
	if !changed && !due && now.red == before.red && now.warning == before.warning {
		return
	}
	if !at.After(before.at) { // what holds now is the newest word, though what it goes back to is older
		now.at = before.at.Add(time.Millisecond)
	}
	s.told[e.machine] = now
	s.add(e.key, now.at, values)
}

// toldBefore is what the rules were told last of a machine's codes.
func (s *signals) toldBefore(machine uuid.UUID) told {
	if t, now := s.told[machine]; now {
		return t
	}
	return s.keeper.told[machine]
}

func (s *signals) count(machine uuid.UUID, values map[string]float64) {
	values["dtc.active"], values["dtc.critical"], values["dtc.red_stop"], values["dtc.warning_lamp"] = 0, 0, 0, 0
	for _, c := range s.book.ActiveOf(machine) {
		if len(values) < maxSignals {
			values[Signal(c)] = 1
		}
		values["dtc.active"]++
		if c.Severity == "critical" {
			values["dtc.critical"]++
		}
		switch {
		case c.RedStop:
			values["dtc.red_stop"]++
			if len(values) < maxSignals {
				values["dtc.red_stop."+strings.TrimPrefix(Signal(c), "dtc.")] = 1
			}
		case c.AmberWarning, c.Protect:
			values["dtc.warning_lamp"]++
		}
	}
}

// Signal is the name under which rules know a code.
func Signal(c machines.TroubleCode) string {
	if c.SPN != nil && c.FMI != nil {
		return fmt.Sprintf("dtc.spn%d.fmi%d", *c.SPN, *c.FMI)
	}
	return "dtc." + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '_'
	}, c.Code)
}

func (s *signals) add(key string, at time.Time, values map[string]float64) {
	payload, err := json.Marshal(map[string]any{"ts": at.UTC().Format(time.RFC3339Nano), "values": values})
	if err != nil {
		s.Logger.Error("signals of trouble codes not written", "machine", key, "error", err)
		return
	}
	s.records = append(s.records, intakelog.Record{Received: s.Clock.Now(), Kind: intakelog.Derived, Source: Consumer, Topic: "fleet/" + key + "/telemetry", Payload: payload})
}

// append writes the signals before the codes are committed: a crash in between
// writes them twice, which counts once. A log that is full must not hold up who
// would make room in it.
func (k *keeper) append(ctx context.Context, records []intakelog.Record) error {
	for i, r := range records {
		var err error
		if i < len(records)-1 {
			err = k.Log.Append(r, nil)
		} else {
			_, err = k.Log.AppendWait(ctx, r)
		}
		switch {
		case errors.Is(err, intakelog.ErrFull), errors.Is(err, intakelog.ErrTooLarge):
			k.Logger.Warn("the log takes no signals of trouble codes", "count", len(records)-i, "error", err)
			return nil
		case err != nil:
			return fmt.Errorf("write signals of trouble codes: %w", err)
		}
	}
	return nil
}
