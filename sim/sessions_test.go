package sim

import (
	"testing"

	"starling/node"
	"starling/sim/chance"
	"starling/sim/churn"
	"starling/sim/network"
)

func TestASleepingNodeDoesNothingAndGoesOnWhereItWas(t *testing.T) {
	const from, until = 5 * node.Second, 12 * node.Second
	w := start(t, config(4, "mean"))
	w.Sleep(2, from)
	w.Restart(2, until)
	var before, after int
	w.Observe = func(n int, now node.Instant, ev node.Event, _ *node.Batch) {
		switch {
		case n != 2:
		case now < from:
			before++
		case now > from && now < until:
			t.Errorf("at %.3f s the node that sleeps has a %T", now.Seconds(), ev)
		case now >= until:
			after++
		}
	}
	w.Run(from, nil)
	slept, _ := w.Status(2)
	w.Run(until-1, nil)
	if _, armed := w.queue.when(2); armed {
		t.Error("the alarm of a node that sleeps is set")
	}
	if s, ok := w.Status(2); !ok || s.Round != slept.Round {
		t.Errorf("round %d became %d in sleep", slept.Round, s.Round)
	}
	w.Run(20*node.Second, nil)
	if s, _ := w.Status(2); before == 0 || after == 0 || s.Round <= slept.Round {
		t.Errorf("%d events before and %d after the sleep, rounds %d and %d", before, after, slept.Round, s.Round)
	}
}

// TestAnotherNodeChangesNobodysPrivateChance compares what nodes and links draw in worlds of eight nodes and of nine.
func TestAnotherNodeChangesNobodysPrivateChance(t *testing.T) {
	worlds := make([]*World, 2)
	sessions, speeds, latencies := make([]*churn.Sessions, 2), make([]*churn.Speeds, 2), make([]*network.Latency, 2)
	for k := range worlds {
		n := 8 + k
		worlds[k] = start(t, config(n, "mean"))
		sessions[k] = must(churn.ParseSessions("exponential:online=10s,offline=2s", n, 1))
		speeds[k] = must(churn.ParseSpeeds("lognormal:sigma=0.5", n, 1))
		latencies[k] = must(network.ParseLatency("lognormal:median=40ms,sigma=0.5", n, 1))
	}
	for i := range 8 {
		a, b := &worlds[0].hosts[i], &worlds[1].hosts[i]
		if a.id != b.id {
			t.Errorf("node %d has another identity", i)
		}
		if a.pick.Uint64() != b.pick.Uint64() {
			t.Errorf("node %d picks other peers", i)
		}
		if x, y := sessions[0].Online(i), sessions[1].Online(i); x != y {
			t.Errorf("node %d is online at the start: %t and %t", i, x, y)
		}
		if x, _ := sessions[0].Next(i, 0, true); true {
			if y, _ := sessions[1].Next(i, 0, true); x != y {
				t.Errorf("the first session of node %d ends at %v and %v", i, x, y)
			}
		}
		if x, y := speeds[0].Duration(i, 0, node.Second), speeds[1].Duration(i, 0, node.Second); x != y {
			t.Errorf("node %d takes %v and %v", i, x, y)
		}
		for j := range 8 {
			if i == j {
				continue
			}
			x, y := worlds[0].luck(i, j, UpdateTraffic), worlds[1].luck(i, j, UpdateTraffic)
			if x.Uint64() != y.Uint64() {
				t.Errorf("other chance from node %d to node %d", i, j)
			}
			if x, y := latencies[0].Between(i, j), latencies[1].Between(i, j); x != y {
				t.Errorf("latency from %d to %d is %v and %v", i, j, x, y)
			}
		}
		if x, y := chance.Stream(1, chance.Core, i).Uint64(), chance.Stream(1, chance.Core, i+1).Uint64(); x == y {
			t.Errorf("nodes %d and %d draw the same", i, i+1)
		}
	}
}
