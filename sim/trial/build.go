package trial

import (
	"context"
	"fmt"
	"strings"
	"time"

	"starling/gossip"
	"starling/mixing"
	"starling/mixing/topology"
	"starling/node"
	"starling/node/compute"
	"starling/node/manifest"
	"starling/node/model/safetensors"
	"starling/sim"
	"starling/sim/adversary"
	"starling/sim/churn"
	"starling/sim/experiment"
	"starling/sim/mesh"
	"starling/sim/network"
)

// dial is how many peers a simulated node of a large mesh dials: with those that dial it, as many as the daemon keeps.
const dial = 24

// A Setup is an experiment made ready: the world, and what is to be known of it.
type Setup struct {
	Experiment experiment.Experiment
	Config     sim.Config
	Graph      *topology.Graph   // nil if the overlay is mesh or complete
	Roster     *adversary.Roster // nil without adversaries
	Program    *compute.Program
}

// Build makes an experiment ready, for so many workers: it reads the data and trains the base model, if there is to be one, until ctx
// ends. The error says which setting is wrong.
func Build(ctx context.Context, e experiment.Experiment, workers int) (*Setup, error) {
	if e.Method.Name == "scalar" || e.Method.Name == "walk" {
		e.Method.Exchange = experiment.Announce // the setting has no effect, and is not to have any below
	}
	s := &Setup{Experiment: e}
	c := &s.Config
	c.Seed, c.Nodes, c.Workers = e.Seed, e.Nodes, max(1, workers)
	c.CPU = threadTime
	c.Inline = uint64(e.Limits.Inline)
	c.Times = sim.Times{Step: instant(e.Compute.Step), Epoch: instant(e.Compute.Epoch), Other: instant(e.Compute.Other)}
	if e.Cells.Size > 0 && e.Cells.Size < e.Nodes {
		c.CellSize, c.CellEpoch = e.Cells.Size, instant(e.Cells.Epoch)
	}
	c.Node = node.Config{
		Run: gossip.RunID{1}, Method: e.Method.Name,
		AnnounceEvery: instant(e.Method.AnnounceEvery), RepairEvery: instant(e.Method.RepairEvery), MaxMembers: e.Limits.Peers,
		Average: node.AverageConfig{
			Mix: e.Method.Mix, Exchange: e.Method.Exchange, Steps: uint64(e.Method.Steps.Count), Degree: e.Method.Degree,
			SaveEvery: uint64(e.Checkpoint.Every),
			Push:      node.PushConfig{Every: instant(e.Method.Wake.Period), Deviation: instant(e.Method.Wake.Deviation)},
		},
	}
	task := func() error { return s.task(ctx) }
	for _, part := range []func() error{s.overlay, s.network, s.churn, s.adversaries, task} {
		if err := part(); err != nil {
			return nil, fmt.Errorf("experiment %s: %w", e.Name, err)
		}
	}
	return s, nil
}

func instant(d time.Duration) node.Instant { return node.Instant(d) }

func (s *Setup) overlay() error {
	e := &s.Experiment
	switch e.Overlay {
	case "complete":
		return nil
	case experiment.Mesh:
		if e.Method.Exchange != experiment.Push {
			m := mesh.Default()
			s.Config.Mesh, s.Config.Dial = &m, dial
		}
		return nil
	}
	t, err := topology.Parse(e.Overlay, e.Nodes, e.Seed)
	if err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	g, ok := t.Graph()
	if !ok {
		return fmt.Errorf("overlay: the links of %s change from round to round, and nodes here keep no common rounds; choose a graph", t)
	}
	s.Graph, s.Config.Graph = &g, &g
	return nil
}

func (s *Setup) network() error {
	e, n := &s.Experiment, &s.Config.Network
	var err error
	if n.Latency, err = network.ParseLatency(e.Network.Latency, e.Nodes, e.Seed); err != nil {
		return err
	}
	if n.Jitter, err = network.ParseJitter(e.Network.Jitter); err != nil {
		return err
	}
	if n.Bandwidth, err = network.ParseBandwidth(e.Network.Bandwidth, e.Nodes, e.Seed); err != nil {
		return err
	}
	if n.Loss, err = network.ParseLoss(e.Network.Loss); err != nil {
		return err
	}
	if e.Network.NAT != experiment.None {
		if n.NAT, err = network.ParseNAT(e.Network.NAT, e.Nodes, e.Seed); err != nil {
			return err
		}
	}
	if len(e.Network.Partitions) == 0 {
		return nil
	}
	var splits []network.Split
	for _, p := range e.Network.Partitions {
		splits = append(splits, network.Split{From: instant(p.From), Until: instant(p.Until), Groups: p.Groups})
	}
	n.Partitions, err = network.ParsePartitions(splits, e.Nodes, e.Seed, n.Latency)
	return err
}

func (s *Setup) churn() error {
	e := &s.Experiment
	var err error
	if e.Churn.Sessions != experiment.None {
		if s.Config.Sessions, err = churn.ParseSessions(e.Churn.Sessions, e.Nodes, e.Seed); err != nil {
			return err
		}
	}
	if e.Churn.Speeds != experiment.Default().Churn.Speeds {
		s.Config.Speeds, err = churn.ParseSpeeds(e.Churn.Speeds, e.Nodes, e.Seed)
	}
	return err
}

func (s *Setup) adversaries() error {
	e := &s.Experiment
	if len(e.Adversaries) == 0 || e.Reference.Name == experiment.FedAvg {
		return nil
	}
	var err error
	s.Roster, err = adversary.Parse(e.Adversaries, e.Nodes, e.Seed)
	s.Config.Adversaries = s.Roster
	return err
}

func (s *Setup) task(ctx context.Context) error {
	e := &s.Experiment
	m := e.Shared()
	if m.Data.Shards = e.Data.Shards; m.Data.Shards == 0 {
		m.Data.Shards = e.Nodes
	}
	seeded(&m, e)
	base, err := pretrained(ctx, *e)
	if err != nil {
		return err
	}
	weights := func(l *mixing.Layout) ([]float32, error) { return safetensors.ReadFile(e.Weights, l) }
	if base != nil {
		m.Init = manifest.WeightsInit(compute.Digest(base))
		weights = func(*mixing.Layout) ([]float32, error) { return base, nil }
	}
	// Grey levels as floats take four times the memory and are faster to evaluate: worth it where much is evaluated.
	unpack := strings.HasPrefix(m.Data.Source, "mnist")
	p, err := compute.New(m, compute.Options{DataSeed: &e.DataSeed, Rows: e.Evaluate.Rows, Unpack: unpack, Weights: weights})
	if err != nil {
		return err
	}
	s.Config.Node.Average.Copies = p.Copies()
	s.Program = p
	if s.Config.Node.Outer, err = p.Outer(); err != nil {
		return err
	}
	if s.Config.Node.Scalar, err = p.Scalar(); err != nil {
		return err
	}
	if s.Config.Node.Walk, err = p.Walk(); err != nil {
		return err
	}
	s.Config.Node.Walk.EvaluateEvery = 0
	s.Config.Node.Outer.EvaluateEvery, s.Config.Node.Scalar.EvaluateEvery = 0, 0 // evaluations are the experiment's
	s.Config.Task, err = sim.Program(p, e.Nodes, e.Seed, s.Roster)
	return err
}
