package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"starling/node/daemon"
)

func scalarCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "scalar",
		Short:   "Look into a run whose nodes tell each other one byte per gradient",
		Example: "  starling scalar verify",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(scalarVerifyCommand())
	return cmd
}

func scalarVerifyCommand() *cobra.Command {
	var f homeFlags
	var own daemon.Own
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Recompute the model from base and records, and compare",
		Long: `Recompute the model of a run of the method scalar from what is on this node's disk, and compare: the base that the manifest
makes, the sums that the records in the newest checkpoint add up to, the weights that base and sums make, the signatures of
others' records, the chain of the node's own, and the counter that keeps it from using a number twice. It stops at the first
difference, and exits with 1. A running daemon is asked; it need not stop.`,
		Example: "  starling scalar verify\n  starling scalar verify --json | jq .problem",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := f.dir()
			if err != nil {
				return err
			}
			v, err := daemon.VerifyRecords(cmd.Context(), dir, own)
			if err != nil {
				return err
			}
			if asJSON {
				if err := printJSON(cmd.OutOrStdout(), v); err != nil {
					return err
				}
			} else {
				for _, c := range v.Checked {
					fmt.Fprintf(cmd.OutOrStdout(), "%-10s %s\n", c.What, c.Text)
				}
			}
			if v.Problem != "" {
				return errors.New(v.Problem)
			}
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&own.Data, "data", "", "of a run that trains on own data, and whose daemon is stopped: this machine's, as in join")
	cmd.Flags().StringVar(&own.Model, "model", "", "of a run that starts from a model, and whose daemon is stopped: that model, as in join")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}
