//go:build !race

package accounts

// Parameters of Argon2id: the OWASP Password Storage Cheat Sheet's first choice, so
// that a small machine can check several passwords at once. They are kept with
// each hash; raising them here leaves old ones valid.
const (
	argonMemoryKiB = 19 * 1024
	argonPasses    = 2
)
