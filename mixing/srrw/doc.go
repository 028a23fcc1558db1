// Package srrw is the mathematics of self-repellent random walks (spec 02): where a token that walks over a graph of peers goes next,
// if it likes peers that it has seen less than its target says.
//
// A base chain, such as Metropolis-Hastings, says how likely a step from peer i to its neighbour j is, P_ij. The walk keeps a history x
// of its visits and takes P_ij (x_j/mu_j)^-alpha instead, normalised (Doshi, Hu, Eun 2023), or aims Metropolis-Hastings at
// mu_i (x_i/mu_i)^-alpha (Hu et al. 2025). Both need degrees, weights and visits of a peer and its neighbours only. With a larger alpha
// the visits are spread more evenly, and a model that is trained along the walk has less noise (Hu, Doshi, Eun 2024).
//
// Start with [Parse] or [Default], which give a [Config], and with [NewHistory]. A hop is then
//
//	at := history.Around(self, neighbours)
//	next := config.Next(at, srrw.Uniform(seed, hop, 0))
//	history.Visit(next, config.Gamma)
//
// [Config.Row] has the probabilities themselves, [Shared] the visits that several tokens tell each other, and [History.Append] and
// [DecodeHistory] the form in which a token carries its history.
//
// The package moves no token and holds no model. It draws nothing: the caller brings a uniform number for each hop. Every result is the
// same bits on every machine. It keeps no state besides the values it hands out, which must not be used concurrently while one
// changes. Any package of the project may import it.
package srrw
