package thin

import (
	"context"
	"os"
	"os/exec"
	"syscall"
)

// againVar is set for a program that was started by Again.
const againVar = "STARLING_THIN_AGAIN"

// Again returns a command that runs this program once more, with the same arguments, where a user who is not root may make
// network namespaces: as root of a user namespace of its own. It is nil for root, who needs none, and where that was tried.
func Again(ctx context.Context) *exec.Cmd {
	if os.Geteuid() == 0 || os.Getenv(againVar) != "" {
		return nil
	}
	program, err := os.Executable()
	if err != nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, program, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), againVar+"=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	return cmd
}
