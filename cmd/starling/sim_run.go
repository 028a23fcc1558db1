package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"starling/node/daemon"
	"starling/sim/experiment"
	"starling/sim/report"
	"starling/sim/trial"
)

// tuneCollector has the garbage collector run seldom while there is little memory to go through anyway, and often when there is much:
// what takes memory in a simulation is pooled, and not garbage.
func tuneCollector() {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	percent := 400
	if sample[0].Value.Kind() == metrics.KindUint64 && sample[0].Value.Uint64() > 100<<20 {
		percent = 40
	}
	debug.SetGCPercent(percent)
}

func simRunCommand() *cobra.Command {
	var seed uint64
	var sets []string
	var out string
	var workers int
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Run an experiment",
		Long: `Run one experiment, a file or the name of one that comes with the program, and write what came out into a directory:
result.json, series.csv, report.html and the figures as SVG. A file with lists is a sweep: see starling sim sweep.`,
		Example: `  starling sim run pegasos-1000
  starling sim run churn --seed 7 --set nodes=50 --out results/churn-7`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var override *uint64
			if cmd.Flags().Changed("seed") {
				override = &seed
			}
			text, f, err := loadExperiment(args[0], sets, override)
			if err != nil {
				return err
			}
			if n := len(f.Points); n != 1 {
				return fmt.Errorf("%s is a sweep of %d points: run it with `starling sim sweep %s`, or choose one with --set", args[0], n, args[0])
			}
			p := f.Points[0]
			if out == "" {
				out = p.Experiment.Name
			}
			// Better known now than after the run.
			if err := os.MkdirAll(out, 0o755); err != nil {
				return fmt.Errorf("make the directory for the result: %w; choose another with --out", err)
			}
			tuneCollector()
			bar := newBar(cmd.OutOrStdout())
			run, err := trial.Run(cmd.Context(), p.Experiment, options(text, sets, p, workers, bar.show))
			bar.clear()
			if err != nil {
				return err
			}
			if err := report.Write(out, run); err != nil {
				return fmt.Errorf("write the result: %w", err)
			}
			summary(cmd.OutOrStdout(), run, out)
			return nil
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&seed, "seed", 1, "seed of the run, in place of the file's")
	f.StringArrayVar(&sets, "set", nil, "set a key of the file: nodes=100, network.loss=0.05 (may be repeated)")
	f.StringVar(&out, "out", "", "directory for the result (default: the name of the experiment)")
	f.IntVar(&workers, "workers", 0, "goroutines that compute; changes nothing but the time it takes (default: one a processor)")
	return cmd
}

func options(text []byte, sets []string, p experiment.Point, workers int, progress func(trial.Progress)) trial.Options {
	o := trial.Options{Workers: workers, Version: daemon.Version(), File: string(text), Hash: p.Hash, Progress: progress}
	for _, s := range sets {
		key, value, _ := strings.Cut(s, "=")
		o.Settings = append(o.Settings, report.Setting{Key: key, Value: value})
	}
	return o
}

// A bar shows how far a run is, on one line of a terminal; elsewhere it writes a line every ten seconds.
type bar struct {
	out      io.Writer
	terminal bool
	last     time.Time
}

func newBar(out io.Writer) *bar { return &bar{out: out, terminal: isTerminal(out), last: time.Now()} }

func (b *bar) show(p trial.Progress) {
	tuneCollector()
	accuracy := "–"
	if !math.IsNaN(p.Accuracy) {
		accuracy = fmt.Sprintf("%.1f %%", 100*p.Accuracy)
	}
	line := fmt.Sprintf("%3.0f %%  round %.1f  %.1f virtual s  accuracy %s  %d online  %s", 100*p.Share, p.Rounds, p.Seconds, accuracy, p.Online,
		p.Wall.Round(time.Second))
	if !b.terminal {
		if time.Since(b.last) >= 10*time.Second {
			b.last = time.Now()
			fmt.Fprintln(b.out, line)
		}
		return
	}
	const width = 24
	full := int(p.Share * width)
	fmt.Fprintf(b.out, "\r\x1b[K[%s%s] %s", strings.Repeat("█", full), strings.Repeat("·", width-full), line)
}

func (b *bar) clear() {
	if b.terminal {
		fmt.Fprint(b.out, "\r\x1b[K")
	}
}

// summary says what came out.
func summary(out io.Writer, run report.Run, dir string) {
	r := &run.Result
	fmt.Fprintf(out, "%s: %d nodes, %s rounds, %s virtual s; stopped because %s\n", r.Name, r.Nodes, figure(r.Rounds, 1), figure(r.VirtualSeconds, 1), r.Stopped)
	fmt.Fprintf(out, "accuracy    mean %s  worst %s  best %s\n", figure(r.Accuracy.Mean, 4), figure(r.Accuracy.Worst, 4), figure(r.Accuracy.Best, 4))
	for _, t := range r.Targets {
		if t.Reached {
			fmt.Fprintf(out, "reached     %s after %s rounds, %s virtual s, %s received by a node\n", figure(t.Accuracy, 2), figure(t.Rounds, 1),
				figure(t.Seconds, 1), size(int64(t.BytesPerNode)))
		} else {
			fmt.Fprintf(out, "reached     %s was not reached\n", figure(t.Accuracy, 2))
		}
	}
	m := r.Messages
	fmt.Fprintf(out, "messages    %d sent = %d delivered + %d lost + %d dropped + %d in flight; %s received by a node and round\n",
		m.Sent, m.Delivered, m.Lost, m.Dropped, m.InFlight, size(int64(r.BytesReceivedPerNodeRound)))
	fmt.Fprintf(out, "cost        %s CPU s (training %s, evaluation %s), %s s on the wall, %s at most, %d events\n", figure(r.CPUSeconds, 2),
		figure(r.TrainCPUSeconds, 2), figure(r.EvalCPUSeconds, 2), figure(r.WallSeconds, 2), size(int64(r.PeakRSSBytes)), r.Events)
	fmt.Fprintf(out, "trace       %s\n", r.TraceHash)
	fmt.Fprintf(out, "report      %s\n", filepath.Join(dir, report.PageFile))
}

