//go:build race

package accounts

// Under the race detector, which is for tests alone, the real cost would be a
// second of a processor for each password.
const (
	argonMemoryKiB = 64
	argonPasses    = 1
)
