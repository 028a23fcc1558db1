package main

import (
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
	"unicode/utf8"

	"github.com/spf13/cobra"

	"starling/node/daemon"
	"starling/sim/experiment"
	"starling/sim/report"
	"starling/sim/trial"
	"starling/sim/walk"
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
result.json, series.csv, report.html and the figures as SVG. A file with lists is a sweep: see starling sim sweep. A file that
says kind: walk is a study of walks without a network.`,
		Example: `  starling sim run pegasos-1000
  starling sim run churn --seed 7 --set nodes=50 --out results/churn-7`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var override *uint64
			if cmd.Flags().Changed("seed") {
				override = &seed
			}
			if err := checkCount("sim run ", "workers", workers, 0); err != nil {
				return err
			}
			text, filename, err := openExperiment(args[0])
			if err != nil {
				return err
			}
			if walk.Is(text) {
				return runWalks(cmd, text, filename, withSeed(sets, override), out, workers)
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
			if err := makeOut(out); err != nil {
				return err
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

// mostWorkers bounds goroutines: more than any machine has processors, and few enough that they cost little.
const mostWorkers = 1024

// checkCount reports a number of goroutines that makes no sense.
func checkCount(command, flag string, have, least int) error {
	if have < least || have > mostWorkers {
		return usageError{command, fmt.Errorf("--%s %d: want %d to %d", flag, have, least, mostWorkers)}
	}
	return nil
}

// makeOut makes the directory for a result, and sees whether files can be written there: better known now than after the run.
func makeOut(dir string) error {
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(dir, ".tmp-*"); err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
	}
	if err != nil {
		return fmt.Errorf("make the directory for the result: %w; choose another with --out", err)
	}
	return nil
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
	prefix   string // what the progress is of
}

func newBar(out io.Writer) *bar { return &bar{out: out, terminal: isTerminal(out), last: time.Now()} }

func (b *bar) show(p trial.Progress) {
	tuneCollector()
	accuracy := "–"
	if !math.IsNaN(p.Accuracy) {
		accuracy = fmt.Sprintf("%.1f %%", 100*p.Accuracy)
	}
	success := "accuracy " + accuracy
	if p.Text && !math.IsNaN(p.Loss) {
		success = fmt.Sprintf("perplexity %.3f", math.Exp(p.Loss))
	}
	b.draw(p.Share, fmt.Sprintf("round %.1f  %.1f virtual s  %s  %d online  %s", p.Rounds, p.Seconds, success, p.Online, p.Wall.Round(time.Second)))
}

// draw shows that a share is done, and a line about it.
func (b *bar) draw(share float64, line string) {
	line = fmt.Sprintf("%3.0f %%  %s", 100*share, line)
	if !b.terminal {
		if time.Since(b.last) >= 10*time.Second {
			b.last = time.Now()
			fmt.Fprintln(b.out, line)
		}
		return
	}
	fmt.Fprint(b.out, "\r\x1b[K"+drawBar(b.prefix, line, share, columns(b.out)))
}

// drawBar fits a bar of at most 24 columns and the line behind it into the columns of the terminal: what goes on in the next row
// cannot be drawn over.
func drawBar(prefix, line string, share float64, columns int) string {
	room := columns - 1 - len("[] ") - utf8.RuneCountInString(prefix)
	width := min(24, room-utf8.RuneCountInString(line))
	if width < 4 {
		all := []rune(prefix + strings.TrimSpace(line))
		return string(all[:min(len(all), max(0, columns-1))])
	}
	full := int(share * float64(width))
	return fmt.Sprintf("%s[%s%s] %s", prefix, strings.Repeat("█", full), strings.Repeat("·", width-full), line)
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
	if r.Tokens > 0 {
		fmt.Fprintf(out, "perplexity  %s; loss mean %s  worst %s  best %s; %d tokens trained on\n", figure(r.Perplexity, 3), figure(r.Loss.Mean, 4),
			figure(r.Loss.Worst, 4), figure(r.Loss.Best, 4), r.Tokens)
	}
	fmt.Fprintf(out, "accuracy    mean %s  worst %s  best %s\n", figure(r.Accuracy.Mean, 4), figure(r.Accuracy.Worst, 4), figure(r.Accuracy.Best, 4))
	for _, t := range r.Targets {
		if t.Reached {
			fmt.Fprintf(out, "reached     %s after %s rounds, %s virtual s, %s received by a node\n", figure(t.Accuracy, 2), figure(t.Rounds, 1),
				figure(t.Seconds, 1), size(int64(t.BytesPerNode)))
		} else {
			fmt.Fprintf(out, "reached     %s was not reached\n", figure(t.Accuracy, 2))
		}
	}
	fmt.Fprintf(out, "work        %d samples trained on; %s sent by a node", r.Samples, size(int64(r.BytesSentPerNode)))
	if k := r.Work; k != nil && k.UsefulSamplesPerSecond.Finite() {
		fmt.Fprintf(out, "; %s samples of each second online were mixed in by others", figure(k.UsefulSamplesPerSecond, 1))
	}
	fmt.Fprintln(out)
	if p := r.Replicas; p != nil && p.Equal {
		fmt.Fprintf(out, "replicas    all %d nodes have the same %d records, digest %.16s, model %.16s\n", p.Nodes, p.Most, p.Digest, p.Model)
	} else if p != nil {
		fmt.Fprintf(out, "replicas    %d nodes have %d different sums, of %d to %d records\n", p.Nodes, p.Different, p.Least, p.Most)
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
