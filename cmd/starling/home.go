package main

import (
	"github.com/spf13/cobra"

	"starling/node/daemon"
)

// homeFlags are what every command needs that looks at one run of one home.
type homeFlags struct {
	home, run string
}

func (f *homeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.home, "home", "", "directory of this node (default $XDG_DATA_HOME/starling)")
	cmd.Flags().StringVar(&f.run, "run", "", "run ID or the beginning of it; needed when the home holds several runs of which not exactly one is running")
}

// dir returns the directory of the run that the flags mean.
func (f *homeFlags) dir() (string, error) { return daemon.FindRun(f.home, f.run) }

// client connects to the daemon of the run that the flags mean.
func (f *homeFlags) client() (*daemon.Client, error) {
	dir, err := f.dir()
	if err != nil {
		return nil, err
	}
	return daemon.Dial(dir)
}
