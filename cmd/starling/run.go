package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"starling/node/daemon"
	"starling/node/manifest"
)

func runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "run",
		Short:   "Create and show runs",
		Example: "  starling run create run.yaml",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(runCreateCommand(), runTemplateCommand(), runShowCommand())
	return cmd
}

func runCreateCommand() *cobra.Command {
	var home string
	var addrs []string
	var f daemon.FineTuning
	cmd := &cobra.Command{
		Use:   "create FILE | create --model MODEL",
		Short: "Make a run from a manifest, and print its link",
		Long: `Make a run from a manifest in YAML, sign it with this node's key, and print the link by which others join.
The link names the addresses of this machine: join with it here too, or there is nobody for the others to find.

With --model in place of a file the run fine-tunes a published language model, at sites that each have data of their own. The
manifest is the one that "run template" prints with the same flags: write it to a file to change more.`,
		Example: `  starling run template > run.yaml
  starling run create run.yaml
  starling run create run.yaml --addr /dns4/home.example.org/tcp/4150
  starling run create --model SmolLM2-135M-Instruct --adapter lora:r=8 --method outer`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (f.Model != "") {
				return usageError{commandName(cmd), errors.New("name either a file with a manifest or a --model")}
			}
			m, err := manifestOf(args, f)
			if err != nil {
				return err
			}
			link, err := daemon.CreateRun(home, m, addrs)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), link)
			if f.Model == "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "run %s is made; join it on this machine first:\n  starling join '%s'\n", m.Name, link)
				return nil
			}
			need, err := daemon.NeedOf(m, f.Model, runtime.GOMAXPROCS(0))
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "run %s trains %d numbers of %s, which takes about %s of memory; join it on this machine first:\n  starling join '%s' --model %s --data jsonl:FILE\n",
				m.Name, need.Trained, f.Model, size(need.Memory), link, f.Model)
			return nil
		},
	}
	cmd.Flags().StringVar(&home, "home", "", "directory of this node (default $XDG_DATA_HOME/starling)")
	addFineTuning(cmd, &f)
	cmd.Flags().StringArrayVar(&addrs, "addr", nil, "address of this machine as others see it, as a multiaddr without /p2p (default: its own addresses, port 4150)")
	return cmd
}

// manifestOf reads a manifest, or makes that of a published model.
func manifestOf(args []string, f daemon.FineTuning) (manifest.Manifest, error) {
	switch {
	case f.Model != "":
		return f.Manifest()
	case len(args) == 0:
		return manifest.Default(), nil
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return manifest.Manifest{}, err
	}
	return manifest.ParseYAML(text, args[0])
}

func addFineTuning(cmd *cobra.Command, f *daemon.FineTuning) {
	cmd.Flags().StringVar(&f.Model, "model", "", "fine-tune a published language model: its directory or GGUF file")
	cmd.Flags().StringVar(&f.Name, "name", "", "with --model: name of the run (default: that of the model)")
	cmd.Flags().StringVar(&f.Train, "adapter", "lora:r=8", "with --model: what is trained, as lora:r=8,targets=q_proj+v_proj, rslora:r=8 or full:norms")
	cmd.Flags().StringVar(&f.Method, "method", "outer", "with --model: how sites train together: outer, scalar or average")
	cmd.Flags().IntVar(&f.Context, "context", 0, "with --model: tokens of a row (default: 512, if the model was made for so many)")
	cmd.Flags().BoolVar(&f.Int8, "int8", false, "with --model: hold its weights in 8 bits, a quarter of the memory")
}

func runTemplateCommand() *cobra.Command {
	var f daemon.FineTuning
	cmd := &cobra.Command{
		Use:     "template",
		Short:   "Print a manifest to start from, with every setting explained",
		Example: "  starling run template > run.yaml\n  starling run template --model SmolLM2-135M-Instruct > run.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.Model == "" {
				for _, name := range []string{"name", "adapter", "method", "context", "int8"} {
					if cmd.Flags().Changed(name) {
						return usageError{commandName(cmd), fmt.Errorf("--%s has no effect without --model: change the file that comes out", name)}
					}
				}
			}
			m, err := manifestOf(nil, f)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(m.YAML())
			return err
		},
	}
	addFineTuning(cmd, &f)
	return cmd
}

func runShowCommand() *cobra.Command {
	var f homeFlags
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Print the manifest of a run that this node has joined",
		Example: "  starling run show",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := f.dir()
			if err != nil {
				return err
			}
			m, err := daemon.LoadManifest(dir)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "# run %s\n%s", m.ID(), strings.TrimLeft(string(m.YAML()), "\n"))
			return nil
		},
	}
	f.add(cmd)
	return cmd
}
