package network

import (
	"fmt"
	"slices"

	"starling/mixing/kernel"
	"starling/node"
	"starling/sim/chance"
	"starling/sim/spec"
)

// maxDelay bounds every delay that can be written.
const maxDelay = 3600 * node.Second

const millisecond = node.Second / 1000

// Latency is the time of flight between nodes: the same for both directions of a pair, and fixed for a run. It takes no
// memory per pair. All methods are safe for concurrent use.
type Latency struct {
	kind  latencyKind
	base  node.Instant // constant; the least of uniform
	width uint64       // uniform: the number of values
	key   uint64
	table *chance.Quantiles // log-normal

	site  []int32 // where each node is
	sites int
	names []string       // of regions; nil for sites without names
	ways  []node.Instant // between sites, sites x sites
}

type latencyKind uint8

const (
	constantLatency latencyKind = iota
	uniformLatency
	lognormalLatency
	siteLatency
)

// ParseLatency makes the latency of n nodes:
//
//	constant:20ms                      of every pair; "constant:0ms" is none
//	uniform:low=0ms,high=10ms          drawn for each pair; also uniform:0ms-10ms
//	lognormal:median=40ms,sigma=0.5    drawn for each pair
//	regions                            nodes in [Regions], as many as their weights say, at typical distances
//	regions:us-east=0.5,eu-west=0.5    the same regions with other weights
//	regions:FILE                       own regions: a first line region,weight and the names of all regions, then a line for
//	                                   each region: its name, its weight, and its milliseconds one way to all regions
//	matrix:FILE                        milliseconds one way between sites, a line for each site; node i is on site i mod sites
//
// In files, where the two directions of a pair differ, their mean is taken. The number on the diagonal is the latency of two
// nodes in the same place.
func ParseLatency(text string, n int, seed uint64) (*Latency, error) {
	if err := checkNodes("latency", n); err != nil {
		return nil, err
	}
	s := spec.Parse("latency", text)
	l := &Latency{key: chance.Key(seed, chance.Latency)}
	switch s.Name {
	case "constant":
		l.base = s.Duration("delay", spec.Required, 0, maxDelay)
	case "uniform":
		low, high := s.Range("low", "high", maxDelay)
		l.kind, l.base, l.width = uniformLatency, low, uint64(max(high-low, 0))+1
	case "lognormal":
		median := s.Duration("median", spec.Required, 0, maxDelay)
		sigma := s.Number("sigma", 0.5, 0, 5)
		l.kind, l.table = lognormalLatency, lognormal(float64(median), sigma)
	case "regions":
		if err := l.regions(s, n, seed); err != nil {
			return nil, err
		}
	case "matrix":
		file := s.Rest()
		if file == "" {
			s.Fail("a file is missing: matrix:FILE")
			break
		}
		if err := l.matrix(file, n); err != nil {
			return nil, fmt.Errorf("latency: %w", err)
		}
	default:
		return nil, s.Unknown("constant:DELAY", "uniform:low=A,high=B", "lognormal:median=A,sigma=S", "regions", "regions:FILE", "matrix:FILE")
	}
	return l, s.Done()
}

// maxNodes bounds what pairs of nodes are packed into.
const maxNodes = 1 << 24

func checkNodes(what string, n int) error {
	if n < 1 || n > maxNodes {
		return fmt.Errorf("%s: %d nodes; there must be from 1 to %d", what, n, maxNodes)
	}
	return nil
}

// lognormal tabulates a log-normal distribution by its median.
func lognormal(median, sigma float64) *chance.Quantiles {
	return chance.NewQuantiles(func(u float64) float64 { return median * kernel.Exp(sigma*chance.NormalQuantile(u)) })
}

// Between returns the time of flight from a to b. It is 0 from a node to itself.
func (l *Latency) Between(a, b int) node.Instant {
	switch {
	case a == b:
		return 0
	case l.kind == constantLatency:
		return l.base
	case l.kind == siteLatency:
		return l.ways[int(l.site[a])*l.sites+int(l.site[b])]
	case l.kind == uniformLatency:
		return l.base + node.Instant(chance.Below(chance.Pair(l.key, a, b), l.width))
	}
	return node.Instant(l.table.At(chance.Pair(l.key, a, b)))
}

// Regions returns the names of the regions that nodes are in, nil if latency is not by region.
func (l *Latency) Regions() []string { return slices.Clone(l.names) }

// Region returns the number of a node's region or site, 0 if latency knows none.
func (l *Latency) Region(n int) int {
	if l.site == nil {
		return 0
	}
	return int(l.site[n])
}

// A Jitter is what is added to the time of flight of each message anew. It is safe for concurrent use with sources of one's
// own.
type Jitter struct {
	base  node.Instant
	width uint64
	table *chance.Quantiles
}

// ParseJitter makes a jitter:
//
//	none
//	uniform:0ms-10ms         also uniform:low=0ms,high=10ms
//	exponential:mean=2ms
//	lognormal:median=2ms,sigma=1
func ParseJitter(text string) (*Jitter, error) {
	s := spec.Parse("jitter", text)
	j := &Jitter{width: 1}
	switch s.Name {
	case "none":
	case "uniform":
		low, high := s.Range("low", "high", maxDelay)
		j.base, j.width = low, uint64(max(high-low, 0))+1
	case "exponential":
		mean := float64(s.Duration("mean", spec.Required, 0, maxDelay))
		j.table = chance.NewQuantiles(func(u float64) float64 { return -mean * kernel.Log(1-u) })
	case "lognormal":
		median := s.Duration("median", spec.Required, 0, maxDelay)
		j.table = lognormal(float64(median), s.Number("sigma", 0.5, 0, 5))
	default:
		return nil, s.Unknown("none", "uniform:low=A,high=B", "exponential:mean=A", "lognormal:median=A,sigma=S")
	}
	return j, s.Done()
}

// Zero reports whether the jitter is always 0, so that nothing needs to be drawn.
func (j *Jitter) Zero() bool { return j.table == nil && j.base == 0 && j.width == 1 }

// Draw returns the jitter of a message. It takes one word from the source, or none if it is constant.
func (j *Jitter) Draw(source interface{ Uint64() uint64 }) node.Instant {
	switch {
	case j.table != nil:
		return node.Instant(j.table.At(source.Uint64()))
	case j.width == 1:
		return j.base
	}
	return j.base + node.Instant(chance.Below(source.Uint64(), j.width))
}
