package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"starling/mixing/topology"
	"starling/node"
	"starling/sim"
	"starling/sim/experiment"
	"starling/sim/report"
	"starling/sim/trial"
)

func simTraceCommand() *cobra.Command {
	var at, around float64
	var nodes []int
	var verify bool
	cmd := &cobra.Command{
		Use:   "trace DIR",
		Short: "Replay a run around a time, event by event",
		Long: `Run the experiment of a result directory again and print what every node, or some, heard and did around a virtual time.
A run is a function of its file and seed, so nothing has to be recorded. With --verify the run goes on to its end, and the
hash of all that has happened is compared with that of the result.`,
		Example: `  starling sim trace churn --at 12.5 --around 0.2
  starling sim trace churn --at 0 --around 1 --node 3 --node 7
  starling sim trace churn --verify`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !(at >= 0) || !(around >= 0) {
				return usageError{"sim trace ", errors.New("--at and --around are seconds, not below 0")}
			}
			run, err := report.Read(args[0])
			if err != nil {
				return err
			}
			e, err := again(&run.Result)
			if err == nil && e.Reference.Name == experiment.FedAvg && !verify {
				err = errors.New("the reference with a server has no events to replay; --verify runs it again")
			}
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			end := float64(run.Result.VirtualSeconds)
			if !verify && at-around > end {
				return usageError{"sim trace ", fmt.Errorf("--at %g: this run ended at %.6f s", at, end)}
			}
			for _, n := range nodes {
				if n < 0 || n >= e.Nodes {
					return usageError{"sim trace ", fmt.Errorf("--node %d: the nodes of this run are 0 to %d", n, e.Nodes-1)}
				}
			}
			if verify {
				return verifyRun(cmd, e, &run.Result)
			}
			return printTrace(cmd, e, at-around, min(at+around, end), nodes)
		},
	}
	f := cmd.Flags()
	f.Float64Var(&at, "at", 0, "virtual time in seconds")
	f.Float64Var(&around, "around", 0.1, "seconds before and after that time")
	f.IntSliceVar(&nodes, "node", nil, "only these nodes (default: all)")
	f.BoolVar(&verify, "verify", false, "run to the end and compare the hash")
	return cmd
}

// again reads the experiment of a result as it was run.
func again(r *report.Result) (experiment.Experiment, error) {
	if r.File == "" {
		return experiment.Experiment{}, errors.New("the result does not hold its experiment")
	}
	var sets []string
	for _, s := range r.Settings {
		sets = append(sets, s.Key+"="+s.Value)
	}
	sets = append(sets, fmt.Sprintf("seed=%d", r.Seed))
	f, err := experiment.Load([]byte(r.File), report.ExperimentFile, sets, experiment.Owners())
	if err != nil {
		return experiment.Experiment{}, err
	}
	if len(f.Points) != 1 {
		return experiment.Experiment{}, errors.New("the result holds a sweep")
	}
	return f.Points[0].Experiment, nil
}

// printTrace prints what happens between two times in seconds, both included.
func printTrace(cmd *cobra.Command, e experiment.Experiment, begin, end float64, nodes []int) error {
	s, err := trial.Build(cmd.Context(), e, runtime.GOMAXPROCS(0))
	if err != nil {
		return err
	}
	w, err := sim.New(s.Config)
	if err != nil {
		return err
	}
	defer w.Close()
	wanted := make(map[int]bool)
	for _, n := range nodes {
		wanted[n] = true
	}
	from, until := instant(begin), instant(end)
	out := bufio.NewWriter(cmd.OutOrStdout())
	lines := 0
	w.Observe = func(n int, now node.Instant, ev node.Event, b *node.Batch) {
		if now >= from && (len(wanted) == 0 || wanted[n]) {
			fmt.Fprintln(out, trial.Narrate(w, n, now, ev, b))
			lines++
		}
	}
	w.Run(until, func() bool { return cmd.Context().Err() != nil })
	if lines == 0 {
		fmt.Fprintf(out, "nothing happened between %.6f and %.6f s\n", from.Seconds(), until.Seconds())
	}
	return errors.Join(out.Flush(), cmd.Context().Err())
}

