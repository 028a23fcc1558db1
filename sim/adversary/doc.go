// Package adversary holds what dishonest nodes of a simulation do: what they announce in place of their model, to whom, on
// which labels they train, whether they train at all (spec 07, section 19).
//
// Start with [Parse], which gives kinds of attacks to nodes from specifications such as "alie:share=0.2", and with
// [Roster.Of], which is the [Attack] of one node. An adversary runs the same core as an honest node. The engine that drives
// it asks the attack at six places:
//
//   - when a round begins, [Attack.Idle]: a free-rider skips the local steps and says what it pretends;
//   - when a batch is filled, [Attack.Labels];
//   - when a vector is to be encoded, [Attack.Announce]: what leaves the node in its place. The node itself goes on from
//     the honest one;
//   - when a slope was measured, with the method scalar, [Attack.Slope];
//   - when a message of the node's own is to be sent to one receiver, [Attack.Send];
//   - when a receiver pulls a vector, [Attack.Serves], and Announce for the receiver's version, where there are versions.
//
// When an honest node announces, the engine tells the [View], from which attackers take what honest nodes do: what was
// announced is public, so they need no look into anybody's memory.
//
// # What formulas are applied to
//
// The definitions speak of vectors; nodes exchange models. Where a formula is not unchanged by a shift of the origin (sign
// flip, scaling, scaled flip, IPM, Gaussian noise, equivocation), it is applied to updates, that is to differences from
// the node's own last mixed model, [Context.Base], which is then added again: a flipped update undoes training, while a
// flipped model is noticed by everybody. The setting on=model applies it to the models themselves, literally. ALIE, mimic
// and dissensus give the same either way. Under push-sum Own and Base are running sums: kinds that compare models of nodes
// (ipm, alie, scaled-flip, mimic, dissensus, sign-flip:of=mean) have no meaning there.
//
// All vectors are finite, cut at the largest number of bf16, because a receiver drops others unseen; the kinds nan and
// infinity exist to test that it does.
//
// The package draws no chance but from the seed, keeps no clock and sends nothing itself. It does not search for the
// strength that hurts a given rule most. An attack is not safe for concurrent use, nor are attacks of one roster with each
// other or with the view: they collude. The simulator and its experiments may import it; it imports gossip and mixing.
package adversary
