package main

import (
	"fmt"
	"strconv"
	"strings"
)

// minLogLimit holds at least eight segments of a megabyte.
const minLogLimit = 8 << 20

// byteSize is a size on a disk, as 512MiB or 8GB; whether it was given is kept,
// since none may be meant.
type byteSize struct {
	bytes int64
	given bool
}

// UnmarshalText reads digits and a unit: B, KiB, MiB, GiB, TiB or kB, MB, GB, TB.
func (b *byteSize) UnmarshalText(text []byte) error {
	digits := strings.TrimRight(string(text), "KMGTkiB")
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	unit, known := map[string]int64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
		"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[string(text)[len(digits):]]
	if err != nil || !known || n < 0 || n > (1<<62)/unit {
		return fmt.Errorf("%q is no size such as 512MiB or 8GiB", text)
	}
	b.bytes, b.given = n*unit, true
	return nil
}
