package seal

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestKey_OpensWhatItSealedForTheSameUseOnly(t *testing.T) {
	t.Parallel()
	one, err := New(bytes.Repeat([]byte{1}, keyBytes))
	if err != nil {
		t.Fatal(err)
	}
	two, err := New(bytes.Repeat([]byte{2}, keyBytes))
	if err != nil {
		t.Fatal(err)
	}
	plain := []byte("twenty-four bytes or more")
	sealed := one.Seal(plain, "row 1")
	if bytes.Contains(sealed, plain[:8]) || bytes.Equal(sealed, one.Seal(plain, "row 1")) {
		t.Error("the secret can be read, or is told from another by its look")
	}
	if got, err := one.Open(sealed, "row 1"); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("%q, %v", got, err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"another use": func() ([]byte, error) { return one.Open(sealed, "row 2") },
		"another key": func() ([]byte, error) { return two.Open(sealed, "row 1") },
		"a bit less":  func() ([]byte, error) { return one.Open(sealed[:len(sealed)-1], "row 1") },
		"nothing":     func() ([]byte, error) { return one.Open(nil, "row 1") },
	} {
		if got, err := open(); err == nil {
			t.Errorf("%s opens it: %q", name, got)
		}
	}
}

func TestLoad_MakesOneKeyHoweverManyAskAndKeepsItToItself(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secrets.key")
	keys := make([]*Key, 8)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			var err error
			if keys[i], err = Load(path); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	sealed := keys[0].Seal([]byte("x"), "")
	for _, k := range keys {
		if _, err := k.Open(sealed, ""); err != nil {
			t.Error(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(path + ".*"); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil {
		t.Error("half a key is taken for one")
	}
}
