package trial

import (
	"math"

	"starling/node"
	"starling/sim"
	"starling/sim/report"
)

// interval takes down what nodes have done when the interval begins and when it ends.
type interval struct {
	from, until node.Instant
	at          [2][]sim.Work
}

// watch has the work of the nodes taken down at two times; until 0 is the end of the run.
func (i *interval) watch(w *sim.World, from, until node.Instant) {
	i.from, i.until = from, until
	if from == 0 {
		i.at[0] = make([]sim.Work, w.Nodes())
	} else {
		w.At(from, func() { i.at[0] = works(w) })
	}
	if until > 0 {
		w.At(until, func() { i.at[1] = works(w) })
	}
}

func works(w *sim.World) []sim.Work {
	out := make([]sim.Work, w.Nodes())
	for n := range out {
		out[n] = w.Work(n)
	}
	return out
}

// end ends the interval if it goes on to the end of the run.
func (i *interval) end(w *sim.World) {
	if i.at[0] != nil && i.at[1] == nil && i.until == 0 {
		i.at[1], i.until = works(w), w.Now()
	}
}

// report returns what was done in the interval, as far as the run has come; nil if it ended before the interval began.
func (i *interval) report(s *Setup, w *sim.World) *report.Work {
	if i.at[0] == nil {
		return nil
	}
	if i.at[1] == nil {
		i.at[1], i.until = works(w), w.Now()
	}
	out := &report.Work{From: report.Real(i.from.Seconds()), Until: report.Real(i.until.Seconds())}
	var useful uint64
	var online node.Instant
	for n := range w.Nodes() {
		if s.Roster != nil && s.Roster.Of(n) != nil {
			continue
		}
		before, after := i.at[0][n], i.at[1][n]
		k := report.NodeWork{
			Node: n, Slowness: 1, OnlineSeconds: report.Real((after.Online - before.Online).Seconds()),
			Samples: after.Samples - before.Samples, UsefulSamples: after.Useful - before.Useful,
		}
		if s.Config.Speeds != nil {
			k.Slowness = report.Real(s.Config.Speeds.Factor(n, i.until))
		}
		k.UsefulSamplesPerSecond = rate(k.UsefulSamples, after.Online-before.Online)
		useful, online = useful+k.UsefulSamples, online+after.Online-before.Online
		if len(out.Nodes) < report.WorkNodes {
			out.Nodes = append(out.Nodes, k)
		}
	}
	out.UsefulSamplesPerSecond = rate(useful, online)
	return out
}

func rate(samples uint64, online node.Instant) report.Real {
	if online == 0 {
		return report.Real(math.NaN())
	}
	return report.Real(float64(samples) / online.Seconds())
}
