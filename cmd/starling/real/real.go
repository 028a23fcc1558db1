package real

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"starling/node/daemon"
	"starling/node/daemon/thin"
	"starling/sim/experiment"
	"starling/sim/network"
	"starling/sim/trial"
)

// Options say what to run and with what.
type Options struct {
	Experiment experiment.Experiment
	Program    string        // the starling binary
	Home       string        // directory for the daemons' homes
	Timeout    time.Duration // of the real run
	Workers    int           // of the simulation; 0: one for each processor
	// Coarse is how many local steps of the real run are one in the simulation, which lasts as long as all of them: a quick
	// answer about bytes and times, and a wrong one about losses. 0 is 1.
	Coarse int
	Out    io.Writer // told a line now and then
}

// coarser is how many times as many rounds a coarse simulation has.
const coarser = 5

// Run runs the experiment with daemons and simulates it. Where namespaces are not permitted, the error is
// [thin.ErrNotPermitted]. The report is filled in as far as things got.
func Run(ctx context.Context, o Options) (r Report, err error) {
	t, err := prepare(o)
	if err != nil {
		return r, err
	}
	if r.Real, err = t.Run(ctx); err != nil {
		return r, err
	}
	e, err := foretell(o.Experiment, r.Real, o.Home)
	if err != nil {
		return r, err
	}
	if n := min(o.Coarse, e.Method.Steps.Count); n > 1 {
		e.Method.Steps.Count /= n
		e.Compute.Step *= time.Duration(n)
		e.Stop.Rounds *= coarser // as it costs next to nothing, chance matters less in more of them
	}
	run, err := trial.Run(ctx, e, trial.Options{Workers: o.Workers})
	if err != nil {
		return r, err
	}
	r.Simulated = run
	r.compare()
	return r, nil
}

// prepare makes a real run of an experiment. The error names what the real thing cannot have.
func prepare(o Options) (*thin.Trial, error) {
	e := o.Experiment
	m, err := e.Manifest()
	if err != nil {
		return nil, err
	}
	var errs []error
	cannot := func(is bool, what, value string) {
		if is {
			errs = append(errs, fmt.Errorf("%s: %s: daemons on this machine cannot have that", what, value))
		}
	}
	if e.Method.Name == "scalar" {
		errs = append(errs, errors.New("method.name: scalar: what is measured and compared are rounds of local steps, and it has none"))
	}
	usual := experiment.Default()
	cannot(e.Network.Jitter != usual.Network.Jitter, "network.jitter", e.Network.Jitter)
	cannot(e.Network.Loss != usual.Network.Loss, "network.loss", e.Network.Loss)
	cannot(e.Network.NAT != usual.Network.NAT, "network.nat", e.Network.NAT)
	cannot(len(e.Network.Partitions) > 0, "network.partitions", "some")
	cannot(e.Churn.Sessions != usual.Churn.Sessions, "churn.sessions", e.Churn.Sessions)
	cannot(e.Churn.Speeds != usual.Churn.Speeds, "churn.speeds", e.Churn.Speeds)
	cannot(e.Stop.Rounds < leastRounds, "stop.rounds", fmt.Sprintf("%d, want %d or more", e.Stop.Rounds, leastRounds))
	cannot(e.Evaluate.Every.Rounds == 0, "evaluate.every", e.Evaluate.Every.String())
	cannot(e.Nodes > mostNodes, "nodes", fmt.Sprintf("%d, at most %d", e.Nodes, mostNodes))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	links, err := linksOf(e)
	if err != nil {
		return nil, err
	}
	return &thin.Trial{
		Config: links, Manifest: m, Rounds: uint64(e.Stop.Rounds), Timeout: o.Timeout, Home: o.Home, Program: o.Program, Out: o.Out,
	}, nil
}

// leastRounds leaves some to compare when the first ones are left out. mostNodes is what a machine with some processors runs.
const (
	leastRounds = 4
	mostNodes   = 32
)

// linksOf returns the links that the nodes have in the simulation.
func linksOf(e experiment.Experiment) (c thin.Config, err error) {
	bandwidth, err := network.ParseBandwidth(e.Network.Bandwidth, e.Nodes, e.Seed)
	if err != nil {
		return c, err
	}
	latency, err := network.ParseLatency(e.Network.Latency, e.Nodes, e.Seed)
	if err != nil {
		return c, err
	}
	c.Links = make([]thin.Link, e.Nodes)
	for i, b := range bandwidth {
		if b.Up != network.Unlimited {
			c.Links[i].Up = int64(b.Up)
		}
		if b.Down != network.Unlimited {
			c.Links[i].Down = int64(b.Down)
		}
	}
	c.Delay = func(from, to int) time.Duration { return time.Duration(latency.Between(from, to)) }
	return c, nil
}

// foretell returns the experiment with what a simulation cannot know of a real run: how long jobs took on its machine, and when
// other work made them take longer, for which it writes a file into the directory.
func foretell(e experiment.Experiment, r thin.Result, dir string) (experiment.Experiment, error) {
	var steps, paces float64
	work := make(map[string]daemon.Work)
	for _, n := range r.ByNode {
		for _, p := range n.Pace {
			steps, paces = steps+p.Step, paces+1
		}
		for kind, w := range n.Work { // order-free: sums of each kind
			sum := work[kind]
			work[kind] = daemon.Work{Done: sum.Done + w.Done, Seconds: sum.Seconds + w.Seconds}
		}
	}
	if steps == 0 {
		return e, errors.New("no node has trained")
	}
	mean := func(kind string) float64 { return work[kind].Seconds / float64(max(1, work[kind].Done)) }
	step := steps / paces
	e.Compute = experiment.Compute{
		Step: length(step),
		// What goes to disk between encoding and mixing is shared out among the two.
		Other: length((mean("encode") + mean("persist") + mean("mix")) / 2),
	}
	var speeds strings.Builder
	for i, n := range r.ByNode {
		if len(n.Pace) == 0 {
			fmt.Fprintf(&speeds, "%d,0,1\n", i)
		}
		for _, p := range n.Pace {
			fmt.Fprintf(&speeds, "%d,%.3f,%.6f\n", i, p.From, p.Step/step)
		}
	}
	file := filepath.Join(dir, "speeds.csv")
	e.Churn.Speeds = "trace:" + file
	return e, os.WriteFile(file, []byte(speeds.String()), 0o600)
}

func length(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second)).Round(time.Microsecond)
}
