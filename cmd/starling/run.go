package main

import (
	"fmt"
	"os"
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
	cmd := &cobra.Command{
		Use:   "create FILE",
		Short: "Make a run from a manifest, and print its link",
		Long: `Make a run from a manifest in YAML, sign it with this node's key, and print the link by which others join.
The link names the addresses of this machine: join with it here too, or there is nobody for the others to find.`,
		Example: `  starling run template > run.yaml
  starling run create run.yaml
  starling run create run.yaml --addr /dns4/home.example.org/tcp/4150`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			m, err := manifest.ParseYAML(text, args[0])
			if err != nil {
				return err
			}
			link, err := daemon.CreateRun(home, m, addrs)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), link)
			fmt.Fprintf(cmd.ErrOrStderr(), "run %s is made; join it on this machine first:\n  starling join '%s'\n", m.Name, link)
			return nil
		},
	}
	cmd.Flags().StringVar(&home, "home", "", "directory of this node (default $XDG_DATA_HOME/starling)")
	cmd.Flags().StringArrayVar(&addrs, "addr", nil, "address of this machine as others see it, as a multiaddr without /p2p (default: its own addresses, port 4150)")
	return cmd
}

func runTemplateCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "template",
		Short:   "Print a manifest to start from, with every setting explained",
		Example: "  starling run template > run.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(manifest.Default().YAML())
			return err
		},
	}
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
