// Package lifespan applies models of remaining life to the machines that run: it steps a
// follower for each machine of a model over its stored history, averaged to the distance
// of the rows that the model was learnt from, and keeps what it says. It knows the history
// and machines; it must not know rules, cases, or where a value came from.
package lifespan
