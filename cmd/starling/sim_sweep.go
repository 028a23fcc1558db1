package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"starling/sim/experiment"
	"starling/sim/report"
	"starling/sim/trial"
)

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
			if err := cmp.Or(checkCount("sim sweep ", "workers", workers, 0), checkCount("sim sweep ", "parallel", parallel, 1)); err != nil {
				return err
			}
			_, f, err := loadExperiment(args[0], sets, nil)
			if err != nil {
				return err
			}
			if out == "" {
				out = f.Name
			}
			if err := makeOut(out); err != nil {
				return err
			}
			tuneCollector()
			w := cmd.OutOrStdout()
			count := 0
			bar := newBar(w)
			show := func(trial.Progress) { tuneCollector() }
			if bar.terminal && parallel == 1 {
				show = func(p trial.Progress) {
					bar.prefix = fmt.Sprintf("%d of %d ", count+1, len(f.Points))
					bar.show(p)
				}
			}
			sweep := experiment.Sweep{Points: f.Points, Out: out, Parallel: parallel}
			sweep.Run = func(ctx context.Context, p experiment.Point, dir string) error {
				// What the directory keeps is the point, not the sweep.
				run, err := trial.Run(ctx, p.Experiment, options(p.Experiment.YAML(), nil, p, workers, show))
				if err != nil {
					return err
				}
				return report.Write(dir, run)
			}
			sweep.Done = func(o experiment.Outcome) {
				bar.clear()
				if o.Err != nil && cmd.Context().Err() != nil {
					return // nothing is wrong with a point that was interrupted
				}
				count++
				fmt.Fprintf(w, "%*d of %d  %s\n", len(fmt.Sprint(len(f.Points))), count, len(f.Points), outcome(o))
			}
			outcomes, err := sweep.Go(cmd.Context())
			if err != nil {
				fmt.Fprintf(w, "%d of %d points are finished; start the sweep again to go on\n", count, len(f.Points))
				return err
			}
			return compareOutcomes(w, out, outcomes, f.Points[0].Experiment.Baseline)
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
		why, _, _ := strings.Cut(o.Err.Error(), "\n") // the rest is in the point's directory
		return label + ": FAILED: " + why
	}
	run, err := report.Read(o.Dir)
	if err != nil {
		return label + ": " + err.Error()
	}
	r := &run.Result
	if r.Tokens > 0 {
		return fmt.Sprintf("%s: perplexity %s after %d tokens, %s sent by a node, %s virtual s, %s CPU s", label, figure(r.Perplexity, 3), r.Tokens,
			size(int64(r.BytesSentPerNode)), figure(r.VirtualSeconds, 1), figure(r.CPUSeconds, 1))
	}
	return fmt.Sprintf("%s: accuracy %s (worst %s) after %s rounds, %s CPU s", label, figure(r.Accuracy.Mean, 4), figure(r.Accuracy.Worst, 4),
		figure(r.Rounds, 1), figure(r.CPUSeconds, 1))
}

// compareOutcomes writes the page that compares what has finished.
func compareOutcomes(w io.Writer, dir string, outcomes []experiment.Outcome, baseline []string) error {
	var runs []report.Run
	failed := 0
	for _, o := range outcomes {
		if o.Err != nil {
			failed++
			continue
		}
		run, err := report.Read(o.Dir)
		if err != nil {
			return fmt.Errorf("%w; remove the directory %s and start the sweep again", err, o.Dir)
		}
		runs = append(runs, run)
	}
	if len(runs) > 1 {
		if err := report.WriteCompare(dir, runs, baseline...); err != nil {
			return err
		}
		if err := report.WriteTable(w, runs, baseline...); err != nil {
			return err
		}
		fmt.Fprintf(w, "comparison  %s\n", filepath.Join(dir, report.CompareFile))
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d points failed, see above and %s in their directories in %s; start the sweep again to try them again", failed, len(outcomes), experiment.ErrorFile, dir)
	}
	return nil
}

func simReportCommand() *cobra.Command {
	var out string
	var baseline []string
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
			if err := makeOut(out); err != nil {
				return err
			}
			if len(runs) == 1 {
				if err := report.Write(out, runs[0]); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "report      %s\n", filepath.Join(out, report.PageFile))
				return nil
			}
			if len(baseline) == 0 {
				baseline = runs[0].Result.Baseline
			}
			if err := report.WriteCompare(out, runs, baseline...); err != nil {
				return err
			}
			if err := report.WriteTable(cmd.OutOrStdout(), runs, baseline...); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "comparison  %s\n", filepath.Join(out, report.CompareFile))
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "report", "directory for the page")
	cmd.Flags().StringArrayVar(&baseline, "baseline", nil, "a setting of the runs that the others are compared with: codec=fp32 (may be repeated; default: what the experiment says)")
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
