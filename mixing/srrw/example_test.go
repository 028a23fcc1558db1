package srrw_test

import (
	"fmt"

	"starling/mixing/srrw"
)

// A token walks over a ring of four peers, of which it knows the neighbours of the one that has it.
func Example() {
	config, err := srrw.Parse("srrw:alpha=10,a=1")
	if err != nil {
		fmt.Println(err)
		return
	}
	history := srrw.NewHistory(config.Limit, 0, 1, 2, 3)
	here, way := uint64(0), []uint64(nil)
	for hop := range uint64(8) {
		peer := func(tag uint64) srrw.Peer { return srrw.Peer{Tag: tag % 4, Degree: 2, Mu: 1} }
		at := history.Around(peer(here), []srrw.Peer{peer(here + 1), peer(here + 3)})
		here = config.Next(at, srrw.Uniform(7, hop, 0))
		history.Visit(here, config.Gamma)
		way = append(way, here)
	}
	fmt.Println(way)
	for _, tag := range history.Peers() {
		fmt.Println(tag, "was visited", history.Count(tag)-1, "times")
	}
	// Output:
	// [3 0 1 2 3 0 1 2]
	// 0 was visited 2 times
	// 1 was visited 2 times
	// 2 was visited 2 times
	// 3 was visited 2 times
}
