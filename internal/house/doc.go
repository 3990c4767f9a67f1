// Package house holds the rules of the house as tests, where a linter cannot:
// arrows between packages through others, names, sizes, the ban on the server's
// clock in SQL. It needs no service, so make check runs it.
// It has no code of its own and nothing imports it.
package house
