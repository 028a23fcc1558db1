package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"starling/node/daemon"
)

// endTimeout is how long a daemon may take to end after it has left.
const endTimeout = 20 * time.Second

func leaveCommand() *cobra.Command {
	var f homeFlags
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Stop this node's daemon after saving and saying goodbye",
		Long: `Stop this node's daemon after it has saved its state and told the others that it goes. The run's data stays
in the home directory: a later "starling join" goes on from there.`,
		Example: "  starling leave",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			orderErr := c.Order(cmd.Context(), "leave")
			if errors.Is(orderErr, daemon.ErrNotRunning) {
				return orderErr
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), endTimeout)
			defer cancel()
			if err := c.AwaitEnd(ctx); err != nil && orderErr == nil {
				return fmt.Errorf("process %d still runs after %s: look at its log", c.PID(), endTimeout)
			}
			if orderErr != nil {
				return orderErr
			}
			fmt.Fprintln(cmd.OutOrStdout(), "left; its state is saved")
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

func pauseCommand() *cobra.Command {
	return orderCommand("pause", "Stop training after the round under way; go on listening and serving", "paused; `starling resume` goes on")
}

func resumeCommand() *cobra.Command {
	return orderCommand("resume", "Go on training after a pause", "training again")
}

// orderCommand makes a command that tells the daemon one word.
func orderCommand(name, short, done string) *cobra.Command {
	var f homeFlags
	cmd := &cobra.Command{
		Use:     name,
		Short:   short,
		Example: "  starling " + name,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			if err := c.Order(cmd.Context(), name); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), done)
			return nil
		},
	}
	f.add(cmd)
	return cmd
}
