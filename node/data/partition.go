package data

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"starling/mixing/spelling"
)

// Concentrations outside of this range act as its ends: there all of a class is on one node, or shares are equal.
const (
	minConcentration = 1e-6
	maxConcentration = 1e9
)

// minShard is the number of rows that a node gets at least when the division is by chance, if there are twice as many.
const minShard = 10

// Partition divides rows, given by their labels, among nodes. Every row is in exactly one part, and rows in a part are
// ascending. The same arguments give the same parts on every machine. iid and contiguous may divide rows among more nodes than
// there are rows, and leave parts empty; with the others every part has at least one row.
//
//	iid           shuffled, then cut into equal parts, whose sizes differ by one at most
//	contiguous    cut into equal parts as they lie
//	dirichlet:A   the shares of the nodes in each class are drawn from a Dirichlet distribution with concentration A
//	              (Hsu et al. 2019 in its per-class form, as Li et al. 2022 use it): large A is nearly iid, small A gives
//	              nodes few classes and unequal sizes. Parts below 10 rows (or half of an equal part, if that is less) then
//	              take rows from the largest part, one by one, instead of drawing again.
//	shards:K      sorted by label and cut into K equal shards for each node, dealt out by chance (McMahan et al. 2017)
//
// A node that joins later than planned, with a number i >= nodes, uses part i mod nodes.
func Partition(spec string, labels []int32, nodes int, seed uint64) ([][]int32, error) {
	kind, arg, hasArg := strings.Cut(spec, ":")
	n := len(labels)
	if n > maxRows {
		return nil, fmt.Errorf("split %s: %d rows are more than %d", spelling.Quote(spec), n, maxRows)
	}
	if nodes < 1 || nodes > n && spec != "iid" && spec != "contiguous" {
		return nil, fmt.Errorf("split %s: %d rows cannot be divided among %d nodes", spelling.Quote(spec), n, nodes)
	}
	c := draw(seed, forPartition, 0, 0)
	var parts [][]int32
	switch {
	case spec == "iid":
		rows := upTo(n)
		c.shuffle(rows)
		parts = cut(rows, nodes)
	case spec == "contiguous":
		parts = cut(upTo(n), nodes)
	case kind == "dirichlet" && hasArg:
		a, err := strconv.ParseFloat(arg, 64)
		if err != nil || !(a > 0) || math.IsInf(a, 0) {
			return nil, fmt.Errorf("split dirichlet wants a concentration above 0, such as dirichlet:0.3, not %s", spelling.Quote(arg))
		}
		parts = byDirichlet(c, labels, nodes, min(max(a, minConcentration), maxConcentration))
	case kind == "shards" && hasArg:
		k, err := strconv.ParseUint(arg, 10, 16)
		if err != nil || k == 0 {
			return nil, fmt.Errorf("split shards wants the number of shards of a node, such as shards:2, not %s", spelling.Quote(arg))
		}
		if int(k) > n/nodes {
			return nil, fmt.Errorf("split %s: %d rows are too few for %d shards on each of %d nodes", spelling.Quote(spec), n, k, nodes)
		}
		parts = byShards(c, labels, nodes, int(k))
	default:
		return nil, fmt.Errorf("split %s is not known; use iid, contiguous, dirichlet:A or shards:K", spelling.Quote(spec))
	}
	for _, p := range parts {
		slices.Sort(p)
	}
	return parts, nil
}

func upTo(n int) []int32 {
	rows := make([]int32, n)
	for i := range rows {
		rows[i] = int32(i)
	}
	return rows
}

// cut divides rows into pieces whose sizes differ by one at most.
func cut(rows []int32, pieces int) [][]int32 {
	out := make([][]int32, pieces)
	for i := range out {
		from, to := i*len(rows)/pieces, (i+1)*len(rows)/pieces
		out[i] = rows[from:to:to]
	}
	return out
}

func byClass(labels []int32) [256][]int32 {
	var classes [256][]int32
	for i, l := range labels {
		classes[l] = append(classes[l], int32(i))
	}
	return classes
}

func byShards(c chance, labels []int32, nodes, k int) [][]int32 {
	classes := byClass(labels)
	shards := cut(slices.Concat(classes[:]...), nodes*k)
	order := upTo(len(shards))
	c.shuffle(order)
	parts := make([][]int32, nodes)
	for i, shard := range order {
		parts[i/k] = append(parts[i/k], shards[shard]...)
	}
	return parts
}

func byDirichlet(c chance, labels []int32, nodes int, a float64) [][]int32 {
	parts := make([][]int32, nodes)
	shares := make([]float64, nodes)
	for _, rows := range byClass(labels) {
		if len(rows) == 0 {
			continue
		}
		c.shuffle(rows)
		c.dirichlet(a, shares)
		var sum float64
		from := 0
		for i, share := range shares {
			sum += share
			to := min(max(int(math.Floor(float64(sum*float64(len(rows)))+0.5)), from), len(rows))
			if i == nodes-1 {
				to = len(rows)
			}
			parts[i] = append(parts[i], rows[from:to]...)
			from = to
		}
	}
	fillUp(parts, max(1, min(minShard, len(labels)/nodes/2)))
	return parts
}

// fillUp moves rows from the largest part, the first one of equals, to those with less than least rows. There must be
// enough rows for that.
func fillUp(parts [][]int32, least int) {
	// A heap of parts with the largest on top. Parts that are filled up grow without being moved in it: they stay smaller
	// than any part that can be on top, so that the top is right all the same.
	order := make([]int, len(parts))
	for i := range order {
		order[i] = i
	}
	before := func(a, b int) bool {
		x, y := len(parts[a]), len(parts[b])
		return x > y || x == y && a < b
	}
	sift := func(at int) {
		for {
			top := at
			for child := 2*at + 1; child <= 2*at+2 && child < len(order); child++ {
				if before(order[child], order[top]) {
					top = child
				}
			}
			if top == at {
				return
			}
			order[at], order[top] = order[top], order[at]
			at = top
		}
	}
	for at := len(order)/2 - 1; at >= 0; at-- {
		sift(at)
	}
	for i := range parts {
		for len(parts[i]) < least {
			from := order[0] // not i: some part has more than least rows as long as one has fewer
			last := len(parts[from]) - 1
			parts[i] = append(parts[i], parts[from][last])
			parts[from] = parts[from][:last]
			sift(0)
		}
	}
}
