// Package faults breaks the running program, and what stands beside it, on purpose.
// Its tests alone fill it. The program is built and run as a process with a real
// PostgreSQL, InfluxDB and Mosquitto; devices keep a ledger of what was acknowledged
// on the wire; in the end the stores are read without the program's help, and nothing
// of the ledger may be missing. docs/faults.md lists what was seen.
//
// Each test has a short form, which always runs, and with TEST_FULL=1 a long one.
package faults
