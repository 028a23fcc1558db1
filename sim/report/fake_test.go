package report_test

import (
	"fmt"
	"math"
	"math/rand/v2"

	"starling/mixing/topology"
	"starling/sim/report"
)

// fakeSeries is what nodes that learn look like: accuracies that rise at different speeds and losses that fall.
func fakeSeries(r *rand.Rand, nodes, ticks int, speed, ceiling, bytesPerRound float64) report.Series {
	pace := make([]float64, nodes)
	for i := range pace {
		pace[i] = math.Exp(0.25 * r.NormFloat64())
	}
	var s report.Series
	acc, loss := make([]float64, nodes), make([]float64, nodes)
	for k := range ticks {
		rounds := float64(k)
		for i := range acc {
			x := 1 - math.Exp(-speed*pace[i]*rounds)
			acc[i] = min(1, max(0, 0.1+(ceiling-0.1)*x+0.01*r.NormFloat64()))
			loss[i] = 2.3 - 2.2*x + 0.02*r.Float64()
		}
		bytes := report.Real(bytesPerRound * rounds)
		s = append(s, report.Tick{
			Seconds: report.Real(rounds * 1.93), Rounds: report.Real(rounds), Events: uint64(k * nodes * 20),
			SentPerNode: bytes, ReceivedPerNode: bytes * 0.97, Accuracy: report.Accuracies(acc), Loss: report.Losses(loss),
			ConsensusDistance: report.Real(3 * math.Exp(-0.05*rounds)), Online: nodes - r.IntN(1+nodes/8), Evaluated: max(1, nodes/10),
		})
	}
	return s
}

func fakeTally(sent uint64) report.Tally {
	t := report.Tally{Sent: sent, Lost: sent / 50, Dropped: sent / 200, InFlight: sent / 1000}
	t.Delivered = sent - t.Lost - t.Dropped - t.InFlight
	return t
}

const fakeFile = `name: mlp-1000
nodes: 1000
seed: 7
overlay: regular:8
data:
  source: mnist
  split: dirichlet:0.1
model: mlp:100
method: average
network:
  latency: lognormal:40ms,0.5
  loss: 0.02
`

func fakeResult(s report.Series, nodes int) report.Result {
	last := s[len(s)-1]
	r := report.Result{
		Name: "mlp-1000", Version: "0.3.0", Method: "average", Seed: 7, DataSeed: 1, Nodes: nodes,
		TraceHash: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", Rounds: last.Rounds,
		Stopped: "100 rounds are over", VirtualSeconds: last.Seconds, WallSeconds: 21.4, CPUSeconds: 38.9, TrainCPUSeconds: 11.2,
		EvalCPUSeconds: 19.7, Events: last.Events, BytesReceivedPerNodeRound: 1_312_000, DuplicateFactor: 2.31,
		Accuracy: last.Accuracy.Spread, Loss: last.Loss.Spread, ConsensusDistance: last.ConsensusDistance,
		Targets:     []report.Target{s.Reach(0.5), s.Reach(0.8), s.Reach(0.95)},
		Adversaries: []report.Group{{Kind: "sign-flip", Nodes: nodes / 20}}, Churn: report.Churn{Joins: 412, Leaves: 377, Crashes: 52, MeanOnline: 941.5},
		PeakRSSBytes: 412 << 20, File: fakeFile, Settings: []report.Setting{{Key: "network.loss", Value: "0.02"}},
	}
	for i, kind := range []string{"update", "duplicate", "control", "blob", "digest", "repair"} {
		t := report.Traffic{Kind: kind, Messages: fakeTally(uint64(nodes * 1000 / (i + 1))), Bytes: fakeTally(uint64(nodes * 1_000_000 / (i*i + 1)))}
		r.Traffic = append(r.Traffic, t)
		r.Messages, r.Bytes = r.Messages.Plus(t.Messages), r.Bytes.Plus(t.Bytes)
	}
	return r
}

func fakeTopology(g topology.Graph, r *rand.Rand) *report.Picture {
	p := &report.Picture{Graph: g}
	for range g.N() {
		role, acc := report.Honest, report.Real(0.85+0.1*r.Float64())
		switch r.IntN(20) {
		case 0:
			role, acc = report.Adversary, report.Real(math.NaN())
		case 1, 2:
			role = report.Offline
		}
		p.Roles, p.Accuracy = append(p.Roles, role), append(p.Accuracy, acc)
	}
	return p
}

// largeRun is a run of 1,000 nodes and 100 ticks.
func largeRun() report.Run {
	r := rand.New(rand.NewPCG(1, 2))
	s := fakeSeries(r, 1000, 100, 0.06, 0.94, 1_350_000)
	g, err := topology.RandomRegular(1000, 8, 7)
	if err != nil {
		panic(err)
	}
	return report.Run{Result: fakeResult(s, 1000), Series: s, Topology: fakeTopology(g, r)}
}

// smallRun is a run of 3 nodes.
func smallRun() report.Run {
	r := rand.New(rand.NewPCG(3, 4))
	s := fakeSeries(r, 3, 12, 0.3, 0.97, 40_000)
	g, err := topology.Ring(3)
	if err != nil {
		panic(err)
	}
	run := report.Run{Result: fakeResult(s, 3), Series: s, Topology: &report.Picture{Graph: g}}
	run.Result.Name, run.Result.Adversaries, run.Result.Settings, run.Result.Churn = "demo-3", nil, nil, report.Churn{MeanOnline: 3}
	return run
}

// sweep makes n runs that differ in the given settings.
func sweep(n int, setting func(i int) []report.Setting) []report.Run {
	var out []report.Run
	for i := range n {
		r := rand.New(rand.NewPCG(uint64(i), 5))
		s := fakeSeries(r, 20, 60, 0.02+0.2*float64((i*7)%n)/float64(n), 0.8+0.15*float64(i)/float64(n), 200_000*(1+float64(i)/float64(n)))
		run := report.Run{Dir: fmt.Sprintf("out/point-%03d", i), Result: fakeResult(s, 20), Series: s}
		run.Result.Settings = setting(i)
		out = append(out, run)
	}
	return out
}
