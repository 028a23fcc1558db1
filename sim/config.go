package sim

import (
	"errors"
	"fmt"

	"starling/mixing/topology"
	"starling/node"
	"starling/sim/adversary"
	"starling/sim/churn"
	"starling/sim/mesh"
	"starling/sim/network"
)

// Config describes a world. The zero values of optional parts ask for nothing: no latency, no loss, no churn.
type Config struct {
	Seed  uint64
	Nodes int
	Task  Task
	// Node is what all cores are built from. Self, Rand, Seq, Len, Tensors, Codec, MaxPayload and Cells are filled in.
	Node node.Config

	// Graph says who is connected to whom; nil is everybody to everybody.
	Graph *topology.Graph
	// Mesh sends broadcasts as gossipsub does, from peer to peer; nil sends them to each connected peer once, and no further.
	Mesh *mesh.Config
	// Dial, with Mesh and without Graph, is how many others of its cell a node dials, so that it has twice as many
	// connections on average. 0 is everybody.
	Dial int
	// CellSize divides the nodes into cells of so many on average, drawn anew every CellEpoch. 0 is one cell. Only without
	// Graph.
	CellSize  int
	CellEpoch node.Instant

	Network  Network
	Sessions *churn.Sessions // nil: all are always there
	Speeds   *churn.Speeds   // nil: all are equally fast
	Times    Times

	// Inline is the size in bytes of the largest vector that travels inside its announcement.
	Inline uint64

	Adversaries *adversary.Roster // nil: all are honest

	// Workers is how many goroutines may compute at the same time, the caller's included. Default 1. It changes nothing but
	// the time that a run takes.
	Workers int
	// CPU returns the processor time of the calling thread in nanoseconds, for [World.Cost]. Nil counts nothing.
	CPU func() int64
}

// Network is how messages travel. Nil and zero parts ask for nothing.
type Network struct {
	Latency    *network.Latency
	Jitter     *network.Jitter
	Bandwidth  []network.Bandwidth // nil: without limits
	Loss       *network.Loss
	NAT        *network.NAT
	Partitions *network.Partitions
}

// Times are the durations of jobs in virtual time, before the speed of a node is applied.
type Times struct {
	Step  node.Instant // one local step
	Epoch node.Instant // training jobs of one pass over the data, however many steps that has; 0: Step counts
	Other node.Instant // every other job: mixing, encoding, evaluating, saving
}

func (c *Config) validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(c.Nodes < 1 || c.Nodes > maxNodes, "nodes: %d is not within 1 and %d", c.Nodes, maxNodes)
	bad(c.Task == nil, "no task")
	bad(c.Graph != nil && c.Graph.N() != c.Nodes, "the graph is one of other than %d nodes", c.Nodes)
	bad(c.Graph != nil && c.CellSize > 0, "cells: the nodes of a graph are not divided; choose one of the two")
	bad(c.CellSize > 0 && c.CellEpoch <= 0, "cells: an epoch of %d ns", c.CellEpoch)
	bad(c.Times.Step < 0 || c.Times.Epoch < 0 || c.Times.Other < 0, "durations of jobs must not be negative")
	bad(c.Dial < 0 || c.CellSize < 0 || c.CellSize == 1, "dial is %d and the size of cells %d", c.Dial, c.CellSize)
	bad(!c.pushes() && c.Graph == nil && c.links() > maxLinks,
		"%d nodes, all connected to all, are too many links: choose a graph such as regular:8, or cells", c.Nodes)
	bad(c.walks() && c.Adversaries != nil, "no adversary is made for the method walk")
	if c.Adversaries != nil {
		errs = append(errs, c.Adversaries.Fits(c.scalars()))
	}
	bad(c.Mesh != nil && c.pushes() && c.CellSize == 0 && c.Graph != nil, "the exchange push has no broadcasts for a mesh to carry")
	return errors.Join(errs...)
}

// maxNodes and maxLinks bound the memory of a world, and with it what a file of a few bytes can ask for.
const (
	maxNodes = 1_000_000
	maxLinks = 20_000_000
)

func (c *Config) pushes() bool {
	return c.Node.Method == "average" && c.Node.Average.Exchange == node.Push
}

// walks reports whether models walk from node to node.
func (c *Config) walks() bool { return c.Node.Method == "walk" }

// scalars reports whether nodes send records, and have integer models.
func (c *Config) scalars() bool { return c.Node.Method == "scalar" }

// links estimates the number of connections.
func (c *Config) links() int {
	size := c.Nodes
	if c.CellSize > 0 {
		size = min(size, 2*c.CellSize)
	}
	if c.Mesh != nil && c.Dial > 0 {
		size = min(size, 2*c.Dial)
	}
	return c.Nodes * size / 2
}
