package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"starling/sim/experiment"
	"starling/sim/experiments"
	"starling/sim/report"
	"starling/sim/walk"
)

func simCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Try a run with thousands of nodes on this machine",
		Example: `  starling sim run pegasos-1000
  starling sim run my.yaml --set nodes=500 --set network.loss=0.05
  starling sim topologies --nodes 64`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(simRunCommand(), simSweepCommand(), simReportCommand(), simTopologiesCommand(), simTraceCommand(), simRealCommand(), simShowCommand())
	help := cmd.HelpFunc()
	cmd.SetHelpFunc(func(asked *cobra.Command, args []string) {
		cmd.Long = simLong() // not earlier: to read all experiments would take half of the program's start
		help(asked, args)
	})
	return cmd
}

func simLong() string {
	return `Simulate a run: the node code of the daemon on a virtual network, in virtual time. Models are really trained; only time and
network are simulated. An experiment is a YAML file, or the name of one that comes with the program:

` + shipped() + `
The same file and seed give the same result, on every machine.`
}

// shipped lists the experiments in the program, a line each.
func shipped() string {
	var b strings.Builder
	for _, name := range experiments.Names() {
		about := ""
		if text, filename, err := experiments.Read(name); err == nil {
			if walk.Is(text) {
				if s, err := walk.Load(text, filename, nil); err == nil {
					about = s.About
				}
			} else if f, err := experiment.Load(text, filename, nil, experiment.Hooks{}); err == nil {
				about = f.Points[0].Experiment.About
			}
		}
		fmt.Fprintf(&b, "  %-20s %s\n", name, about)
	}
	return b.String()
}

// openExperiment reads a file, or an experiment that comes with the program.
func openExperiment(name string) (text []byte, filename string, err error) {
	info, err := os.Stat(name)
	if err == nil && info.IsDir() {
		// Most likely where an earlier run of the experiment of that name has left its result.
		if text, filename, e := experiments.Read(name); e == nil {
			return text, filename, nil
		}
		return nil, name, fmt.Errorf("%s: is a directory: name an experiment file, perhaps %s", name, filepath.Join(name, report.ExperimentFile))
	}
	if err == nil {
		text, err = readExperiment(name)
		return text, name, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, name, err
	}
	if strings.ContainsAny(name, `/\`) {
		return nil, name, fmt.Errorf("%s: there is no such file", name)
	}
	text, filename, err = experiments.Read(name)
	if err != nil {
		err = fmt.Errorf("%s: there is no such file, and %w", name, err)
	}
	return text, filename, err
}

// readExperiment reads a file, and of one that is too long for an experiment, or never ends, no more than that takes to see.
func readExperiment(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, experiment.MaxBytes+1))
	if err == nil && len(text) > experiment.MaxBytes {
		err = fmt.Errorf("%s: is too long for an experiment, which has at most %d bytes", name, experiment.MaxBytes)
	}
	return text, err
}

// loadExperiment reads an experiment with what was set on the command line.
func loadExperiment(name string, sets []string, seed *uint64) (text []byte, f *experiment.File, err error) {
	text, filename, err := openExperiment(name)
	if err != nil {
		return nil, nil, err
	}
	if walk.Is(text) {
		return nil, nil, fmt.Errorf("%s: is a study of walks, not of nodes: run it with `starling sim run %s`", filename, name)
	}
	f, err = experiment.Load(text, filename, withSeed(sets, seed), experiment.Owners())
	return text, f, err
}

// withSeed is what was set, and the seed that was given, if any.
func withSeed(sets []string, seed *uint64) []string {
	if seed == nil {
		return sets
	}
	return append(slices.Clone(sets), fmt.Sprintf("seed=%d", *seed))
}

func simShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Print an experiment that comes with the program",
		Example: `  starling sim show churn > my.yaml
  starling sim run my.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, _, err := openExperiment(args[0])
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}
