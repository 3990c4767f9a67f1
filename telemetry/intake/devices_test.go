package intake

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
)

func TestDevice_HasOneTokenAtATime(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	addMachine(t, pool, "pump-1")
	first, second := enterDevice(t, pool, "pump-1", "pump-1", false), enterDevice(t, pool, "pump-1", "pump-1", false)
	if first == second || len(first) < 40 {
		t.Errorf("tokens %q and %q", first, second)
	}
	enterDevice(t, pool, "gate", "", true)
	do(t, pool, func(tx pgx.Tx) error {
		for _, key := range []string{"", "a b", "a/b", "+", "\xff"} {
			if _, err := AddDevice(t.Context(), tx, start, key, nil, true); problem.Of(err) != problem.Invalid {
				t.Errorf("key %q: %v", key, err)
			}
		}
		devices, err := Devices(t.Context(), tx)
		if err != nil || len(devices) != 2 || devices[0].Key != "gate" || !devices[0].Gateway || devices[1].MachineID == nil || !devices[1].CreatedAt.Equal(start) {
			t.Errorf("devices %+v: %v", devices, err)
		}
		if err := RevokeDevice(t.Context(), tx, start, "pump-1"); err != nil {
			return err
		}
		if err := RevokeDevice(t.Context(), tx, start, "pump-1"); problem.Of(err) != problem.NotFound {
			t.Errorf("revoked twice: %v", err)
		}
		devices, err = Devices(t.Context(), tx)
		if err != nil || len(devices) != 1 {
			t.Errorf("devices %+v: %v", devices, err)
		}
		written, err := postgres.Value[int](t.Context(), tx, `SELECT count(*)::int FROM audit WHERE entity = 'device'`, nil)
		if err != nil || written != 5 { // three added, one replaced, one revoked
			t.Errorf("%d entries in the audit log: %v", written, err)
		}
		return nil
	})
	if n := value[int](t, pool, `SELECT count(*)::int FROM device WHERE position('3sd_' in encode(token_hash, 'escape')) > 0`); n != 0 {
		t.Error("a token is stored")
	}
}
