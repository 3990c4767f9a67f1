// Package house holds the rules of the house as tests, where a linter cannot:
// arrows between packages through others, names, sizes, the ban on the server's
// clock in SQL, and the files around the code (compose, broker, Grafana,
// scripts). It has no code of its own and nothing imports it.
package house
