// Package daemon drives one node of a run on the real world: libp2p, Badger, the clock and the processor.
//
// Start with [CreateRun], which makes a run and its link, and [Open], which prepares to take part; [Daemon.Serve] does
// so until its context ends. [Dial] talks to a daemon that is running.
//
// The daemon decides nothing about learning: it hands events to a node.Core one at a time and carries out the batches
// that come back, in the order that node.Batch promises. One goroutine owns the core and the vectors; jobs run on
// others and report back to it. The daemon writes only below its home directory:
//
//	key                      the node's identity, mode 0600
//	config.yaml              settings of the owner, optional
//	runs/<id>/manifest.cbor  the signed manifest of a run
//	runs/<id>/store/         checkpoints, blobs and small records, in Badger
//	runs/<id>/control.json   how the running daemon can be reached
//
// Commands may import it; the core, the simulator and the packages below must not.
package daemon
