package demo

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/simulate"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
)

// halfPleased is the machine whose owner says "so-so" to the first repair.
const halfPleased = "GS50D2000163"

// ofCall is when the call centre makes a call, and how it goes.
func (b *board) ofCall(k maintenance.CallbackRow) []deed {
	c, open := b.cases[k.CaseID]
	if !open || c.PlayedBy == "" || !b.ours(c) {
		return nil
	}
	words := about("call", c.Number, k.Kind, c.Comebacks, k.Attempts)
	at := k.DueAt
	if at.Before(k.CreatedAt) {
		at = k.CreatedAt
	}
	return []deed{{at: after(at, words, 80*time.Minute, 3*time.Hour, 9, 18), words: words, do: func(ctx context.Context, tx pgx.Tx, now time.Time) error {
		_, _, err := maintenance.Attempt(ctx, tx, now, b.caller, k.ID, b.answer(k, c))
		return err
	}}}
}

// answer is what the customer says: mostly he is satisfied, now and then he does
// not pick up, once it was so-so.
func (b *board) answer(k maintenance.CallbackRow, c maintenance.CaseRow) maintenance.CallbackResult {
	if k.Attempts == 0 && spread(about("rings", c.MachineKey, c.FailureMode, k.Kind), 0, 100) < 15 {
		return maintenance.CallbackResult{Outcome: "unreachable", Note: "无人接听", NoteEN: "No answer"}
	}
	switch k.Kind {
	case "inform":
		return maintenance.CallbackResult{Outcome: "informed", Note: "已说明情况，同意安排", NoteEN: "Explained; he agrees to a visit"}
	case "courtesy":
		return maintenance.CallbackResult{Outcome: "satisfied", Note: "设备使用正常", NoteEN: "The machine runs well"}
	}
	if c.MachineKey == halfPleased && c.Comebacks == 0 {
		return maintenance.CallbackResult{Outcome: "so_so", Note: "修好了，就是等得久；还有一点渗油，想再看看",
			NoteEN: "Repaired, but a long wait; it still seeps a little, please look again"}
	}
	return maintenance.CallbackResult{Outcome: "satisfied", Note: "修好了，满意", NoteEN: "Repaired, satisfied"}
}

// breakdowns are the machines that have stopped: their people ring up, whether or
// not anybody had seen it coming.
func (p *people) breakdowns(cases []maintenance.CaseRow, to time.Time) []deed {
	var deeds []deed
	for _, l := range p.fleet.Labels() {
		words := about("breakdown", l.Machine, l.ID)
		if l.Mild || !l.Passes.IsZero() || l.Failure.IsZero() || l.Failure.After(to) || p.ledger.Done[words] {
			continue
		}
		if !l.RepairedAt.IsZero() || handled(cases, l) {
			continue
		}
		deeds = append(deeds, deed{at: after(l.Failure, words, 15*time.Minute, 70*time.Minute, 6, 22), words: words, do: p.ringUp(l, words)})
	}
	return deeds
}

// handled says whether somebody is with the machine already, or has its fault
// down as a breakdown.
func handled(cases []maintenance.CaseRow, l simulate.Label) bool {
	for _, c := range cases {
		if c.MachineKey == l.Machine && c.FailureMode == l.Mode && (c.MachineDown || c.State == maintenance.InWork || c.State == maintenance.Verifying || c.State == maintenance.AwaitingCallback) {
			return true
		}
	}
	return false
}

func (p *people) ringUp(l simulate.Label, words string) func(context.Context, pgx.Tx, time.Time) error {
	return func(ctx context.Context, tx pgx.Tx, now time.Time) error {
		if _, err := p.phoneIn(ctx, tx, now, p.machines[l.Machine], l.Mode, machines.Text{ZH: "机器停了，现场在等，请尽快来人", EN: "It has stopped and the site waits, please come soon"}); err != nil {
			return err
		}
		return p.done(ctx, tx, words)
	}
}
