// Package longform is for tests alone: each has a short form, which always runs, and
// some have a long one, with TEST_FULL=1.
package longform

import "os"

// Asked says whether the long form runs.
func Asked() bool { return os.Getenv("TEST_FULL") != "" }

// Choose is the short form's value or the long form's.
func Choose[T any](short, long T) T {
	if Asked() {
		return long
	}
	return short
}