func figure(r report.Real, digits int) string {
	if !r.Finite() {
		return "–"
	}
	return fmt.Sprintf("%.*f", digits, float64(r))
}

func simSweepCommand() *cobra.Command {
	var sets []string
	var out string
	var parallel, workers int
	cmd := &cobra.Command{
		Use:   "sweep FILE",
		Short: "Run all points of an experiment with lists",
		Long: `Run every combination of the lists in an experiment, each in a directory of its own, and compare them on one page. A sweep
that was interrupted goes on where it was when it is started again: points that are finished are left alone.`,
		Example: `  starling sim sweep topologies
  starling sim sweep my.yaml --set seed=[1,2,3] --parallel 2`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, f, err := loadExperiment(args[0], sets, nil)
			if err != nil {
				return err
			}
			if out == "" {
				out = f.Name
			}
			tuneCollector()
			w := cmd.OutOrStdout()
			count := 0
			sweep := experiment.Sweep{Points: f.Points, Out: out, Parallel: parallel}
			sweep.Run = func(ctx context.Context, p experiment.Point, dir string) error {
				// What the directory keeps is the point, not the sweep.
				run, err := trial.Run(ctx, p.Experiment, options(p.Experiment.YAML(), nil, p, workers, func(trial.Progress) { tuneCollector() }))
				if err != nil {
					return err
				}
				return report.Write(dir, run)
			}
			sweep.Done = func(o experiment.Outcome) {
				count++
				fmt.Fprintf(w, "%*d of %d  %s\n", len(fmt.Sprint(len(f.Points))), count, len(f.Points), outcome(o))
			}
			outcomes, err := sweep.Go(cmd.Context())
			if err != nil {
				return err
			}
			return compareOutcomes(w, out, outcomes)
		},
	}
	fl := cmd.Flags()
	fl.StringArrayVar(&sets, "set", nil, "set a key of the file, a list for more points: seed=[1,2,3] (may be repeated)")
	fl.StringVar(&out, "out", "", "directory for the results (default: the name of the experiment)")
	fl.IntVar(&parallel, "parallel", 1, "points at a time")
	fl.IntVar(&workers, "workers", 0, "goroutines that compute for each point (default: one a processor)")
	return cmd
}

// outcome is a line about a point.
func outcome(o experiment.Outcome) string {
	label := o.Point.Label
	if label == "" {
		label = o.Point.Experiment.Name
	}
	switch {
	case o.Skipped:
		return label + ": finished before"
	case o.Err != nil:
		return label + ": FAILED: " + o.Err.Error()
	}
	run, err := report.Read(o.Dir)
	if err != nil {
		return label + ": " + err.Error()
	}
	r := &run.Result
	return fmt.Sprintf("%s: accuracy %s (worst %s) after %s rounds, %s CPU s", label, figure(r.Accuracy.Mean, 4), figure(r.Accuracy.Worst, 4),
		figure(r.Rounds, 1), figure(r.CPUSeconds, 1))
}

// compareOutcomes writes the page that compares what has finished.
func compareOutcomes(w io.Writer, dir string, outcomes []experiment.Outcome) error {
	var runs []report.Run
	failed := 0
	for _, o := range outcomes {
		if o.Err != nil {
			failed++
			continue
		}
		run, err := report.Read(o.Dir)
		if err != nil {
			return err
		}
		runs = append(runs, run)
	}
	if len(runs) > 1 {
		if err := report.WriteCompare(dir, runs); err != nil {
			return err
		}
		fmt.Fprintf(w, "comparison  %s\n", filepath.Join(dir, report.CompareFile))
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d points failed; their directories in %s say why, and starting the sweep again tries them again", failed, len(outcomes), dir)
	}
	return nil
}

func simReportCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "report DIR...",
		Short: "Compare finished runs on one page",
		Long: `Read the results in some directories and write one page that compares them. A directory without a result stands for those in
it, so a sweep can be named by its directory.`,
		Example: `  starling sim report results/mean results/corrected
  starling sim report topologies --out topologies`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var runs []report.Run
			for _, arg := range args {
				more, err := readRuns(arg)
				if err != nil {
					return err
				}
				runs = append(runs, more...)
			}
			if err := os.MkdirAll(out, 0o755); err != nil {
				return err
			}
			if len(runs) == 1 {
				if err := report.Write(out, runs[0]); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "report      %s\n", filepath.Join(out, report.PageFile))
				return nil
			}
			if err := report.WriteCompare(out, runs); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "comparison  %s\n", filepath.Join(out, report.CompareFile))
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "report", "directory for the page")
	return cmd
}

// readRuns reads the run in a directory, or those in the directories in it.
func readRuns(dir string) ([]report.Run, error) {
	if _, err := os.Stat(filepath.Join(dir, report.ResultFile)); err == nil {
		run, err := report.Read(dir)
		return []report.Run{run}, err
	}
	found, err := filepath.Glob(filepath.Join(dir, "*", report.ResultFile))
	if err != nil || len(found) == 0 {
		return nil, errors.Join(err, fmt.Errorf("%s: there is no %s in it, nor in its directories: name what starling sim run has written", dir, report.ResultFile))
	}
	var runs []report.Run
	for _, path := range found {
		run, err := report.Read(filepath.Dir(path))
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, nil
}
