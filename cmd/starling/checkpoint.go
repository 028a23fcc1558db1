package main

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"starling/node/daemon"
	"starling/node/manifest"
	"starling/node/model/llama"
	"starling/node/model/safetensors"
)

func checkpointCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "checkpoint",
		Short:   "List, verify and export checkpoints",
		Example: "  starling checkpoint export model.safetensors",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(checkpointListCommand(), checkpointVerifyCommand(), checkpointExportCommand())
	return cmd
}

func checkpointListCommand() *cobra.Command {
	var f homeFlags
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List this node's checkpoints",
		Long:    "List this node's checkpoints, the newest first. A running daemon is asked; it need not stop.",
		Example: "  starling checkpoint list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := f.dir()
			if err != nil {
				return err
			}
			list, err := daemon.ListCheckpoints(cmd.Context(), dir)
			if err != nil {
				return err
			}
			if len(list) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "no checkpoints yet")
				return nil
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "NUMBER\tROUND\tSTEPS\tSIZE\tWRITTEN")
			for _, c := range list {
				fmt.Fprintf(t, "%d\t%d\t%d\t%s\t%s\n", c.Number, c.Round, c.Age, size(c.Size), c.Written.Local().Format(time.DateTime))
			}
			return t.Flush()
		},
	}
	f.add(cmd)
	return cmd
}

func checkpointVerifyCommand() *cobra.Command {
	var f homeFlags
	cmd := &cobra.Command{
		Use:     "verify",
		Short:   "Read every checkpoint and compare all hashes",
		Long:    "Read every checkpoint and compare all hashes. A running daemon is asked; it need not stop.",
		Example: "  starling checkpoint verify",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := f.dir()
			if err != nil {
				return err
			}
			list, err := daemon.ListCheckpoints(cmd.Context(), dir)
			if err != nil {
				return err
			}
			bad, err := daemon.VerifyCheckpoints(cmd.Context(), dir)
			if err != nil {
				return err
			}
			for _, d := range bad {
				fmt.Fprintf(cmd.ErrOrStderr(), "damaged: %s\n", d)
			}
			switch {
			case len(bad) > 0 && len(bad) < len(list):
				return fmt.Errorf("%d of %d checkpoints are damaged; the daemon uses the newest whole one", len(bad), len(list))
			case len(bad) > 0:
				return fmt.Errorf("no checkpoint of %s is whole: restore the store there from a backup, or move it away to begin anew from what peers have", dir)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d checkpoints, all whole\n", len(list))
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

// sayInit says what the manifest of a run holds that starts from a file that was exported. Of a published model the file has what was
// trained of it alone, from which none can start.
func sayInit(out io.Writer, path string) error {
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if llama.Published(f.Metadata["model"]) {
		return nil
	}
	digest, err := safetensors.Digest(path)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "a run that starts from it has init: %s\n", manifest.WeightsInit(digest))
	return err
}

func checkpointExportCommand() *cobra.Command {
	var f homeFlags
	var number uint64
	var format, model string
	cmd := &cobra.Command{
		Use:   "export FILE",
		Short: "Write a checkpoint's model as safetensors, as an adapter for PEFT, or whole",
		Long: `Write the model of the newest whole checkpoint, or of the one with the given number, as a safetensors file.
A running daemon is asked for it; it need not stop.

What a run has made of a published model can also be written into a directory: with --format peft as an adapter that PEFT
loads, with --format merged as a whole model that transformers loads, also if the run started from a GGUF file.`,
		Example: `  starling checkpoint export model.safetensors
  starling checkpoint export adapter --format peft --model SmolLM2-135M-Instruct
  starling checkpoint export merged --format merged --model smollm2.gguf
  python -c 'from safetensors.numpy import load_file; print(load_file("model.safetensors"))'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := f.dir()
			if err != nil {
				return err
			}
			var c daemon.CheckpointInfo
			switch format {
			case daemon.FormatSafetensors:
				c, err = daemon.ExportCheckpoint(cmd.Context(), dir, number, args[0])
			case daemon.FormatPEFT, daemon.FormatMerged:
				c, err = daemon.ExportPublished(cmd.Context(), dir, number, format, model, args[0])
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "wrote %s: round %d\n", args[0], c.Round)
					return nil
				}
			default:
				err = usageError{commandName(cmd), fmt.Errorf("--format is %q; use safetensors, peft or merged", format)}
			}
			if err != nil {
				return err
			}
			info, err := os.Stat(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "wrote %s: round %d, %s\n", args[0], c.Round, size(info.Size()))
			return sayInit(cmd.OutOrStdout(), args[0])
		},
	}
	f.add(cmd)
	cmd.Flags().Uint64Var(&number, "number", 0, "checkpoint to export (default: the newest)")
	cmd.Flags().StringVar(&format, "format", daemon.FormatSafetensors, "safetensors: what was trained, as a file; peft or merged: a directory")
	cmd.Flags().StringVar(&model, "model", "", "with peft and merged: the directory or GGUF file of the model that the run started from")
	return cmd
}
