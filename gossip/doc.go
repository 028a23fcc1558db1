// Package gossip is what travels between the nodes of a run: messages, their wire format, and verdicts about them.
//
// Start with [Seal], which signs and encodes a message, and [Open], which decodes and verifies one that arrived. [ParseLink]
// reads the link that invites to a run. wire.md beside this file documents every field, with examples that a test checks.
//
// The package is pure: it opens no connections, keeps no state, and does not know libp2p or what a node does with a
// message; package swarm moves the bytes and package node decides. All decoding is bounded by [Limits].
//
// Everything above may import it; it imports nothing of the project.
package gossip
