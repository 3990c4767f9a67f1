package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// claimsLock is held by transactions that claim a device, and shared by the stage
// while it looks up the machines of replayed messages: those are in the log
// before the claim is committed.
const claimsLock = 3

const lockClaimsSQL = `SELECT pg_advisory_xact_lock(7337, @lock)`

const lockUnclaimedSQL = `SELECT key, first_seen_at, last_seen_at, messages, kept, topic, payload, signals, claimed_by FROM unclaimed WHERE key = @key FOR UPDATE`

const claimSQL = `UPDATE unclaimed SET claimed_by = @machine, kept = 0 WHERE key = @key`

// Claim says which machine an unknown name is: the device of that key is bound to
// it, or the name becomes its alias. The messages that were kept are written to
// the log again, with the times at which they came.
func Claim(ctx context.Context, tx pgx.Tx, log *intakelog.Log, now time.Time, who identity.Principal, key string, machineID uuid.UUID) error {
	if _, err := tx.Exec(ctx, lockClaimsSQL, pgx.NamedArgs{"lock": claimsLock}); err != nil {
		return fmt.Errorf("take turns at claiming devices: %w", err)
	}
	u, err := postgres.One[Unclaimed](ctx, tx, lockUnclaimedSQL, pgx.NamedArgs{"key": key})
	switch {
	case problem.Of(err) == problem.NotFound:
		return problem.New(problem.NotFound, "no unclaimed device has this name")
	case err != nil:
		return fmt.Errorf("read unclaimed device: %w", err)
	case u.ClaimedBy != nil:
		return problem.New(problem.Conflict, "%s was claimed already", key)
	}
	machine, err := machines.Get(ctx, tx, machineID)
	if err != nil {
		return err
	}
	how, err := nameMachine(ctx, tx, key, &machine)
	if err != nil {
		return err
	}
	if _, err := postgres.Run(ctx, tx, claimSQL, pgx.NamedArgs{"key": key, "machine": machineID}); err != nil {
		return fmt.Errorf("claim %s: %w", key, err)
	}
	err = machines.Audit(ctx, tx, now, who, "machine", machineID, &machineID, nil, "claimed-device", nil, map[string]any{"name": key, "as": how, "messages": u.Kept})
	if err != nil {
		return err
	}
	return replayKept(ctx, tx, log, key)
}

const namesakeSQL = `SELECT (SELECT id FROM machine WHERE key = @key) AS machine_id,
  (SELECT machine_id FROM machine_alias WHERE alias = @key) AS alias_id,
  EXISTS (SELECT 1 FROM device WHERE key = @key AND revoked_at IS NULL) AS is_device,
  (SELECT machine_id FROM device WHERE key = @key AND revoked_at IS NULL LIMIT 1) AS device_id`

const bindDeviceSQL = `UPDATE device SET machine_id = @machine WHERE key = @key AND revoked_at IS NULL AND NOT gateway`

const addAliasSQL = `INSERT INTO machine_alias (alias, machine_id) VALUES (@key, @machine)`

// nameMachine makes a name mean a machine and says how it does.
func nameMachine(ctx context.Context, tx pgx.Tx, key string, machine *machines.Machine) (how string, err error) {
	type namesakes struct {
		MachineID *uuid.UUID `db:"machine_id"`
		AliasID   *uuid.UUID `db:"alias_id"`
		IsDevice  bool       `db:"is_device"`
		DeviceID  *uuid.UUID `db:"device_id"`
	}
	args := pgx.NamedArgs{"key": key, "machine": machine.ID}
	n, err := postgres.One[namesakes](ctx, tx, namesakeSQL, args)
	if err != nil {
		return "", fmt.Errorf("look who is called %s: %w", key, err)
	}
	known := false
	for _, id := range []*uuid.UUID{n.MachineID, n.AliasID, n.DeviceID} {
		if id != nil && *id != machine.ID {
			return "", problem.New(problem.Conflict, "another machine is called %s already", key)
		}
		known = known || id != nil
	}
	switch {
	case known:
		return "known", nil
	case n.IsDevice:
		bound, err := postgres.Run(ctx, tx, bindDeviceSQL, args)
		if err != nil {
			return "", fmt.Errorf("bind device %s to machine %s: %w", key, machine.Key, err)
		}
		if bound > 0 {
			return "device", nil
		}
	}
	if _, err := postgres.Run(ctx, tx, addAliasSQL, args); err != nil {
		return "", fmt.Errorf("call machine %s also %s: %w", machine.Key, key, err)
	}
	return "alias", nil
}

type keptMessage struct {
	LSN        intakelog.LSN `db:"lsn"`
	ReceivedAt time.Time     `db:"received_at"`
	Device     string        `db:"device"`
	Topic      string        `db:"topic"`
	Payload    []byte        `db:"payload"`
}

const takeKeptSQL = `DELETE FROM unclaimed_message WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM unclaimed_message WHERE key = @key ORDER BY received_at, lsn LIMIT @limit))
RETURNING lsn, received_at, device, topic, payload`

// replayKept moves the kept messages of a name into the log, in the order in
// which they came. The last of them is waited for: then all are durable.
func replayKept(ctx context.Context, tx pgx.Tx, log *intakelog.Log, key string) error {
	kept, err := postgres.All[keptMessage](ctx, tx, takeKeptSQL, pgx.NamedArgs{"key": key, "limit": defaultQuota().messagesPerKey})
	if err != nil {
		return fmt.Errorf("take the messages of %s: %w", key, err)
	}
	slices.SortFunc(kept, func(a, b keptMessage) int { // what a DELETE returns has no order
		return cmp.Or(a.ReceivedAt.Compare(b.ReceivedAt), cmp.Compare(a.LSN, b.LSN))
	})
	for i := range kept {
		m := &kept[i]
		r := intakelog.Record{
			Received: m.ReceivedAt, Kind: intakelog.Message, Source: intakelog.ClaimedPrefix + key, Device: m.Device, Topic: m.Topic, Payload: m.Payload,
		}
		if i < len(kept)-1 {
			err = refusedByLog(log.Append(r, nil))
		} else {
			err = replay(ctx, log, r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
