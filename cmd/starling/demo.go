package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"starling/mixing/scalar"
	"starling/node/daemon/demo"
	"starling/node/manifest"
)

func demoCommand() *cobra.Command {
	m := manifest.Default()
	m.Init = "independent"
	var nodes, kills int
	var method, jsonFile, home string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Train MNIST with a swarm of daemons on this machine",
		Long: `Start a swarm of daemons as separate processes on this machine, each with its own home and its own part of
MNIST, joined by a link over loopback, and watch them until every node reaches the target on the whole test set.
Ctrl-C stops all of them.`,
		Example: `  starling demo
  starling demo --nodes 4 --mix mean --init common --split iid
  starling demo --method outer --outer delayed-nesterov --codec int4
  starling demo --method scalar --json result.json
  starling demo --method walk --tokens 2 --kill 4
  starling demo --exchange push --wake 500ms --steps epoch --target 0.9
  starling demo --home ./demo --json result.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m.Method.Name = method
			m.Data.Shards = nodes
			m.Limits.Peers = max(m.Limits.Peers, nodes)
			if m.Method.Mix == manifest.PushSum && !cmd.Flags().Changed("codec") {
				m.Codec = "fp32" // push-sum takes no codec that loses anything
			}
			if method != "average" && !cmd.Flags().Changed("init") {
				m.Init = "common" // as the methods want it
			}
			if method == "scalar" {
				scalarDemo(&m, cmd.Flags().Changed)
			}
			if method == "walk" {
				walkDemo(&m, cmd.Flags().Changed)
			}
			if err := checkDemo(m, nodes, kills, timeout); err != nil {
				return usageError{"demo ", err}
			}
			if err := writable(jsonFile); err != nil {
				return err
			}
			program, err := os.Executable()
			if err != nil {
				return err
			}
			keep := home != ""
			if !keep {
				if home, err = os.MkdirTemp("", "starling-demo-"); err != nil {
					return err
				}
			} else if home, err = filepath.Abs(home); err != nil {
				return err
			}
			d := demo.Demo{
				Config: demo.Config{Nodes: nodes, Manifest: m, Home: home, Program: program},
				Kills:  kills, Timeout: timeout, Out: cmd.OutOrStdout(), Terminal: isTerminal(cmd.OutOrStdout()),
			}
			result, err := d.Run(cmd.Context())
			if jsonFile != "" && result.Nodes > 0 {
				err = errors.Join(err, writeJSON(jsonFile, result))
			}
			return errors.Join(demoError(err, home), cleanup(err, keep, home))
		},
	}
	f := cmd.Flags()
	f.IntVar(&nodes, "nodes", 8, "number of daemons")
	f.StringVar(&method, "method", m.Method.Name, "how they train together: average, outer, scalar or walk")
	f.StringVar(&m.Method.Outer, "outer", m.Method.Outer, "diloco, delayed-nesterov or noloco, and settings; only with --method outer")
	f.StringVar(&m.Method.Scalar, "scalar", m.Method.Scalar, "structured, rademacher, binom8 or binom32, and settings; only with --method scalar")
	f.Float64Var(&m.Method.Check, "check", m.Method.Check, "part of others' records that each measures again, 0 to 1; only with --method scalar")
	f.StringVar(&m.Method.Walk, "walk", m.Method.Walk, "srrw, and settings such as srrw:alpha=10; only with --method walk")
	f.IntVar(&m.Method.Tokens, "tokens", m.Method.Tokens, "models that walk from node to node; 0: one for every 16 nodes; only with --method walk")
	f.StringVar(&m.Method.Mix, "mix", m.Method.Mix, "how models are mixed: variance-corrected, mean, age, metropolis, push-sum")
	f.StringVar(&m.Data.Split, "split", m.Data.Split, "how MNIST is divided: iid, dirichlet:A, shards:K, contiguous")
	f.StringVar(&m.Model, "model", m.Model, "softmax, or mlp: and the widths of the hidden layers")
	f.StringVar(&m.Init, "init", m.Init, "independent: every node starts from its own parameters; common: all from the same")
	f.StringVar(&m.Method.Exchange, "exchange", m.Method.Exchange, "announce: nodes tell all, who pull what they want; push: they send to one peer at a time; copies: they send a few what has changed")
	f.StringVar(&m.Method.Public.Correct, "correct", m.Method.Public.Correct, "none, scafcom, scallion: for nodes whose data differ; only with --exchange copies")
	f.DurationVar(&m.Method.Wake.Period, "wake", m.Method.Wake.Period, "mean time between two pushes of a node; only with --exchange push")
	f.Var(stepsFlag{&m.Method.Steps}, "steps", "local steps a round, or epoch: one pass over the node's data")
	f.StringVar(&m.Optimizer, "optimizer", m.Optimizer, "of the local steps")
	f.StringVar(&m.Codec, "codec", m.Codec, "how vectors are compressed")
	f.Uint64Var(&m.Seed, "seed", m.Seed, "seed of the run")
	f.Float64Var(&m.Evaluate.Target, "target", m.Evaluate.Target, "accuracy that every node must reach, 0 to 1")
	f.DurationVar(&timeout, "timeout", 5*time.Minute, "give up after this long")
	f.StringVar(&jsonFile, "json", "", "write the result to this file")
	f.StringVar(&home, "home", "", "keep the nodes' homes in this directory (default: a temporary one that is removed)")
	f.IntVar(&kills, "kill", 0, "kill -9 a random node this many times, and restart it")
	return cmd
}

// scalarDemo sets what was not given such that the method scalar gets somewhere in the time of a demo: a small model, more examples for each
// slope than for a gradient, and a learning rate that falls.
func scalarDemo(m *manifest.Manifest, given func(flag string) bool) {
	if !given("model") {
		m.Model = "softmax"
	}
	if !given("target") {
		m.Evaluate.Target = 0.85
	}
	if !given("scalar") {
		m.Method.Scalar = "structured:rotate=2,epoch=128,m=1024..256/40,lr=0.002"
	}
	if m.Method.Check > 0 && !given("split") {
		m.Data.Split = "iid"
	}
	m.Method.Batch, m.Checkpoint.Every = 128, 8
}

// walkDemo sets what was not given such that the models of the method walk suit all nodes, of whose data each visit shows them a part: short
// visits, and a learning rate that falls.
func walkDemo(m *manifest.Manifest, given func(flag string) bool) {
	if !given("steps") {
		m.Method.Steps = manifest.Steps{Count: 10}
	}
	if !given("optimizer") {
		m.Optimizer = "sgd:lr=0.1,schedule=cosine,total=8000,final=0.2"
	}
	m.Evaluate.Every, m.Checkpoint.Every = 5, 10 // a token that comes is saved all the same
}

// stepsFlag makes the steps of a manifest a flag.
type stepsFlag struct{ *manifest.Steps }

// Set reads the flag.
func (f stepsFlag) Set(text string) (err error) {
	*f.Steps, err = manifest.ParseSteps(text)
	return err
}

// Type is what --help says of the value.
func (f stepsFlag) Type() string { return "steps" }

// checkDemo names problems by the flags that are to blame.
func checkDemo(m manifest.Manifest, nodes, kills int, timeout time.Duration) error {
	flags := map[string]string{
		"method.name": "method", "method.outer": "outer", "method.scalar": "scalar", "method.check": "check", "method.walk": "walk", "method.tokens": "tokens", "method.mix": "mix", "method.steps": "steps", "method.exchange": "exchange",
		"method.public.correct": "correct", "method.wake.period": "wake", "data.split": "split", "evaluate.target": "target",
	}
	var errs []error
	if nodes < 1 || nodes > demo.MaxNodes {
		errs = append(errs, fmt.Errorf("--nodes: is %d; want 1 to %d, each of which is a process of about 80 MiB", nodes, demo.MaxNodes))
		m.Data.Shards = 1
	}
	if kills < 0 {
		errs = append(errs, fmt.Errorf("--kill: is %d; want 0 or more", kills))
	}
	if timeout <= 0 {
		errs = append(errs, fmt.Errorf("--timeout: is %s; want more than 0s, such as 5m", timeout))
	}
	if m.Evaluate.Target == 0 {
		errs = append(errs, errors.New("--target: is 0; want an accuracy above 0 and up to 1, at which the demo ends"))
	}
	if s, err := scalar.Parse(m.Method.Scalar); err == nil && m.Method.Name == "scalar" {
		switch {
		case int(s.Peers) < nodes:
			errs = append(errs, fmt.Errorf("--scalar: is for %d peers, and there are %d nodes; write peers=%d", s.Peers, nodes, nodes))
		case s.Closed && s.Founders() > nodes:
			errs = append(errs, fmt.Errorf("--scalar: is for %d peers, of whom %d close the first epoch, and there are %d nodes; write peers=%d", s.Peers, s.Founders(), nodes, nodes))
		}
	}
	var problems manifest.Problems
	if errors.As(m.Validate(), &problems) {
		for _, p := range problems {
			errs = append(errs, fmt.Errorf("--%s: %s", cmp.Or(flags[p.Field], p.Field), p.Text))
		}
	}
	return errors.Join(errs...)
}

// writable finds out before the work, not after it, that its result cannot be kept.
func writable(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("--json: %w", err)
	}
	return f.Close()
}

func demoError(err error, home string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, demo.ErrNotReached):
		return codedError{exitNotReached, err}
	case errors.Is(err, context.Canceled):
		return err
	}
	if !hasLogs(home) {
		return err
	}
	return fmt.Errorf("%w\nthe nodes' logs are in %s", err, home)
}

// cleanup removes a temporary home unless it holds the logs of a failure.
func cleanup(err error, keep bool, home string) error {
	failed := err != nil && !errors.Is(err, demo.ErrNotReached) && !errors.Is(err, context.Canceled)
	if keep || failed && hasLogs(home) {
		return nil
	}
	return os.RemoveAll(home)
}

func hasLogs(home string) bool {
	logs, err := filepath.Glob(filepath.Join(home, "*", "log.txt"))
	return err == nil && len(logs) > 0
}

func writeJSON(path string, v any) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(printJSON(f, v), f.Close())
}

// isTerminal reports whether lines can be drawn over.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
