// Package seal keeps secrets that the program itself must be able to read again,
// such as those it signs with: encrypted in the database, under a key that lies
// in a file beside it. Passwords and tokens are not for it; they are kept as
// digests.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// keyBytes is the length of an AES-256 key.
const keyBytes = 32

// Key seals and opens with AES-256-GCM.
type Key struct{ aead cipher.AEAD }

// New makes a key of 32 bytes.
func New(secret []byte) (*Key, error) {
	if len(secret) != keyBytes {
		return nil, fmt.Errorf("a key has %d bytes, not %d", keyBytes, len(secret))
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return &Key{aead}, nil
}

// Load reads the key in a file, which only its owner may read; where there is
// none, a random key is made and written first.
func Load(path string) (*Key, error) {
	text, err := os.ReadFile(path) //nolint:gosec // in our own folder
	if errors.Is(err, os.ErrNotExist) {
		if text, err = create(path); errors.Is(err, os.ErrExist) { // another process was faster
			text, err = os.ReadFile(path) //nolint:gosec // in our own folder
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the key that seals secrets: %w", err)
	}
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("read the key in %s: %w", path, err)
	}
	return New(secret)
}

// create writes a new key under another name first, so that no reader ever sees
// half of one.
func create(path string) ([]byte, error) {
	secret := make([]byte, keyBytes)
	_, _ = rand.Read(secret) // never fails: it would end the program
	text := append([]byte(base64.StdEncoding.EncodeToString(secret)), '\n')
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // readable by its owner only
	if err != nil {
		return nil, err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Link(f.Name(), path)
	}
	return text, errors.Join(err, os.Remove(f.Name()))
}

// Seal encrypts. What it is for (such as the id of the row that holds it) must be
// said again to open it, so that a sealed secret cannot be moved to another row.
func (k *Key) Seal(plain []byte, use string) []byte {
	return k.aead.Seal(nil, nil, plain, []byte(use))
}

// Open decrypts what the same key has sealed for the same use.
func (k *Key) Open(sealed []byte, use string) ([]byte, error) {
	plain, err := k.aead.Open(nil, nil, sealed, []byte(use))
	if err != nil {
		return nil, errors.New("the secret was sealed with another key, or for something else")
	}
	return plain, nil
}
