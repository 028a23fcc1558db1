package main

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"starling/gossip"
	"starling/node/daemon"
)

func joinCommand() *cobra.Command {
	cfg := daemon.DefaultConfig()
	var verbose bool
	cmd := &cobra.Command{
		Use:   "join LINK",
		Short: "Take part in a run",
		Long: `Take part in a run: train on this machine's share of the data, tell others, and mix in what they tell. It goes on
until Ctrl-C or "starling leave"; a later join of the same link goes on from the newest checkpoint.

Everything is kept in the home directory. Settings may stand in its config.yaml under the names of the flags.`,
		Example: `  starling join starling://…
  starling join starling://… --threads 1 --upload 500KiB --disk 2GiB
  starling join starling://… --model SmolLM2-135M-Instruct --data jsonl:questions.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := cfg.Load(cmd.Flags().Changed); err != nil {
				return err
			}
			if _, err := gossip.ParseLink(args[0]); err != nil {
				return usageError{commandName(cmd), err}
			}
			if err := cfg.Validate(); err != nil {
				return usageError{commandName(cmd), err}
			}
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			handler := slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level})
			cfg.Logger = slog.New(handler)
			daemon.QuietLibraries(handler)
			if cfg.Threads > 0 {
				runtime.GOMAXPROCS(max(cfg.Threads, 1))
			}
			// The daemon shares the machine: a tighter collector keeps what stands idle small.
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(50)
			}
			d, err := daemon.Open(args[0], cfg)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "joining run %s as %s\n", d.Run(), d.Peer())
			if err := d.Serve(cmd.Context()); err != nil {
				return codedError{exitFailed, err} // also after Ctrl-C: something was lost
			}
			fmt.Fprintln(cmd.OutOrStdout(), "left; join again with the same link to go on from here")
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Home, "home", cfg.Home, "directory of this node (default $XDG_DATA_HOME/starling)")
	f.StringSliceVar(&cfg.Listen, "listen", cfg.Listen, "addresses to listen on for QUIC and TCP, as host:port")
	f.StringVar(&cfg.Metrics, "metrics", cfg.Metrics, "loopback address of the metrics and status server")
	f.IntVar(&cfg.Threads, "threads", cfg.Threads, "processor cores to use at most (0: all)")
	f.StringVar(&cfg.Upload, "upload", cfg.Upload, "bytes a second to send at most, as 500KiB (0: no limit)")
	f.StringVar(&cfg.Download, "download", cfg.Download, "bytes a second to receive at most (0: no limit)")
	f.StringVar(&cfg.Disk, "disk", cfg.Disk, "bytes of disk to use at most")
	f.IntVar(&cfg.Shard, "shard", cfg.Shard, "which part of the run's data to train on (-1: chosen by this node's key)")
	f.StringVar(&cfg.Data, "data", cfg.Data, "own data in place of the run's: idx:DIR, csv:FILE, text:FILE or jsonl:FILE")
	f.StringVar(&cfg.Model, "model", cfg.Model, "the model that the run starts from: directory or GGUF file of a published one, or a safetensors file of weights")
	f.BoolVar(&cfg.MDNS, "mdns", cfg.MDNS, "find peers on the local network")
	f.BoolVar(&cfg.DHT, "dht", cfg.DHT, "find peers through a distributed hash table of the run")
	f.BoolVar(&cfg.NAT, "nat", cfg.NAT, "ask the router for a port, punch holes and use relays")
	f.BoolVar(&cfg.Local, "local", cfg.Local, "stay on this machine: no mDNS, no NAT")
	f.BoolVar(&cfg.Paused, "paused", cfg.Paused, "join without training until resumed: listen, serve and relay")
	f.BoolVar(&verbose, "verbose", false, "log every message")
	return cmd
}
