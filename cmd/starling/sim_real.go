package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"starling/cmd/starling/real"
	"starling/node/daemon/thin"
)

func simRealCommand() *cobra.Command {
	var sets []string
	var seed uint64
	var home, jsonFile string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "real FILE",
		Short: "Run an experiment for real, and compare",
		Long: `Run an experiment with a daemon for each node, on this machine: each in a network namespace, behind a link with the bandwidth and
the latency of the experiment. Then simulate it with the durations that were measured, and print what both say side by side.
The end is stop.rounds. It takes Linux, iproute2 and the right to make network namespaces, or user namespaces. The exit code is
3 if the two do not agree.`,
		Example: `  starling sim real thin-4 --set data.source=text:book.txt
  starling sim real thin-4 --set data.source=text:book.txt --set network.bandwidth=constant:4Mbit --set codec=bf16`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var override *uint64
			if cmd.Flags().Changed("seed") {
				override = &seed
			}
			_, f, err := loadExperiment(args[0], sets, override)
			if err != nil {
				return err
			}
			if n := len(f.Points); n != 1 {
				return fmt.Errorf("%s is a sweep of %d points: choose one with --set", args[0], n)
			}
			if err := writable(jsonFile); err != nil {
				return err
			}
			if once := thin.Again(cmd.Context()); once != nil {
				return onceMore(once.Run())
			}
			program, err := os.Executable()
			if err != nil {
				return err
			}
			keep := home != ""
			if !keep {
				home, err = os.MkdirTemp("", "starling-real-")
			} else {
				home, err = filepath.Abs(home)
			}
			if err != nil {
				return err
			}
			r, err := real.Run(cmd.Context(), real.Options{
				Experiment: f.Points[0].Experiment, Program: program, Home: home, Timeout: timeout, Out: cmd.OutOrStdout(),
			})
			if jsonFile != "" && len(r.Real.ByNode) > 0 {
				err = errors.Join(err, writeJSON(jsonFile, r))
			}
			if err != nil {
				return errors.Join(demoError(err, home), cleanup(err, keep, home))
			}
			r.Write(cmd.OutOrStdout())
			if !r.Met() {
				err = codedError{exitNotReached, errors.New("real run and simulation do not agree")}
			}
			return errors.Join(err, cleanup(nil, keep, home))
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&sets, "set", nil, "set a key of the file: nodes=4, codec=int8 (may be repeated)")
	f.Uint64Var(&seed, "seed", 1, "seed of the run, in place of the file's")
	f.DurationVar(&timeout, "timeout", 15*time.Minute, "give up after this long")
	f.StringVar(&jsonFile, "json", "", "write the result to this file")
	f.StringVar(&home, "home", "", "keep the nodes' homes in this directory (default: a temporary one that is removed)")
	return cmd
}

// onceMore passes on how this program ended when it was run once more, in a user namespace.
func onceMore(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return codedError{exit.ExitCode(), errors.New("it ended so in a user namespace, which a user who is not root needs")}
	}
	return err
}
