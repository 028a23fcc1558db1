// Package manifest describes a run: what is trained, on what data, how, and within which limits. People write a
// manifest as YAML; programs hash, sign and send it as canonical CBOR. The ID of a run is the SHA-256 of that CBOR, so
// two nodes that hold the same ID agree on every setting.
//
// Start with [ParseYAML], which reports every problem of a file at once with its line and column, and with
// [Open], which verifies a signed manifest that came from a peer.
//
// The package reads no files, asks no clock and opens no data: the caller fills in [Manifest.Created]. It does not decide
// whether a node should take part in a run; in particular, a manifest may name files ([Data.NamesFiles]), which a node
// that joins a stranger's run must not read without being told to.
//
// The daemon, the simulator and the command line import it. The core does not: it is handed settings, not documents.
// All functions are safe for concurrent use.
package manifest
