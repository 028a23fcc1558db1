package thin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// lineDevice is the name of the TUN device in the hub.
const lineDevice = "delay"

// maxPacket is larger than what a TUN device with the usual MTU hands over.
const maxPacket = 4 << 10

// A line delays the packets between nodes: it reads what the hub sends into a TUN device and writes it back later.
type line struct {
	tun    *os.File
	delays [][]time.Duration
	work   sync.WaitGroup
	err    error // valid after close: why the line broke, if it did
}

// openLine makes the device in the hub's namespace; its packets wait until run.
func openLine(hub *space, delays [][]time.Duration) (*line, error) {
	var fd int
	err := hub.do(func() error {
		var err error
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		req, err := unix.NewIfreq(lineDevice)
		if err == nil {
			req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
		}
		if err != nil {
			unix.Close(fd)
			return fmt.Errorf("make a TUN device: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotPermitted, err)
	}
	return &line{tun: os.NewFile(uintptr(fd), "/dev/net/tun"), delays: delays}, nil
}

// run begins to delay.
func (l *line) run() {
	arrived := make(chan []byte, 256)
	l.work.Go(func() {
		defer close(arrived)
		l.err = l.read(arrived)
	})
	l.work.Go(func() { l.write(arrived) })
}

func (l *line) read(arrived chan<- []byte) error {
	buf := make([]byte, maxPacket)
	for {
		n, err := l.tun.Read(buf)
		if errors.Is(err, fs.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read packets to delay: %w", err)
		}
		if n > 0 {
			arrived <- append([]byte(nil), buf[:n]...)
		}
	}
}

// write gives packets back when they are due. What the kernel does not take is lost, as on any way.
func (l *line) write(arrived <-chan []byte) {
	var q queue
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case p, open := <-arrived:
			if !open {
				return
			}
			if from, to, ok := pair(p, len(l.delays)); ok {
				q.put(time.Now().Add(l.delays[from][to]), p)
			}
		case <-timer.C:
		}
		for {
			due, ok := q.next()
			if !ok {
				break
			}
			if wait := time.Until(due); wait > 0 {
				timer.Reset(wait)
				break
			}
			l.tun.Write(q.take())
		}
	}
}

// close ends the line and says why it broke, if it did before.
func (l *line) close() error {
	err := l.tun.Close()
	l.work.Wait()
	return errors.Join(l.err, err)
}
