package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

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
  starling demo --home ./demo --json result.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m.Method.Name = method
			m.Data.Shards = nodes
			if m.Method.Mix == manifest.PushSum && !cmd.Flags().Changed("codec") {
				m.Codec = "fp32" // push-sum takes no codec that loses anything
			}
			if err := m.Validate(); err != nil {
				return usageError{"demo ", err}
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
	f.StringVar(&method, "method", m.Method.Name, "how they train together")
	f.StringVar(&m.Method.Mix, "mix", m.Method.Mix, "how models are mixed: variance-corrected, mean, age, metropolis, push-sum")
	f.StringVar(&m.Data.Split, "split", m.Data.Split, "how MNIST is divided: iid, dirichlet:A, shards:K, contiguous")
	f.StringVar(&m.Model, "model", m.Model, "softmax, or mlp: and the widths of the hidden layers")
	f.StringVar(&m.Init, "init", m.Init, "independent: every node starts from its own parameters; common: all from the same")
	f.IntVar(&m.Method.Steps, "steps", m.Method.Steps, "local steps a round")
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

func demoError(err error, home string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, demo.ErrNotReached):
		return codedError{exitNotReached, err}
	case errors.Is(err, context.Canceled):
		return err
	}
	return fmt.Errorf("%w\nthe nodes' logs are in %s", err, home)
}

// cleanup removes a temporary home unless it holds the logs of a failure.
func cleanup(err error, keep bool, home string) error {
	failed := err != nil && !errors.Is(err, demo.ErrNotReached) && !errors.Is(err, context.Canceled)
	if keep || failed {
		return nil
	}
	return os.RemoveAll(home)
}

func writeJSON(path string, v any) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(printJSON(f, v), f.Close())
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
