//go:build !linux

package demo

import (
	"os"
	"os/exec"
)

// dieWithParent does nothing here: only Linux lets the kernel end the children of a process that was killed.
func dieWithParent(*exec.Cmd) {}

// interrupt asks a process to stop; where there are no signals it is killed, and its store recovers at the next start.
func interrupt(p *os.Process) {
	if p.Signal(os.Interrupt) != nil {
		p.Kill()
	}
}
