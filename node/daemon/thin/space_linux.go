package thin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// A space is a network namespace. It has no name: it is that of a thread, and ends with the last thread, process or socket in it.
type space struct {
	thread int // its number, by which devices are moved here
	calls  chan func()
	ended  chan struct{}
}

// newSpace makes an empty namespace with its loopback up.
func newSpace() (*space, error) {
	s := &space{calls: make(chan func()), ended: make(chan struct{})}
	made := make(chan error)
	go s.live(made)
	if err := <-made; err != nil {
		return nil, err
	}
	if err := s.ip("link set lo up"); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// live moves its thread into a new namespace and makes calls there until it is closed. The thread ends with it.
func (s *space) live(made chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		// The first thread is the one that /proc/self speaks of, and cannot end: leave it alone, and keep it until another is
		// there, so that it is not chosen again.
		another := make(chan error)
		go s.live(another)
		made <- <-another
		runtime.UnlockOSThread()
		return
	}
	defer close(s.ended)
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		close(s.calls)
		made <- fmt.Errorf("%w: make a network namespace: %w", ErrNotPermitted, err)
		return
	}
	s.thread = unix.Gettid()
	made <- nil
	for call := range s.calls {
		call()
	}
}

// do makes a call in the namespace: what it opens and starts is there.
func (s *space) do(call func() error) (err error) {
	done := make(chan struct{})
	s.calls <- func() {
		defer close(done)
		err = call()
	}
	<-done
	return err
}

func (s *space) close() {
	close(s.calls)
	<-s.ended
}

// ip and tc carry out commands of iproute2, a line each.
func (s *space) ip(lines ...string) error { return s.batch("ip", lines) }
func (s *space) tc(lines ...string) error { return s.batch("tc", lines) }

func (s *space) batch(program string, lines []string) error {
	cmd := exec.Command(program, "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	var text []byte
	err := s.do(func() (err error) {
		text, err = cmd.CombinedOutput()
		return err
	})
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%w: there is no program %s: install iproute2", ErrNotPermitted, program)
	case err != nil:
		return fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(string(text)))
	}
	return nil
}

// A site is a namespace with a node in it.
type site struct {
	*space
	addr netip.Addr
}

// Addr is where other nodes of the network reach this one.
func (s *site) Addr() netip.Addr { return s.addr }

// Start starts a process inside.
func (s *site) Start(cmd *exec.Cmd) error { return s.do(cmd.Start) }

// Dial opens a connection from inside, such as one to loopback there. addr holds an IP address.
func (s *site) Dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	if _, err := netip.ParseAddrPort(addr); err != nil {
		return nil, err // a name would be looked up by another thread
	}
	err = s.do(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}
