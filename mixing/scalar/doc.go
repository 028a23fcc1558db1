// Package scalar is the mathematics of training with one byte per gradient (spec 04): shared-seed SPSA as a replicated data type.
//
// A peer moves the weights along a random direction that every peer can make again from a seed, measures the slope of its own
// loss there with two forward passes, and sends that one number, rounded to a byte (Zelikman et al. 2023; Malladi et al. 2023; the
// pool of seeds is of Qin et al. 2023). A [Record] is the byte and its place in the log of its peer; the place decides the
// direction. The state of a run is the set of its records and nothing else: sums are of integers, so equal sets give equal
// models, bit for bit, whatever the order in which records came.
//
// Start with [Parse], for what all peers of a run agree on, and [Replica.Insert], for records that arrived. A [Replica] keeps the
// records as a [Set] and their sums as [Accumulators]; a [Model] keeps the weights, and may live elsewhere: [Replica.Take] lists
// what it must be told. [Vector] and [Set.Reconcile] find what two sets do not share.
//
// Where spec 04 leaves things open:
//
//   - The structured pool (4.19) of generation G has the key w0 | w1<<32 of Philox(run seed, (G, 0, 0, 5)). Parameter j of tensor T
//     has the halfword j&7 of Philox(key, (j>>3 low, j>>3 high, T, 5)): bucket in its low bits, sign in bit 15.
//   - The dense pool's seed k of generation G is w0 | w1<<32 of Philox(run seed, (k, G, 0, 2)).
//   - The common direction of a step (4.11) is that of Philox(run seed, (step, 2³²-1, epoch, 3)), where step is seq mod B.
//   - In closed mode the clip of an epoch (4.11) makes no record void: a larger code counts as the clip, so that a record need not be judged
//     before its epoch is open. [Replica.Closing] says what the next clip is.
//   - Accumulators wrap on overflow, which keeps them free of order, and say that they did. [Config.Validate] refuses settings
//     under which they could; it counts the largest entry of a direction, too, which is 4 of binom8 and 16 of binom32.
//   - Range reconciliation (4.10) splits ranges by logs, not by records, and where there are at most 16 logs peers tell their ends
//     instead of the records: logs have no gaps, so that says what is missing, and only that is sent. If the ends are equal and
//     the fingerprints are not, it goes on by records and finds who shows two histories.
//   - The digest of all sums is over the digests of generations (4.9 has one generation, whose digest is [DigestOf]).
//   - Momentum and decay of accumulators (4.12) are left out.
//
// The package does no I/O, checks no signatures and knows no membership: records that it is given are from members and signed.
// Any package may import it; of the project it imports mixing, for layouts, mixing/kernel, mixing/philox and mixing/spelling.
package scalar
