// Package walk studies self-repellent walks by themselves: a model of a few numbers that one token carries over a graph, hop by hop,
// without a network, clocks or nodes. It measures how far from the optimum the model is, for each strength of repulsion, and sets it
// beside what the theory says (spec 02, section 2.6).
//
// Start with [Load], which reads a [Study] from a file that says kind: walk, and with [Study.Run], which returns figures for package
// report. [Is] tells such a file from an experiment.
//
// The package does not move tokens between nodes: that is the method walk of the core, which the engine of the simulator runs. The walks
// themselves are those of mixing/srrw. Equal studies give equal figures on every machine, however many goroutines compute.
//
// The command line may import it. It may be used concurrently.
package walk
