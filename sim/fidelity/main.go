// Command fidelity compares the simulator with the real thing: it runs starling demo, measures how long a local step and other
// jobs took in its daemons, simulates the experiment demo-8 with these durations, and prints what both say side by side.
//
// Start with
//
//	go run ./sim/fidelity
//
// on a machine that does nothing else. Durations are measured in the demo's default setting only; the other settings are
// foretold with them. What is measured and given to the simulation in each setting is when each node began, since how long
// processes take to start is not what a simulation of training can know.
//
// It imports nothing of the project, and nothing imports it: both sides run in the program that people use.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "fidelity:", err)
		}
		os.Exit(1)
	}
}

// A setting is a way to run the demo, and the same way to run its simulation.
type setting struct {
	name  string
	demo  []string // flags of starling demo
	sets  []string // --set of starling sim run demo-8
	nodes int
	steps int // of a training job
}

// settings are the ones that are compared. The first is the one that durations are measured in.
func settings() []setting {
	return []setting{
		{name: "as it is", nodes: baseNodes, steps: 50},
		{name: "`--mix mean --init common`", demo: []string{"--mix", "mean", "--init", "common"}, sets: []string{"method.mix=mean", "init=common"}, nodes: baseNodes, steps: 50},
		{name: "`--nodes 4`", demo: []string{"--nodes", "4"}, sets: []string{"nodes=4"}, nodes: 4, steps: 50},
		{name: "`--steps 100`", demo: []string{"--steps", "100"}, sets: []string{"method.steps=100"}, nodes: baseNodes, steps: 100},
	}
}

// baseNodes is the number of nodes of the demo as it is.
const baseNodes = 8

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	flags := flag.NewFlagSet("fidelity", flag.ContinueOnError)
	runs := flags.Int("runs", 5, "demos of each setting")
	seeds := flags.Int("seeds", 4, "simulations of each demo")
	binary := flags.String("starling", "", "the program (default: built from the current directory's module)")
	keep := flags.String("demos", "", "file of the demos' results: taken from there if it exists, and written otherwise")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *runs < 1 || *seeds < 1 || flags.NArg() > 0 {
		return errors.New("want -runs and -seeds of at least 1, and no arguments")
	}
	dir, err := os.MkdirTemp("", "starling-fidelity-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := bench{dir: dir, starling: *binary, seeds: *seeds, progress: progress}
	if b.starling == "" {
		b.starling = filepath.Join(dir, "starling")
		if err := b.command(ctx, "go", "build", "-o", b.starling, "./cmd/starling"); err != nil {
			return err
		}
	}
	demos, err := b.demos(ctx, *keep, *runs)
	if err != nil {
		return err
	}
	c := calibrate(demos[0], settings()[0])
	fmt.Fprintf(out, "Measured in the demo as it is, mean of %d: %s\n\n", len(demos[0]), c)
	tableHead(out)
	for i, s := range settings() {
		simulated, err := b.simulate(ctx, s, c, demos[i])
		if err != nil {
			return err
		}
		tableRows(out, s.name, demos[i], simulated)
	}
	return nil
}

// bench runs the program.
type bench struct {
	dir      string // for files of no use afterwards
	starling string
	seeds    int
	progress io.Writer
}

func (b *bench) command(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	text, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, text)
	}
	return nil
}

// demos runs the real demos of all settings, or reads what they did once before.
func (b *bench) demos(ctx context.Context, keep string, runs int) (all [][]demo, err error) {
	if keep != "" {
		if err = readJSON(keep, &all); err == nil && len(all) == len(settings()) {
			return all, nil
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, errors.Join(fmt.Errorf("%s does not hold demos of all settings: remove it", keep), err)
		}
	}
	// In turn, so that whatever else the machine does meanwhile meets all settings alike.
	all = make([][]demo, len(settings()))
	for i := range runs {
		for k, s := range settings() {
			d, err := b.demo(ctx, s)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(b.progress, "demo %s, %d of %d: %.2f s, %.1f rounds, %.2f MB sent\n", s.name, i+1, runs, d.TrainingSeconds, d.Rounds, d.Sent/1e6)
			all[k] = append(all[k], d)
		}
	}
	if keep == "" {
		return all, nil
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, err
	}
	return all, os.WriteFile(keep, text, 0o644)
}

// demo runs the real one once.
func (b *bench) demo(ctx context.Context, s setting) (d demo, err error) {
	file := filepath.Join(b.dir, "demo.json")
	if err := b.command(ctx, b.starling, append([]string{"demo", "--json", file}, s.demo...)...); err != nil {
		return d, err
	}
	if err := readJSON(file, &d); err != nil {
		return d, err
	}
	if d.TrainingSeconds <= 0 || len(d.BeganAfter) != s.nodes {
		return d, fmt.Errorf("%s: the demo does not say when its nodes began; build it from this version", s.name)
	}
	return d, nil
}

// simulate foretells demos: each several times, with nodes that begin when its nodes did. Every simulation has a seed of its own.
func (b *bench) simulate(ctx context.Context, s setting, c durations, demos []demo) ([]outcome, error) {
	var all []outcome
	for _, d := range demos {
		for range b.seeds {
			o, err := b.simulateOne(ctx, s, c, &d, len(all)+1)
			if err != nil {
				return nil, err
			}
			all = append(all, o)
		}
	}
	return all, nil
}

func (b *bench) simulateOne(ctx context.Context, s setting, c durations, d *demo, seed int) (outcome, error) {
	trace, dir := filepath.Join(b.dir, "began.csv"), filepath.Join(b.dir, "simulated")
	if err := os.WriteFile(trace, d.sessions(), 0o644); err != nil {
		return outcome{}, err
	}
	args := []string{"sim", "run", "demo-8", "--out", dir, "--seed", strconv.Itoa(seed), "--set", "churn.sessions=trace:" + trace}
	for _, set := range append(c.sets(s.nodes), s.sets...) {
		args = append(args, "--set", set)
	}
	if err := b.command(ctx, b.starling, args...); err != nil {
		return outcome{}, err
	}
	var r result
	if err := readJSON(filepath.Join(dir, "result.json"), &r); err != nil {
		return outcome{}, err
	}
	o := r.outcome()
	fmt.Fprintf(b.progress, "simulated %s, seed %d: %.2f s, %.1f rounds, %.2f MB sent; %s\n", s.name, seed, o.seconds, o.rounds, o.sent/1e6, r.Stopped)
	return o, nil
}

func readJSON(file string, v any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
