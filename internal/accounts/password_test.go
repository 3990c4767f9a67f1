package accounts

import (
	"fmt"
	"strings"
	"testing"
)

func TestPassword_OnlyItselfMatches(t *testing.T) {
	t.Parallel()
	hash := hashPassword("correct horse battery")
	if !strings.HasPrefix(hash, fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=1$", argonMemoryKiB, argonPasses)) {
		t.Errorf("hash %s", hash)
	}
	if !matches(hash, "correct horse battery") || matches(hash, "correct horse batterx") || matches(hash, "") {
		t.Error("the hash does not tell its password from others")
	}
	if hash == hashPassword("correct horse battery") {
		t.Error("two people with one password have one hash")
	}
	for _, broken := range []string{"", "x", "$argon2i$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=19456,t=0,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=19456,t=2,p=1$AAAA$AAAA"} {
		if matches(broken, "") || matches(broken, "correct horse battery") {
			t.Errorf("a broken hash matches: %q", broken)
		}
	}
}