// instant is the virtual time of so many seconds, which may be too many for one.
func instant(seconds float64) node.Instant {
	return node.Instant(math.Round(min(max(0, seconds), 9e9) * 1e9))
}

func verifyRun(cmd *cobra.Command, e experiment.Experiment, r *report.Result) error {
	tuneCollector()
	bar := newBar(cmd.OutOrStdout())
	run, err := trial.Run(cmd.Context(), e, trial.Options{Progress: bar.show})
	bar.clear()
	if err != nil {
		return err
	}
	if run.Result.TraceHash != r.TraceHash {
		return fmt.Errorf("the trace is %s and was %s: another version of the program, or other data, made the result", run.Result.TraceHash, r.TraceHash)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "the same trace again: %s\n", r.TraceHash)
	return nil
}

func simTopologiesCommand() *cobra.Command {
	var nodes int
	var seed uint64
	var out string
	cmd := &cobra.Command{
		Use:   "topologies [SPEC...]",
		Short: "Compare topologies: degree, diameter, spectral gap, drawing",
		Long: `Print how well topologies mix: how many peers a node talks to, how far apart nodes are, the spectral gap, and how many
rounds leave 1 % of the differences. With --out, a page with drawings is written too.`,
		Example: `  starling sim topologies
  starling sim topologies ring regular:4 hypercube --nodes 64 --out topologies`,
		RunE: func(cmd *cobra.Command, specs []string) error {
			if nodes < 1 || nodes > mostDrawn {
				return usageError{"sim topologies ", fmt.Errorf("--nodes %d: want 1 to %d", nodes, mostDrawn)}
			}
			if len(specs) == 0 {
				specs = []string{"line", "ring", "star", "torus", "hypercube", "exponential", "regular:4", "regular:8", "erdos-renyi", "complete",
					"one-peer-exponential", "matching"}
			}
			return topologies(cmd, specs, nodes, seed, out)
		},
	}
	f := cmd.Flags()
	f.IntVar(&nodes, "nodes", 64, "number of nodes")
	f.Uint64Var(&seed, "seed", 1, "seed of random graphs")
	f.StringVar(&out, "out", "", "directory for topologies.html")
	return cmd
}

// mostDrawn bounds the nodes of topologies: what it takes to measure the complete graph grows with their cube.
const mostDrawn = 1024

func topologies(cmd *cobra.Command, specs []string, nodes int, seed uint64, out string) error {
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "%-26s %8s %9s %9s %8s %10s\n", "topology", "links", "degree", "diameter", "gap", "rounds to 1 %")
	known := 0
	for _, spec := range specs {
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		t, err := topology.Parse(spec, nodes, seed)
		if err != nil {
			fmt.Fprintf(w, "%-26s %v\n", spec, err)
			continue
		}
		known++
		f, _, err := report.Measure(t)
		if err != nil {
			return err
		}
		degree := fmt.Sprint(f.LeastDegree)
		if f.MostDegree != f.LeastDegree {
			degree = fmt.Sprintf("%d-%d", f.LeastDegree, f.MostDegree)
		}
		rounds := fmt.Sprint(f.RoundsTo)
		switch {
		case f.Exact:
			rounds = fmt.Sprintf("%d, exact", f.RoundsTo)
		case f.RoundsTo == math.MaxInt:
			rounds = "never"
		}
		fmt.Fprintf(w, "%-26s %8d %9s %9d %8.4f %10s\n", f.Spec, f.Links, degree, f.Diameter, f.Gap, rounds)
	}
	if known == 0 {
		return fmt.Errorf("no topology of %d nodes; there are %s", nodes, strings.Join(topology.Names(), ", "))
	}
	if out == "" {
		return nil
	}
	var page bytes.Buffer
	if err := report.Topologies(&page, nodes, seed, specs); err != nil {
		return err
	}
	if err := makeOut(out); err != nil {
		return err
	}
	path := filepath.Join(out, "topologies.html")
	if err := report.WriteFile(path, page.Bytes()); err != nil {
		return err
	}
	fmt.Fprintf(w, "page        %s\n", path)
	return nil
}
