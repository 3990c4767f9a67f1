package main

import "testing"

func TestByteSize_ReadsWhatPeopleWrite(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"0B": 0, "8GiB": 8 << 30, "512MiB": 512 << 20, "64 MiB": 64 << 20, "1TB": 1e12, "3kB": 3000,
		"": -1, "7": -1, "GiB": -1, "-1GiB": -1, "1.5GiB": -1, "9999999999TiB": -1, "5MiBi": -1, "5K": -1} {
		var b byteSize
		err := b.UnmarshalText([]byte(text))
		if want < 0 && err == nil || want >= 0 && (err != nil || b.bytes != want || !b.given) {
			t.Errorf("%q is %+v: %v", text, b, err)
		}
	}
}
