package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
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
		if r.OfText {
			line("held out", "perplexity %.3f at round %d, %.2f %% of tokens foretold%s", math.Exp(r.EvalLoss), r.EvalAt, 100*r.Accuracy, goal)
		} else {
			line("accuracy", "%.2f %% at round %d%s", 100*r.Accuracy, r.EvalAt, goal)
		}
	}
	if r.Round > 0 {
		line("loss", "%.4f in training", r.Loss)
	}
	line("counts", "%s", r.Counts())
	if k := r.Records; k != nil {
		printRecords(line, k)
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

// printRecords says what a node of the method scalar has heard, and from whom.
func printRecords(line func(key, format string, args ...any), k *daemon.RecordReport) {
	missing := "none missing"
	if k.Missing > 0 {
		missing = fmt.Sprintf("%d missing that the peer heard of last has", k.Missing)
	}
	line("records", "%d known, %s; %d batches kept to pass on", k.Known, missing, k.Kept)
	const most = 8
	var parts []string
	for i, l := range k.Nodes {
		if i == most {
			parts = append(parts, fmt.Sprintf("and of %d others: see starling status --json", len(k.Nodes)-most))
			break
		}
		parts = append(parts, logText(i == 0, l))
	}
	line("by node", "%s", strings.Join(parts, ", "))
	if k.Banned > 0 {
		line("banned", "%d of these nodes, from where they showed two versions of their records", k.Banned)
	}
	if c := k.Checks; c != nil {
		line("checks", "%s", checksText(c, k.Nodes))
	}
	if k.Epochs != nil {
		line("epochs", "%s", k.Epochs)
	}
	line("sums", "%s; nodes with equal sums have equal models", k.Digest)
	line("model", "%s of the weights, without what has come in the meantime if the node trains", k.Model)
}

// checksText says whether others' records are what this node measures, too.
func checksText(c *daemon.CheckReport, logs []daemon.LogReport) string {
	text := fmt.Sprintf("%d of others' records measured again, all right", c.Right)
	if c.Wrong > 0 {
		var by []string
		for _, l := range logs {
			if l.Wrong > 0 {
				by = append(by, fmt.Sprintf("%d of %s", l.Wrong, shortPeer(l.Peer)))
			}
		}
		text = fmt.Sprintf("%d of others' records measured again are right, and wrong are %s", c.Right, strings.Join(by, ", "))
	}
	if c.Unanswered > 0 {
		text += fmt.Sprintf("; %d times the author gave no answer", c.Unanswered)
	}
	if c.Unable > 0 {
		text += fmt.Sprintf("; %d could not be, for lack of older records", c.Unable)
	}
	return text
}

func logText(first bool, l daemon.LogReport) string {
	who := shortPeer(l.Peer)
	switch {
	case first:
		who = "this node"
	case l.Peer == "":
		who = "somebody never heard of but in sums"
	}
	text := fmt.Sprintf("%d of %s", l.Known, who)
	switch {
	case l.Banned:
		text += " (banned)"
	case l.Missing > 0:
		text += fmt.Sprintf(" (%d missing)", l.Missing)
	}
	return text
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
