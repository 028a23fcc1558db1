// Package strictyaml reads files that people write, so that they are told of every mistake at once: unknown and repeated
// keys with the nearest valid name, and values of the wrong type, each with file, line and column.
//
// Start with [Form.Parse], which makes a tree of a document, and with [Decode], which puts the values of a tree into their
// places. Decoding into structs by reflection would stop at the first problem, and would not know the places of values
// that are well formed but not sensible.
//
// The package knows no keys and checks no ranges: the caller lists its settings, and reports what it finds wrong with
// their values through [Decoded.Report]. Anchors, aliases, tags and second documents are refused.
//
// Packages that own a format for people import it; it imports only spelling of the project. All functions are safe for
// concurrent use on different trees.
package strictyaml
