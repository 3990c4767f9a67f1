package accounts

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

const (
	argonLanes = 1
	saltBytes  = 16
	hashBytes  = 32
)

const (
	shortestPassword = 12  // characters
	longestPassword  = 128 // characters
	longestTry       = 1024
)

// weak says what is wrong with a new password, "" for nothing.
func weak(password, login string) string {
	switch n := utf8.RuneCountInString(password); {
	case n < shortestPassword:
		return fmt.Sprintf("has fewer than %d characters", shortestPassword)
	case n > longestPassword:
		return fmt.Sprintf("has more than %d characters", longestPassword)
	case strings.EqualFold(password, login):
		return "is the login"
	case strings.Trim(password, string([]rune(password)[:1])) == "":
		return "is one character again and again"
	}
	return ""
}

// hashPassword gives what a password can be checked against (PHC string format).
func hashPassword(password string) string {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails: it would end the program
	hash := argon2.IDKey([]byte(password), salt, argonPasses, argonMemoryKiB, argonLanes, hashBytes)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemoryKiB, argonPasses, argonLanes,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(hash))
}

// stored is a password hash taken apart.
type stored struct {
	memory, passes uint32
	lanes          uint8
	salt, hash     []byte
}

// nobody is checked against where there is no such login, so that an answer takes
// as long as for a known one.
func nobody() stored {
	return stored{argonMemoryKiB, argonPasses, argonLanes, make([]byte, saltBytes), make([]byte, hashBytes)}
}

// parseHash takes a stored hash apart; its parameters are bounded, for they come
// from the database.
func parseHash(text string) (stored, bool) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return nobody(), false
	}
	var s stored
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &s.memory, &s.passes, &s.lanes); err != nil || n != 3 {
		return nobody(), false
	}
	var saltErr, hashErr error
	s.salt, saltErr = base64.RawStdEncoding.DecodeString(parts[4])
	s.hash, hashErr = base64.RawStdEncoding.DecodeString(parts[5])
	if saltErr != nil || hashErr != nil || len(s.salt) < 8 || len(s.hash) < 16 || len(s.hash) > 128 ||
		s.memory < 8 || s.memory > 1<<20 || s.passes < 1 || s.passes > 16 || s.lanes < 1 || s.lanes > 16 {
		return nobody(), false
	}
	return s, true
}

// matches does the whole work whatever the stored hash is.
func matches(text, password string) bool {
	s, ok := parseHash(text)
	tried := len(password) <= longestTry
	if !tried {
		password = ""
	}
	hash := argon2.IDKey([]byte(password), s.salt, s.passes, s.memory, s.lanes, uint32(len(s.hash)))
	return subtle.ConstantTimeCompare(hash, s.hash) == 1 && ok && tried
}
