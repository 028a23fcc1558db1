// Package report is what a simulation leaves behind: the figures of a run as files, and pages that show them.
//
// Start with [Write], which puts a [Run] into a directory (result.json, series.csv, the experiment, report.html and its
// figures as SVG), and [Read], which takes it back. [Compare] makes one page of several runs, [DrawTopology] a picture of
// a graph, [Topologies] a page that compares graphs.
//
// Pages need no network: style, script and drawings are inside, they read well in light and dark, and everything but
// hovering works without the script. Whatever comes from an experiment is escaped. Equal runs make equal files.
//
// The package runs no simulation and takes no measurement: the engine fills the structs. It reads no clock and starts no
// goroutine. Commands and the simulator may import it; it imports the graphs of mixing/topology and nothing else of the
// project.
package report
