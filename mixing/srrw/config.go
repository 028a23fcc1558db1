package srrw

import (
	"fmt"
	"math"

	"starling/mixing/kernel"
)

// A Base is the chain that the walk is when alpha is 0.
type Base uint8

const (
	// Metropolis proposes all neighbours alike and accepts as the target mu wants: P_ij = min(1, mu_j deg_i/(mu_i deg_j))/deg_i.
	Metropolis Base = iota
	// Averaging has the weights of averaging by gossip, min(1/(1+deg_i), mu_j/(mu_i (1+deg_j))): it never has a period, and its target is mu.
	Averaging
	// Simple takes each neighbour alike. Its target is the degree, whatever mu says.
	Simple
	// NonBacktracking takes each neighbour alike but the one it came from, to which it returns from a dead end only. Its target is the
	// degree too. It is a chain on links and not reversible, so the formulas of covariances do not hold for it.
	NonBacktracking
)

// A Form is how repulsion enters the chain.
type Form uint8

const (
	// Auto is Rows where a peer has no more than 32 neighbours, and Proposals elsewhere.
	Auto Form = iota
	// Rows weighs all neighbours and the peer itself at once: the kernel SRRW of spec 02, section 2.5.
	Rows
	// Proposals proposes one neighbour and accepts or stays: the history-driven target of section 2.7. It always proposes alike, so a
	// base chain matters for its target only.
	Proposals
)

const (
	// MaxAlpha is the strongest repulsion. Beyond it the walk sweeps to and fro between the same peers (spec 02, section 2.14).
	MaxAlpha = 20
	// MaxLimit is the most entries that a history may have.
	MaxLimit = 1 << 16
	// widest is the most neighbours for which Auto weighs all of them.
	widest = 32
	// clamp bounds alpha ln((x_j/mu_j)/(x_i/mu_i)), so that a peer with next to no visits does not hold a token for good (section 2.12). In a
	// row i is the peer that the token is drawn to most: the vectors have factors between the others that are larger.
	clamp = 30
)

// A Config is a walk. The zero value is not valid: start with [Default].
type Config struct {
	Alpha float64 // strength of repulsion, 0 to [MaxAlpha]; 0 is the base chain
	A     float64 // the history's steps are gamma_n = (n+1)^-A; above 0.5, at most 1, where it counts visits
	B     float64 // the model's steps are beta_n = (n+1)^-B; above 0.5, at most 1
	Floor bool    // gamma_n is at least 1/(8 peers), for a model whose steps stay constant; it also forgets peers that left
	Base  Base
	Lazy  bool // stay with probability 1/2, which an even ring and other graphs of two colours need: (I+P)/2
	Form  Form
	Limit int // entries of a history, 1 to [MaxLimit]; the least recently visited give way
}

// Default is the walk of spec 02, section 2.13.
func Default() Config {
	return Config{Alpha: 5, A: 0.8, B: 0.9, Limit: 4096}
}

// Validate says what is wrong with the first setting that is.
func (c Config) Validate() error {
	switch {
	case !(c.Alpha >= 0 && c.Alpha <= MaxAlpha):
		return fmt.Errorf("alpha is %v, must be from 0 to %d", c.Alpha, MaxAlpha)
	case !(c.A > 0.5 && c.A <= 1):
		return fmt.Errorf("a is %v, must be above 0.5 and at most 1", c.A)
	case !(c.B > 0.5 && c.B <= 1):
		return fmt.Errorf("b is %v, must be above 0.5 and at most 1", c.B)
	case int(c.Base) >= len(bases):
		return fmt.Errorf("base chain %d is not known", c.Base)
	case int(c.Form) >= len(forms):
		return fmt.Errorf("kernel %d is not known", c.Form)
	case c.Limit < 1 || c.Limit > MaxLimit:
		return fmt.Errorf("limit is %d, must be from 1 to %d", c.Limit, MaxLimit)
	case c.Lazy && c.Form == Proposals:
		return fmt.Errorf("proposals stay often enough: lazy goes with kernel srrw or auto")
	case c.Base == NonBacktracking && c.Form == Proposals:
		return fmt.Errorf("proposals may go back: base nonbacktracking goes with kernel srrw or auto")
	}
	return nil
}

// Gamma is the step of a history at its visit number n, which counts from 0, if it knows so many peers: (n+2)^-A, and not below the
// floor. It is 0 if A is 1, which stands for one more count.
func (c Config) Gamma(n uint64, peers int) float64 {
	g := 0.0
	if c.A < 1 {
		g = power(n, c.A)
	}
	if c.Floor {
		g = max(g, 1/float64(8*max(1, peers)))
	}
	return g
}

// Beta is the step of the model at the hop number n, which counts from 0: (n+2)^-B.
func (c Config) Beta(n uint64) float64 { return power(n, c.B) }

// power is (n+2)^-a.
func power(n uint64, a float64) float64 { return kernel.Exp(-a * kernel.Log(float64(n)+2)) }

// Target is what the visits of a peer are proportional to in the long run.
func (c Config) Target(p Peer) float64 {
	if c.Base == Simple || c.Base == NonBacktracking {
		return float64(max(1, p.Degree))
	}
	if !(p.Mu > 0) || math.IsInf(p.Mu, 1) {
		return 0
	}
	return p.Mu
}
