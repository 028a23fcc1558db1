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

// textRuns are runs on text that reach the same with very different bytes, and one that is worse; the first is the baseline.
func textRuns(n int) []report.Run {
	out := sweep(n, func(i int) []report.Setting {
		return []report.Setting{{Key: "method.steps", Value: fmt.Sprint(1 + 50*i)}}
	})
	for i := range out {
		r := &out[i].Result
		for k := range out[i].Series {
			t := &out[i].Series[k]
			t.Samples, t.Tokens = uint64(256*k), uint64(256*64*k)
			t.Loss = report.Losses([]float64{5.5 - 3.9*(1-math.Exp(-float64(k)/15)) + 0.02*float64(i), 5.51 - 3.9*(1-math.Exp(-float64(k)/15)) + 0.02*float64(i)})
			t.SentPerNode /= report.Real(1 + 50*i)
			t.ReceivedPerNode /= report.Real(1 + 50*i)
		}
		last := out[i].Series[len(out[i].Series)-1]
		r.Loss, r.Tokens, r.Samples, r.BytesSentPerNode = last.Loss.Spread, last.Tokens, last.Samples, last.SentPerNode
		r.Perplexity = report.Real(math.Exp(float64(r.Loss.Mean)))
		r.Targets = nil
		r.Work = &report.Work{Until: r.VirtualSeconds, UsefulSamplesPerSecond: 100}
		for node := range 8 {
			slowness := report.Real(1)
			if i > 0 && node == 7 {
				slowness = 10
			}
			r.Work.Nodes = append(r.Work.Nodes, report.NodeWork{Node: node, Slowness: slowness, OnlineSeconds: r.VirtualSeconds,
				Samples: r.Samples / 8, UsefulSamples: uint64(float64(r.Samples/8) / (1 + 0.02*float64(i)) / float64(slowness)), UsefulSamplesPerSecond: 100 / slowness})
		}
	}
	return out
}

// A named run is one that is hard to show, and what must be seen of it nevertheless.
type named struct {
	name            string
	run             report.Run
	figures, curves int
}

// hostile is text that must neither run nor break anything wherever it is shown.
const hostile = `</title></style></script><script>window.pwned=1</script><img src=x onerror="window.pwned=1">"'&]]>` + "\x00\x1b\u202e" + `'; rm -rf ~ #`

func oddRuns() []named {
	nan, inf := math.NaN(), math.Inf(1)
	r := rand.New(rand.NewPCG(8, 9))
	tick := func(k int, acc, loss []float64) report.Tick {
		return report.Tick{Seconds: report.Real(k), Rounds: report.Real(k), SentPerNode: report.Real(k * 100), ReceivedPerNode: report.Real(k * 100),
			Accuracy: report.Accuracies(acc), Loss: report.Losses(loss), ConsensusDistance: report.Real(nan), Online: 1, Evaluated: 1}
	}
	var equal, diverged, long report.Series
	for k := range 10 {
		equal = append(equal, tick(k, []float64{1, 1}, []float64{0, 0}))
		if k < 4 {
			diverged = append(diverged, tick(k, []float64{0.5, 0.4}, []float64{math.Pow(10, float64(k)), 1}))
		} else {
			diverged = append(diverged, tick(k, []float64{0.1, nan}, []float64{nan, inf}))
		}
	}
	for k := range 20_000 {
		long = append(long, tick(k*3600, []float64{0.5 + 0.4*math.Sin(float64(k)/900), 0.5}, []float64{1e-7 * (2 + math.Sin(float64(k)))}))
	}
	zero := report.Series{tick(0, []float64{0.1}, []float64{2.3})}
	make := func(s report.Series) report.Run { return report.Run{Result: fakeResult(s, 2), Series: s} }
	bad := make(equal)
	bad.Result.Name, bad.Result.Method, bad.Result.Stopped, bad.Result.TraceHash = hostile, hostile, hostile, hostile
	bad.Result.Version, bad.Result.File = hostile, hostile
	bad.Result.Settings = []report.Setting{{Key: hostile, Value: hostile}}
	bad.Result.Traffic = []report.Traffic{{Kind: hostile}}
	bad.Result.Adversaries = []report.Group{{Kind: hostile, Nodes: 1}}
	none := make(zero)
	none.Series = nil
	without := make(report.Series{tick(0, nil, []float64{2}), tick(1, nil, []float64{1})})
	unbalanced := make(equal)
	unbalanced.Result.Messages.Sent++
	star, err := topology.Star(60)
	if err != nil {
		panic(err)
	}
	springs, err := topology.WattsStrogatz(200, 4, 0.1, 1)
	if err != nil {
		panic(err)
	}
	unbalanced.Topology, bad.Topology = fakeTopology(star, r), fakeTopology(springs, r)
	return []named{
		{"hostile", bad, 8, 19}, {"no-ticks", none, 0, 0}, {"zero-rounds", make(zero), 6, 18}, {"all-equal", make(equal), 7, 18},
		{"diverged", make(diverged), 7, 15}, {"without-accuracy", without, 4, 9}, {"unbalanced", unbalanced, 8, 18}, {"text", textRuns(2)[1], 11, 29}, {"long", make(long), 7, 18},
	}
}

// A compared is runs for one page and what must be seen of them.
type compared struct {
	name            string
	runs            []report.Run
	figures, curves int
}

func comparisons() []compared {
	of := func(kv ...string) (out []report.Setting) {
		for i := 0; i < len(kv); i += 2 {
			out = append(out, report.Setting{Key: kv[i], Value: kv[i+1]})
		}
		return out
	}
	graphs := []string{"ring", "torus", "hypercube", "regular:4", "regular:8", "exponential", "base:k=1", "complete"}
	seeds := sweep(12, func(i int) []report.Setting { return of("method", []string{"average", "outer", "walk"}[i/4]) })
	for i := range seeds {
		seeds[i].Result.Seed = uint64(i % 4)
	}
	var odd []report.Run
	for _, n := range oddRuns() {
		odd = append(odd, n.run)
	}
	return []compared{
		{"compare-2", sweep(2, func(i int) []report.Setting { return of("method", []string{"average", "outer"}[i]) }), 8, 16},
		{"compare-8", sweep(8, func(i int) []report.Setting { return of("overlay", graphs[i]) }), 12, 64},
		{"compare-20", sweep(20, func(i int) []report.Setting { return of("network.loss", fmt.Sprint(0.001*float64(int(1)<<(i/2)))) }), 12, 160},
		{"compare-30", sweep(30, func(i int) []report.Setting {
			return of("overlay", graphs[i%6], "network.loss", []string{"0", "0.01", "0.02", "0.05", "0.1"}[i/6])
		}), 12, 240},
		{"compare-100-dark", sweep(100, func(i int) []report.Setting {
			return of("optimizer", fmt.Sprint("sgd:lr=", 0.001*float64(1+i%10)), "network.loss", fmt.Sprint(float64(i/10)/100), "nodes", fmt.Sprint(20+10*(i%3)))
		}), 17, 800},
		{"compare-seeds", seeds, 12, 96},
		{"compare-equal", sweep(3, func(int) []report.Setting { return nil }), 8, 24},
		{"compare-one", sweep(1, func(int) []report.Setting { return nil }), 8, 8},
		{"compare-odd", odd, 8, 20},
		{"compare-text", textRuns(6), 10, 50},
		{"compare-text-12", textRuns(12), 10, 98},
	}
}
