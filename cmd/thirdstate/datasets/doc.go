// Package datasets measures the detection that the product has over a folder of
// public data sets, with the engine that serves live and one frozen configuration.
//
// What the watcher sees and what it is judged by are kept apart: the label columns
// and file names stay with the judge. A family of data sets is known by its columns
// and folder shape, and never by how many rows a file has or what its labels say.
package datasets
