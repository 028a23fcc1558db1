package trial

import (
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"time"

	"starling/mixing/kernel"
	"starling/sim"
	"starling/sim/experiment"
	"starling/sim/report"
)

// report puts together what is known at the end.
func (r *runner) report(s *Setup, w *sim.World) report.Run {
	stats, cost := w.Stats(), w.Cost()
	total := stats.Total()
	res := r.result(s)
	res.TraceHash = w.TraceHash()
	res.Rounds = report.Real(r.rounds(w))
	res.VirtualSeconds = report.Real(w.Now().Seconds())
	res.TrainCPUSeconds, res.EvalCPUSeconds = seconds(cost.Train), seconds(cost.Evaluate)
	res.Events = stats.Events
	res.Messages, res.Bytes = tally(total.Messages), tally(total.Bytes)
	res.BytesReceivedPerNodeRound = report.Real(float64(total.Bytes.Delivered) / float64(w.Nodes()) / float64(res.Rounds))
	res.BytesSentPerNode = report.Real(float64(total.Bytes.Sent) / float64(w.Nodes()))
	res.Work = r.work.report(s, w)
	if p := w.Replicas(); p.Nodes > 0 {
		res.Replicas = &report.Replicas{
			Nodes: p.Nodes, Equal: p.Different == 1, Different: p.Different, Least: p.Least, Most: p.Most, Banned: p.Banned,
			Digest: hex.EncodeToString(p.Digest[:]), Model: hex.EncodeToString(p.Model[:]),
		}
	}
	res.DuplicateFactor = 1
	if stats.First > 0 {
		res.DuplicateFactor = report.Real(float64(stats.Copies) / float64(stats.First))
	}
	for k, f := range stats.Flows {
		if f.Messages.Sent > 0 {
			res.Traffic = append(res.Traffic, report.Traffic{Kind: sim.Traffic(k).String(), Messages: tally(f.Messages), Bytes: tally(f.Bytes)})
		}
	}
	res.Churn = report.Churn{Joins: stats.Joins, Leaves: stats.Leaves, Crashes: stats.Crashes,
		MeanOnline: report.Real(r.online / float64(max(1, len(r.series))))}
	run := report.Run{Result: res, Series: r.series}
	if s.Graph != nil && s.Experiment.Nodes <= drawn {
		run.Topology = r.picture(s, w)
	}
	r.spend(&run.Result)
	return run
}

// drawn bounds the nodes of a graph that goes into a report.
const drawn = 5000

// result fills in what does not come from the world.
func (r *runner) result(s *Setup) report.Result {
	e := &r.Experiment
	res := report.Result{
		Name: e.Name, Version: r.options.Version, Method: method(*e), Seed: e.Seed, DataSeed: e.DataSeed, Nodes: e.Nodes, Stopped: r.stopped,
		File: r.options.File, Settings: r.options.Settings, SettingsHash: r.options.Hash, Baseline: e.Baseline, ConsensusDistance: report.Real(math.NaN()),
		Start: r.start, Perplexity: report.Real(math.NaN()), BytesSentPerNode: report.Real(math.NaN()),
	}
	if n := len(r.series); n > 0 {
		last := &r.series[n-1]
		res.Accuracy, res.Loss, res.ConsensusDistance = last.Accuracy.Spread, last.Loss.Spread, last.ConsensusDistance
		res.Samples, res.Tokens = last.Samples, last.Tokens
		if r.perSample > 0 {
			res.Perplexity = report.Real(kernel.Exp(float64(last.Loss.Mean)))
		}
	}
	for _, threshold := range e.Thresholds {
		res.Targets = append(res.Targets, r.series.Reach(threshold))
	}
	if s.Roster != nil {
		for _, g := range s.Roster.Groups() {
			res.Adversaries = append(res.Adversaries, report.Group{Kind: g.Name, Nodes: len(g.Nodes)})
		}
	}
	for _, set := range e.Resolved() {
		res.Resolved = append(res.Resolved, report.Setting{Key: set.Key, Value: set.Value})
	}
	return res
}

// method says in short how the nodes trained.
func method(e experiment.Experiment) string {
	if e.Reference.Name != experiment.None {
		return e.Reference.Name
	}
	if e.Method.Name == "scalar" {
		family, _, _ := strings.Cut(e.Method.Scalar, ":")
		return e.Method.Name + ", " + family
	}
	if e.Method.Name == "walk" {
		return e.Method.Name + ", " + e.Method.Walk
	}
	return fmt.Sprintf("%s, %s, %s", e.Method.Name, e.Method.Mix, e.Method.Exchange)
}

// spend fills in what the run has cost until now.
func (r *runner) spend(res *report.Result) {
	res.WallSeconds = report.Real(time.Since(r.began).Seconds())
	res.CPUSeconds = report.Real((processTime() - r.processor).Seconds())
	// Most small jobs are not timed, see [sim.Cost]: what is reckoned for them cannot be more than all has taken.
	if parts := res.TrainCPUSeconds + res.EvalCPUSeconds; res.CPUSeconds > 0 && parts > res.CPUSeconds {
		res.TrainCPUSeconds *= res.CPUSeconds / parts
		res.EvalCPUSeconds *= res.CPUSeconds / parts
	}
	res.PeakRSSBytes = peakMemory()
}

func seconds(nanoseconds int64) report.Real { return report.Real(float64(nanoseconds) / 1e9) }

func tally(t sim.Tally) report.Tally {
	return report.Tally{Sent: t.Sent, Delivered: t.Delivered, Lost: t.Lost, Dropped: t.Dropped, InFlight: t.InFlight}
}

// picture draws the graph with what has become of its nodes.
func (r *runner) picture(s *Setup, w *sim.World) *report.Picture {
	p := &report.Picture{Graph: *s.Graph, Roles: make([]report.Role, w.Nodes()), Accuracy: make([]report.Real, w.Nodes())}
	for n := range p.Roles {
		p.Accuracy[n] = report.Real(math.NaN())
		switch {
		case s.Roster != nil && s.Roster.Of(n) != nil:
			p.Roles[n] = report.Adversary
		case !w.Up(n):
			p.Roles[n] = report.Offline
		default:
			p.Roles[n] = report.Honest
		}
	}
	for i, n := range r.measure.chosen {
		p.Accuracy[n] = report.Real(r.measure.scores[i].Accuracy)
	}
	return p
}
