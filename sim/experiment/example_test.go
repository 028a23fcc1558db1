package experiment_test

import (
	"fmt"

	"starling/sim/experiment"
)

func Example() {
	file := `
name: graphs
nodes: 64
overlay: [ring, "regular:4"]
method: {mix: mean, degree: 4}
stop: {rounds: 20}
`
	f, err := experiment.Load([]byte(file), "graphs.yaml", []string{"seed=[1, 2]"}, experiment.Owners())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range f.Points {
		fmt.Println(p.Label)
	}

	_, err = experiment.Load([]byte(file), "graphs.yaml", []string{"method.degre=3"}, experiment.Owners())
	fmt.Println(err)
	// Output:
	// overlay=ring,seed=1
	// overlay=ring,seed=2
	// overlay=regular:4,seed=1
	// overlay=regular:4,seed=2
	// --set method.degre=3: unknown key "degre"; did you mean "degree"?
}
