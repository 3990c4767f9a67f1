// Package prognosis says how long a machine will last, learnt from machines of its kind
// that were followed from new until they failed. It is pure, as the rules are: no clock,
// no file, no randomness; the same lives in the same order give the same model, bit for
// bit, and what a model says of a row depends on no row behind it.
//
// Train makes a Model of whole lives; a Follower applies it to one machine, row by row,
// in constant state. What remains is in the unit in which the lives' ages were counted.
package prognosis
