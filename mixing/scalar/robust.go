package scalar

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"starling/mixing/philox"
	"starling/mixing/spelling"
)

// A Combine says how what several peers measured along one direction becomes one number (spec 04, 4.11). All arithmetic is of
// integers, so that all peers get the same.
type Combine struct {
	Kind Kind
	// Trim is the part that Trimmed drops at each end, in ten thousandths; Groups is the number of groups of MedianOfMeans.
	Trim, Groups int
}

// A Kind is a way of combining.
type Kind uint8

// The kinds. All but Plain take the mean of each peer first, and count the result once for each record.
const (
	Plain         Kind = iota // the sum, as if nothing were combined
	Median                    // the lower one of two in the middle
	Trimmed                   // the mean of what is left without the ends
	MedianOfMeans             // of groups of peers, which change from epoch to epoch
)

const maxGroups = 1001

// ParseCombine reads none, median, trimmed:0.2 (less than half, in steps of 0.0001) or mom:5 (median of means over 5 groups, an odd
// number).
func ParseCombine(text string) (Combine, error) {
	name, setting, has := strings.Cut(text, ":")
	switch name {
	case "none", "median":
		if has {
			return Combine{}, fmt.Errorf("%s takes no number", name)
		}
		if name == "median" {
			return Combine{Kind: Median}, nil
		}
		return Combine{}, nil
	case "trimmed":
		x, err := strconv.ParseFloat(setting, 64)
		trim := math.Round(x * 1e4)
		if err != nil || !(trim >= 1 && trim < 5000) || math.Abs(x-trim/1e4) > 1e-12 {
			return Combine{}, fmt.Errorf("want a part below one half in steps of 0.0001, such as trimmed:0.2")
		}
		return Combine{Kind: Trimmed, Trim: int(trim)}, nil
	case "mom":
		n, err := strconv.Atoi(setting)
		if err != nil || n < 3 || n > maxGroups || n%2 == 0 {
			return Combine{}, fmt.Errorf("want an odd number of groups from 3 to %d, such as mom:5", maxGroups)
		}
		return Combine{Kind: MedianOfMeans, Groups: n}, nil
	}
	return Combine{}, fmt.Errorf("there are none, median, trimmed:0.2, mom:5%s", spelling.Hint(name, []string{"none", "median", "trimmed", "mom"}))
}

// String is the text that [ParseCombine] reads.
func (c Combine) String() string {
	switch c.Kind {
	case Median:
		return "median"
	case Trimmed:
		return "trimmed:" + strconv.FormatFloat(float64(c.Trim)/1e4, 'f', -1, 64)
	case MedianOfMeans:
		return "mom:" + strconv.Itoa(c.Groups)
	}
	return "none"
}

func (c Combine) valid(peers int) error {
	switch {
	case c.Kind > MedianOfMeans, c.Kind == Trimmed && (c.Trim < 1 || c.Trim >= 5000), c.Kind == MedianOfMeans && (c.Groups < 3 || c.Groups%2 == 0):
		return fmt.Errorf("combine=%s is not possible", c)
	case c.Kind == MedianOfMeans && c.Groups > peers:
		return fmt.Errorf("combine=%s has more groups than there are peers, %d", c, peers)
	}
	return nil
}

// Of combines the values of peers; group gives the group of each, and only MedianOfMeans asks for it. values are reordered. There is
// at least one.
func (c Combine) Of(values []int64, group func(i int) int) int64 {
	switch c.Kind {
	case Median:
		return median(values)
	case Trimmed:
		slices.Sort(values)
		b := len(values) * c.Trim / 1e4
		return mean(values[b : len(values)-b])
	case MedianOfMeans:
		sums, counts := make([]int64, c.Groups), make([]int64, c.Groups)
		for i, v := range values {
			sums[group(i)] += v
			counts[group(i)]++
		}
		means := sums[:0]
		for g, n := range counts {
			if n > 0 {
				means = append(means, floorDiv(sums[g], n))
			}
		}
		return median(means)
	}
	return mean(values)
}

// Group is the group of a peer in an epoch.
func Group(seed, peer uint64, epoch uint32, groups int) int {
	w := philox.Block(seed, [4]uint32{uint32(peer), uint32(peer >> 32), epoch, philox.SeedAssignment})
	return int(w[0] % uint32(groups))
}

func median(values []int64) int64 {
	slices.Sort(values)
	return values[(len(values)-1)/2]
}

func mean(values []int64) int64 {
	sum := int64(0)
	for _, v := range values {
		sum += v
	}
	return floorDiv(sum, int64(len(values)))
}

// floorDiv is the quotient rounded down. n is positive.
func floorDiv(sum, n int64) int64 {
	q := sum / n
	if sum%n < 0 {
		q--
	}
	return q
}
