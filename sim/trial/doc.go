// Package trial carries out an experiment: it builds the world that the file describes, runs it, measures models on the way,
// and puts everything into a report.
//
// Start with [Run]. For a look into a world that runs, [Build] returns it. The package reads no experiment files (package
// experiment does) and writes nothing (package report does). It reads the clocks of the machine for the figures of cost and
// for progress, never for what happens in the world.
//
// Commands and tests may import it.
package trial
