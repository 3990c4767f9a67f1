// Package rules finds the third state: a machine that still does its work while
// its signals have left their own normal. It is pure. The same observations and
// ticks give the same findings, whether they come live, from a replay of the log
// or from a file: it knows event time only, no clock, no database, no logger.
//
// A Pack holds the rules of one machine model, as text (see README.md). A Machine
// is the state of one machine under its pack. What a rule finds is a Finding, with
// Evidence in numbers; words are for those who show it.
package rules
