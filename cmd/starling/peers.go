package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"starling/node/daemon"
)

func peersCommand() *cobra.Command {
	var f homeFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "peers",
		Short:   "Show who is connected, and why others are not",
		Example: "  starling peers",
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
				return printJSON(cmd.OutOrStdout(), map[string]any{"peers": r.Peers, "members": r.Members, "dials": r.Dials})
			}
			printPeers(cmd.OutOrStdout(), r)
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

func printPeers(w io.Writer, r daemon.Report) {
	members := make(map[string]daemon.MemberReport, len(r.Members))
	for _, m := range r.Members {
		members[m.Peer] = m
	}
	logs := make(map[string]daemon.LogReport)
	if r.Records != nil {
		for _, l := range r.Records.Nodes {
			logs[l.Peer] = l
		}
	}
	if len(r.Peers) == 0 {
		fmt.Fprintln(w, "nobody is connected")
	} else {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		counts, progress := "ROUND\tMIXED", func(m daemon.MemberReport) string { return fmt.Sprintf("%d\t%d/%d", m.Round, m.Mixed, m.Updates) }
		if r.Records != nil {
			counts, progress = "RECORDS\tMISSING", func(m daemon.MemberReport) string {
				l := logs[m.Peer]
				return fmt.Sprintf("%d\t%d", l.Known, l.Missing)
			}
		}
		fmt.Fprintf(t, "PEER\t%s\tSCORE\tPING\tSENT\tRECEIVED\tFOR\tWAY\n", counts)
		for _, p := range r.Peers {
			way := p.Transport
			if p.Relayed {
				way = "relayed: no gossip until a direct way is found"
			} else if p.Inbound {
				way += " in"
			} else {
				way += " out"
			}
			fmt.Fprintf(t, "%s\t%s\t%.0f\t%s\t%s\t%s\t%s\t%s\n", shortPeer(p.Peer), progress(members[p.Peer]), p.Score,
				p.Latency.Round(100*time.Microsecond), size(p.Sent), size(p.Received), time.Since(p.Since).Round(time.Second), way)
		}
		t.Flush()
	}
	var others int
	connected := make(map[string]bool)
	for _, p := range r.Peers {
		connected[p.Peer] = true
	}
	for _, m := range r.Members {
		if !connected[m.Peer] && !m.Gone {
			others++
		}
	}
	if others > 0 {
		fmt.Fprintf(w, "%d more heard of through others\n", others)
	}
	for _, d := range r.Dials {
		if d.Error == "" {
			continue
		}
		next := ""
		if !d.Next.IsZero() {
			next = fmt.Sprintf("; next try in %s", max(0, time.Until(d.Next)).Round(time.Second))
		}
		fmt.Fprintf(w, "%s: %s%s\n", d.Addr, d.Error, next)
	}
}

func shortPeer(id string) string { return id[max(0, len(id)-8):] }
