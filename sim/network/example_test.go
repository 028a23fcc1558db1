package network_test

import (
	"fmt"
	"math/rand/v2"

	"starling/node"
	"starling/sim/network"
)

// A message of 10 kB from one home to another.
func Example() {
	const nodes, seed = 100, 1
	latency, err := network.ParseLatency("lognormal:median=40ms,sigma=0.5", nodes, seed)
	if err != nil {
		panic(err)
	}
	jitter, err := network.ParseJitter("exponential:mean=2ms")
	if err != nil {
		panic(err)
	}
	rates, err := network.ParseBandwidth("cable:0.7,dsl:0.3", nodes, seed)
	if err != nil {
		panic(err)
	}
	links, source := network.NewLinks(rates), rand.NewPCG(seed, 7)

	left := links.Send(0, 3, 10_000)
	reached := left + latency.Between(3, 4) + jitter.Draw(source)
	taken := links.Receive(reached, 3, 4, 10_000) // at the time reached
	fmt.Println("uplink", rates[3].Up, "left", left.Seconds(), "taken", taken.Seconds())
	// Output: uplink 10Mbit left 0.008 taken 0.031749001
}

// A transfer of 10 MB that gets half of a link when another one comes.
func ExampleStreams() {
	rates, err := network.ParseBandwidth("constant:up=8Mbit,down=80Mbit", 3, 1)
	if err != nil {
		panic(err)
	}
	streams := network.NewStreams(rates)
	streams.Start(0, 0, 1, 10_000_000)
	alone, _ := streams.Next()
	streams.Start(5*node.Second, 0, 2, 10_000_000)
	shared, _ := streams.Next()
	fmt.Println(alone.Seconds(), shared.Seconds())
	// Output: 10 15
}
