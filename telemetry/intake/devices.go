package intake

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// tokenPrefix lets a person, and a search for leaked secrets, tell what it is.
const tokenPrefix = "3sd_"

// HideToken is a path as a log or an answer may have it: without the token that a
// device which asks for the wrong thing has put into it.
func HideToken(path string) string {
	if !strings.Contains(path, tokenPrefix) {
		return path
	}
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if before, _, holds := strings.Cut(part, tokenPrefix); holds {
			parts[i] = before + tokenPrefix + "..."
		}
	}
	return strings.Join(parts, "/")
}

var deviceKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Device is a sender with a token of its own. A gateway speaks for any machine,
// another device for its own.
type Device struct {
	ID         uuid.UUID  `json:"id" db:"id"`
	Key        string     `json:"key" db:"key"`
	MachineID  *uuid.UUID `json:"machineId" db:"machine_id"`
	Gateway    bool       `json:"gateway" db:"gateway"`
	CreatedAt  time.Time  `json:"createdAt" db:"created_at"`
	RevokedAt  *time.Time `json:"revokedAt" db:"revoked_at"`
	LastSeenAt *time.Time `json:"lastSeenAt" db:"last_seen_at"`
}

const insertDeviceSQL = `INSERT INTO device (id, key, machine_id, token_hash, gateway, created_at)
VALUES (@id, @key, @machine, @hash, @gateway, @at)`

// AddDevice gives a device a token and returns it; it is stored nowhere, so this
// is the only time that it can be shown. The device signs in with its key as
// user name and the token as password. A device that has a token loses that one.
func AddDevice(ctx context.Context, tx pgx.Tx, now time.Time, key string, machineID *uuid.UUID, gateway bool) (string, error) {
	if !deviceKey.MatchString(key) {
		return "", problem.New(problem.Invalid, "%q is no key of a device: 1 to 64 of A-Z, a-z, 0-9, _ and -", key)
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	token := tokenPrefix + base64.RawURLEncoding.EncodeToString(secret)
	if _, err := revoke(ctx, tx, now, key); err != nil {
		return "", err
	}
	d := Device{ID: postgres.NewID(), Key: key, MachineID: machineID, Gateway: gateway, CreatedAt: now}
	hash := sha256.Sum256([]byte(token))
	_, err := postgres.Run(ctx, tx, insertDeviceSQL, pgx.NamedArgs{
		"id": d.ID, "key": key, "machine": machineID, "hash": hash[:], "gateway": gateway, "at": now,
	})
	if err != nil {
		return "", fmt.Errorf("add device %s: %w", key, err)
	}
	return token, machines.Audit(ctx, tx, now, asking(ctx), "device", d.ID, machineID, nil, "added", nil, d)
}

const deviceColumns = `id, key, machine_id, gateway, created_at, revoked_at, last_seen_at`

const devicesSQL = `SELECT ` + deviceColumns + ` FROM device WHERE revoked_at IS NULL ORDER BY key`

// Devices lists the devices that can sign in, by key.
func Devices(ctx context.Context, tx pgx.Tx) ([]Device, error) {
	devices, err := postgres.All[Device](ctx, tx, devicesSQL, nil)
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	return devices, nil
}

// RevokeDevice takes a device's token away; the embedded broker ends its
// connections within seconds.
func RevokeDevice(ctx context.Context, tx pgx.Tx, now time.Time, key string) error {
	n, err := revoke(ctx, tx, now, key)
	if err == nil && n == 0 {
		return problem.New(problem.NotFound, "there is no device %q with a token", key)
	}
	return err
}

const revokeDeviceSQL = `UPDATE device SET revoked_at = @at WHERE key = @key AND revoked_at IS NULL RETURNING ` + deviceColumns

func revoke(ctx context.Context, tx pgx.Tx, now time.Time, key string) (int, error) {
	revoked, err := postgres.All[Device](ctx, tx, revokeDeviceSQL, pgx.NamedArgs{"key": key, "at": now})
	if err != nil {
		return 0, fmt.Errorf("revoke device %s: %w", key, err)
	}
	for _, d := range revoked {
		before := d
		before.RevokedAt = nil
		if err := machines.Audit(ctx, tx, now, asking(ctx), "device", d.ID, d.MachineID, nil, "revoked", before, d); err != nil {
			return 0, err
		}
	}
	return len(revoked), nil
}

// asking is whom the audit log names.
func asking(ctx context.Context) identity.Principal {
	if who, ok := identity.From(ctx); ok {
		return who
	}
	return identity.Program("devices")
}
