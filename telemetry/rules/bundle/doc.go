// Package bundle makes findings that can be checked by others: a bundle is one file
// with a finding, the rules, the state of the machine's rules at the beginning of a
// window and the observations of that window. Verify lets the same engine find it
// again, without a server, a network or a clock.
//
// Every byte of a bundle counts: a manifest holds the SHA-256 of each file, a seal
// that of the manifest, and the archive must be the one that Write makes of them. A
// bundle says that the finding follows from what is in it. Who made it, the seal says
// when it is compared with one that was kept elsewhere.
package bundle
