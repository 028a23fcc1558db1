package adversary_test

import (
	"fmt"

	"starling/sim/adversary"
)

func Example() {
	roster, err := adversary.Parse([]string{"sign-flip:nodes=3", "silence:towards=0.5,share=0.25"}, 4, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, g := range roster.Groups() {
		fmt.Println(g.Name, len(g.Nodes))
	}

	// Node 3 has mixed to 1 and trained to 1.5. What leaves it is half a step back from 1.
	out := make([]float32, 1)
	changed := roster.Of(3).Announce(&adversary.Context{Round: 1, Own: []float32{1.5}, Base: []float32{1}}, out)
	fmt.Println(changed, out)
	// Output:
	// sign-flip:of=own,on=update 1
	// silence:towards=0.5 1
	// true [0.5]
}
