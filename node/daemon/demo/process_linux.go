package demo

import (
	"os"
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel end the process when this one is gone, however it ended, and keeps a Ctrl-C at the
// terminal for this one, which stops the nodes in order.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
}

func interrupt(p *os.Process) { p.Signal(syscall.SIGTERM) }
