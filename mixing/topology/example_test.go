package topology_test

import (
	"fmt"

	"starling/mixing/topology"
)

func ExampleParse() {
	top, err := topology.Parse("regular:4", 16, 42)
	if err != nil {
		fmt.Println(err)
		return
	}
	w := top.Matrix(0, 0)
	g, _ := top.Graph()
	fmt.Println(top, "diameter", g.Diameter(), "rounds to 1 %:", topology.RoundsTo(topology.Gap(w), 0.01) < 30)
	_, err = topology.Parse("rnig", 16, 42)
	fmt.Println(err)
	// Output:
	// regular:d=4 diameter 4 rounds to 1 %: true
	// unknown topology "rnig": there are base, complete, equistatic, equistatic-directed, erdos-renyi, exponential, geometric, hyper-hypercube, hypercube, line, matching, od-equidyn, one-peer-exponential, ou-equidyn, regular, ring, simple-base, star, torus, watts-strogatz; did you mean "ring"?
}

// Six peers reach their exact mean in four rounds, with one partner each.
func ExampleTopology_Row() {
	top, err := topology.Parse("base:k=1", 6, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	x := []float64{6, 0, 0, 0, 0, 12}
	for round := range uint64(top.Period()) {
		next := make([]float64, len(x))
		for i := range x {
			for _, w := range top.Row(1, round, i) {
				next[i] += w.W * x[w.Peer]
			}
		}
		x = next
	}
	fmt.Printf("%.6f\n", x)
	// Output: [3.000000 3.000000 3.000000 3.000000 3.000000 3.000000]
}

func ExampleMetropolis() {
	g, err := topology.NewGraph(3, false, [][2]int{{0, 1}, {1, 2}})
	if err != nil {
		fmt.Println(err)
		return
	}
	w, err := topology.Metropolis(g)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range w.Dense() {
		fmt.Printf("%.3f\n", row)
	}
	// Output:
	// [0.667 0.333 0.000]
	// [0.333 0.333 0.333]
	// [0.000 0.333 0.667]
}
