// Package experiment reads experiments for the simulator. One YAML file is one experiment: how many nodes, how they are
// connected, what they train on, how they train together, who of them lies, and when it is over. Where a run of real nodes
// has the same setting, its key has the same name as in a manifest and the same default.
//
// Start with [Load], which reports every problem of a file at once with its line, its column and the nearest valid name.
// Any value of a file may be a list, and the file is then a sweep: [File] has a [Point] for each combination. [Sweep] carries
// points out with a function that it is handed, goes on where a former sweep stopped, and keeps a failed point from stopping
// the others.
//
// The package simulates nothing and draws no random numbers. Specifications of models, optimizers, graphs and the like
// stay text: the packages that own them parse them, here for a check and in the engine again. Those that belong to the
// simulator are asked through [Hooks]: see [Owners]. Data is not opened: a file that names other files as its data is
// accepted without a look at them.
//
// The engine of the simulator and the command line import it. It may be used concurrently, but for [Sweep].
package experiment
