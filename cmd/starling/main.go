// Command starling trains one model on many machines that trust no server.
//
// Start with `starling demo`, which runs a whole swarm on this machine, and `starling join`, which takes part in a run.
// The command holds no logic of its own: each file is one command, and what it does is in the packages below.
//
// Exit codes: 0 done; 1 failed; 2 wrong usage; 3 the target was not reached; 4 no daemon is running; 130 interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"starling/node/daemon"
)

const (
	exitFailed      = 1
	exitUsage       = 2
	exitNotReached  = 3
	exitNotRunning  = 4
	exitInterrupted = 130
)

func main() {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup asks to outlive the terminal
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, stop) // who asks twice does not want to wait
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	var usage usageError
	var coded codedError
	switch {
	case errors.As(err, &coded):
		printError(errOut, err)
		return coded.code
	case errors.As(err, &usage):
		printError(errOut, err)
		fmt.Fprintf(errOut, "hint: starling %s--help shows how it is used\n", usage.command)
		return exitUsage
	case errors.Is(err, daemon.ErrNotRunning):
		printError(errOut, err)
		fmt.Fprintln(errOut, "hint: start it with `starling join LINK`, or name its home with --home")
		return exitNotRunning
	case ctx.Err() != nil:
		fmt.Fprintln(errOut, "interrupted")
		return exitInterrupted
	}
	printError(errOut, err)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		flag := "home"
		if cmd.Flag("home") == nil {
			flag = "out"
		}
		fmt.Fprintf(errOut, "hint: let this user write there, or name another directory with --%s\n", flag)
	}
	return exitFailed
}

func printError(w io.Writer, err error) { fmt.Fprintf(w, "error: %v\n", err) }

// A usageError is a mistake in the command line.
type usageError struct {
	command string // with a space behind it, or empty
	error
}

// A codedError carries an exit code of its own.
type codedError struct {
	code int
	error
}

func (e codedError) Unwrap() error { return e.error }

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "starling",
		Short: "Train one model on many machines that trust no server",
		Long: `Starling trains one model on many machines that trust no server. Every machine runs one daemon,
which trains on its own data, tells others what it learned, and mixes in what it hears.

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 demo: target not reached, sim real: no agreement; 4 no daemon is running; 130 interrupted.`,
		Example: `  starling demo                     # a swarm of eight on this machine, in a minute
  starling run create run.yaml      # make a run; prints its link
  starling join starling://…        # take part in a run`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError{commandName(cmd), flagError(err)} })
	root.AddCommand(demoCommand(), runCommand(), modelCommand(), joinCommand(), statusCommand(), peersCommand(), pauseCommand(), resumeCommand(), leaveCommand(),
		checkpointCommand(), scalarCommand(), simCommand(), versionCommand())
	wrapArgs(root)
	return root
}

// flagError says what a flag wants whose value is not a number, or too large.
func flagError(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	f := invalid.GetFlag()
	want := map[string]string{"uint64": "a whole number from 0 to 2^64-1", "int": "a whole number", "intSlice": "whole numbers, such as 3,7",
		"float64": "a number", "duration": "a duration, such as 90s or 5m"}[f.Value.Type()]
	if want == "" {
		return err
	}
	return fmt.Errorf("--%s %s: want %s", f.Name, invalid.GetValue(), want)
}

// wrapArgs makes a wrong number of arguments a usage error in every command.
func wrapArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{commandName(cmd), err}
			}
			return nil
		}
	}
	for _, c := range cmd.Commands() {
		wrapArgs(c)
	}
}

func commandName(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return ""
	}
	return commandName(cmd.Parent()) + cmd.Name() + " "
}
