//go:build race

package faults

// raced: the program is built as its tests are.
const raced = true
