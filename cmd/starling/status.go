package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"starling/node/daemon"
)

func statusCommand() *cobra.Command {
	var f homeFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Show what this node does and whether its work counts",
		Example: "  starling status\n  starling status --json | jq .accuracy",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			r, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), r)
			}
			printStatus(cmd.OutOrStdout(), r)
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the whole report as JSON")
	return cmd
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printStatus(w io.Writer, r daemon.Report) {
	line := func(key, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", key, fmt.Sprintf(format, args...))
	}
	line("run", "%s", strings.TrimSpace(fmt.Sprintf("%s (%s)", r.Name, r.Run)))
	line("node", "%s, process %d, up %s", r.Peer, r.PID, time.Since(r.Started).Round(time.Second))
	if r.Method == "" {
		line("doing", "%s", r.Phase)
	} else {
		line("doing", "%s, round %d of %s", r.Phase, r.Round, r.Method)
	}
	if r.Cells > 1 {
		line("cell", "%d of %d until %s, with %d of the peers", r.Cell, r.Cells, r.CellUntil.Local().Format(time.DateTime), r.CellPeers)
	}
	if r.EvalAt > 0 {
		goal := ""
		if r.Target > 0 {
			goal = fmt.Sprintf(", target %.2f %%", 100*r.Target)
			if r.Reached {
				goal += " reached"
			}
		}
		line("accuracy", "%.2f %% at round %d%s", 100*r.Accuracy, r.EvalAt, goal)
	}
	if r.Round > 0 {
		line("loss", "%.4f in training", r.Loss)
	}
	line("counts", "%s", r.Counts())
	if k := r.Records; k != nil {
		line("records", "%d known of %d nodes, %d missing, %d batches kept to pass on", k.Known, k.Logs, k.Missing, k.Kept)
		if k.Banned > 0 {
			line("banned", "%d of these nodes, from where they showed two versions of their records", k.Banned)
		}
		line("digest", "%s of the sums", k.Digest)
		line("model", "%s", k.Model)
	}
	if k := r.Walk; k != nil {
		line("tokens", "%d seen, %d here, %d neighbours to hand them to", len(k.Tokens), k.Held, k.Neighbours)
		for _, t := range k.Tokens {
			line(fmt.Sprintf("token %d", t.Token), "%d hops, generation %d, %s", t.Hops, t.Generation, t.Where(r.Peer))
		}
		if k.HandOver > 0 {
			line("hand-over", "took %s, the newest", k.HandOver.Round(time.Millisecond/10))
		}
		if k.ShownHops > 0 {
			line("model", "that of token %d after %d hops", k.Shown, k.ShownHops)
		}
	}
	if len(r.Rejected) > 0 {
		line("not taken", "from others: %s", daemon.Reasons(r.Rejected))
	}
	connected, known := len(r.Peers), len(r.Members)
	line("peers", "%d connected, members known: %d", connected, known)
	line("traffic", "%s sent, %s received", size(r.Sent), size(r.Received))
	line("uses", "%s of disk, %s of memory", size(r.Disk), size(r.Memory))
	for _, t := range r.Trouble {
		line("trouble", "%s", t)
	}
}

// size prints bytes with a unit.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
}
