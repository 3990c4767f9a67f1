//go:build !race

package accounts

import (
	"strings"
	"testing"
)

// make check runs it without the race detector, as programs are built for users.
func TestPassword_CostsWhatItShould(t *testing.T) {
	t.Parallel()
	if hash := hashPassword("correct horse battery"); !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %s", hash)
	}
}
