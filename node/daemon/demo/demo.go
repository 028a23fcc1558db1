// Package demo runs a whole swarm on one machine: it creates a run, starts a daemon process for each node, each with a
// home of its own, joined by a link over loopback, and watches them until all have reached the target.
//
// Start with [Start] and [Swarm.Poll]. [Swarm.Kill] ends a node without warning and [Swarm.Launch] starts it again,
// for tests of what survives. The package trains nothing itself and draws nothing on the screen: the command does that.
//
// Commands and tests may import it.
package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"starling/gossip"
	"starling/node/daemon"
	"starling/node/manifest"
)

// Config says what to run.
type Config struct {
	Nodes    int
	Manifest manifest.Manifest
	Home     string   // directory; node i lives in Home/node-i
	Program  string   // the starling binary
	Args     []string // further arguments of `starling join`, for every node
	// Own are those of single nodes, such as which data each has; nil: none.
	Own   func(node int) []string
	Sites []Site // where the nodes are, one for each; none: all of them on loopback
}

// A Site is a place that a node runs in and is reached at. A site that is not this machine's own network, but a namespace,
// starts processes and opens connections inside of it.
type Site interface {
	Addr() netip.Addr // where others reach the node
	Start(*exec.Cmd) error
	Dial(ctx context.Context, network, addr string) (net.Conn, error)
}

// loopback is the site of nodes that were given none.
type loopback struct{ net.Dialer }

func (*loopback) Addr() netip.Addr          { return netip.AddrFrom4([4]byte{127, 0, 0, 1}) }
func (*loopback) Start(cmd *exec.Cmd) error { return cmd.Start() }

func (l *loopback) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return l.DialContext(ctx, network, addr)
}

// at returns where the node is.
func (n *Node) at() Site {
	if n.site == nil {
		return &loopback{}
	}
	return n.site
}

// MaxNodes is the largest swarm that is started on one machine.
const MaxNodes = 256

// Swarm is a running demo. It must not be used concurrently.
type Swarm struct {
	cfg   Config
	run   gossip.RunID
	link  gossip.Link
	nodes []*Node

	polled time.Time // when the nodes had answered last
}

// A Node is one daemon process and what was last heard from it.
type Node struct {
	Index  int
	Home   string
	Report daemon.Report
	Seen   bool // Report is from the process that runs now
	Silent bool // the process did not answer when it was asked last

	site   Site   // nil: loopback
	listen string // with port 0 until the first process has got one
	cmd    *exec.Cmd
	done   chan struct{} // closed when the process has ended
	err    error         // how; valid after done
}

// Prepare creates the run, an identity for each node, and the link, which names the first bootstraps nodes and the ports
// that they will have. It starts nothing.
func Prepare(cfg Config, bootstraps int) (*Swarm, error) {
	if cfg.Nodes < 1 || cfg.Nodes > MaxNodes {
		return nil, fmt.Errorf("%d nodes: want 1 to %d, each of which is a process of about 80 MiB", cfg.Nodes, MaxNodes)
	}
	if len(cfg.Sites) > 0 && len(cfg.Sites) != cfg.Nodes {
		return nil, fmt.Errorf("%d nodes and %d sites: want one for each", cfg.Nodes, len(cfg.Sites))
	}
	s := &Swarm{cfg: cfg}
	var addrs []string
	for i := range cfg.Nodes {
		n := &Node{Index: i, Home: filepath.Join(cfg.Home, fmt.Sprintf("node-%d", i))}
		if len(cfg.Sites) > 0 {
			n.site = cfg.Sites[i]
		}
		n.listen = netip.AddrPortFrom(n.at().Addr(), 0).String()
		s.nodes = append(s.nodes, n)
		if i >= bootstraps {
			continue
		}
		port := uint16(sitePort) // nothing else listens in a namespace
		if len(cfg.Sites) == 0 {
			var err error
			if port, err = freePort(); err != nil {
				return nil, err
			}
		}
		id, err := daemon.Identity(n.Home)
		if err != nil {
			return nil, err
		}
		n.listen = netip.AddrPortFrom(n.at().Addr(), port).String()
		if len(cfg.Sites) > 0 {
			// Over thin links a word is not to wait behind a blob, as it does in the one queue of a TCP connection.
			addrs = append(addrs, fmt.Sprintf("/ip4/%s/udp/%d/quic-v1/p2p/%s", n.at().Addr(), port, id))
		}
		addrs = append(addrs, fmt.Sprintf("/ip4/%s/tcp/%d/p2p/%s", n.at().Addr(), port, id))
	}
	link, err := daemon.CreateRun(s.nodes[0].Home, cfg.Manifest, nil)
	if err != nil {
		return nil, err
	}
	s.run = link.Run
	s.link = gossip.Link{Run: link.Run, Bootstrap: addrs}
	return s, nil
}

// sitePort is the port of the first nodes of a swarm that has sites.
const sitePort = 4150

// freePort finds a port of loopback that nobody uses for TCP or UDP. It may be used a while later only, so it is not one of those
// that systems give to outgoing connections, from 32768 on.
func freePort() (uint16, error) {
	const from, to = 10000, 32768
	for range 100 {
		port := from + rand.IntN(to-from)
		t, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		u, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		t.Close()
		if err == nil {
			u.Close()
			return uint16(port), nil
		}
	}
	return 0, errors.New("no port of 127.0.0.1 is free for both TCP and UDP")
}

// Start prepares and starts all nodes. When it fails it leaves nothing running.
func Start(cfg Config) (*Swarm, error) {
	s, err := Prepare(cfg, 1)
	if err != nil {
		return nil, err
	}
	for i := range s.nodes {
		if err := s.Launch(i); err != nil {
			return nil, errors.Join(err, s.Stop())
		}
	}
	return s, nil
}

// Nodes returns the nodes, ascending by index.
func (s *Swarm) Nodes() []*Node { return s.nodes }

// Link returns the link that the nodes were joined by.
func (s *Swarm) Link() gossip.Link { return s.link }

// Run returns the run's ID.
func (s *Swarm) Run() gossip.RunID { return s.run }

func (n *Node) logFile() string { return filepath.Join(n.Home, "log.txt") }

// Launch starts a node that is not running.
func (s *Swarm) Launch(i int) error {
	n := s.nodes[i]
	if n.cmd != nil {
		return fmt.Errorf("node %d is running", i)
	}
	if err := os.MkdirAll(n.Home, 0o700); err != nil {
		return fmt.Errorf("node %d: %w", n.Index, err)
	}
	log, err := os.OpenFile(n.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("node %d: %w", n.Index, err)
	}
	defer log.Close() // the process has its own handle
	args := []string{"join", s.link.String(), "--home", n.Home, "--listen", n.listen, "--shard", fmt.Sprint(n.Index), "--local"}
	args = append(args, s.cfg.Args...)
	if s.cfg.Own != nil {
		args = append(args, s.cfg.Own(i)...)
	}
	cmd := exec.Command(s.cfg.Program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	dieWithParent(cmd)
	if err := n.at().Start(cmd); err != nil {
		return fmt.Errorf("start node %d: %w", n.Index, err)
	}
	done := make(chan struct{})
	n.cmd, n.done, n.Seen, n.Silent = cmd, done, false, false
	go func() {
		n.err = cmd.Wait()
		close(done)
	}()
	return nil
}

// pollTimeout is how long a node may take to answer before it counts as silent.
const pollTimeout = 2 * time.Second

// Poll asks every node for its report, all at the same time. A node that does not answer keeps the old one; one whose process
// has ended is an error that quotes the end of its log.
func (s *Swarm) Poll(ctx context.Context) error {
	for _, n := range s.nodes {
		if n.cmd == nil {
			continue
		}
		select {
		case <-n.done:
			return fmt.Errorf("node %d stopped: %w\n%s", n.Index, n.err, n.logTail())
		default:
		}
	}
	short, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	var polls sync.WaitGroup
	for _, n := range s.nodes {
		if n.cmd != nil {
			polls.Go(func() { n.poll(short, s.run) })
		}
	}
	polls.Wait()
	s.polled = time.Now()
	return ctx.Err()
}

func (n *Node) poll(ctx context.Context, run gossip.RunID) {
	c, err := daemon.DialVia(daemon.RunDir(n.Home, run), n.at().Dial)
	if err != nil || c.PID() != n.cmd.Process.Pid {
		return // not up yet, or the file is that of a process before this one
	}
	r, err := c.Status(ctx)
	if n.Silent = err != nil; n.Silent {
		return
	}
	n.Report, n.Seen = r, true
	if port, ok := tcpPort(r.Addrs); ok {
		n.listen = net.JoinHostPort(n.at().Addr().String(), port)
	}
}

// Order tells a node that runs to pause, resume or leave, as [daemon.Client.Order] does.
func (s *Swarm) Order(ctx context.Context, i int, name string) error {
	n := s.nodes[i]
	c, err := daemon.DialVia(daemon.RunDir(n.Home, s.run), n.at().Dial)
	if err == nil {
		err = c.Order(ctx, name)
	}
	if err != nil {
		return fmt.Errorf("tell node %d to %s: %w", i, name, err)
	}
	return nil
}

// tcpPort finds the port in the first TCP multiaddr, so that a restarted node is found where it was.
func tcpPort(addrs []string) (string, bool) {
	for _, a := range addrs {
		if _, rest, ok := strings.Cut(a, "/tcp/"); ok {
			port, _, _ := strings.Cut(rest, "/")
			return port, true
		}
	}
	return "", false
}

// logTail returns the last lines of a node's log.
func (n *Node) logTail() string {
	const most = 8
	b, err := os.ReadFile(n.logFile())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

// Kill ends a node's process as a power cut would, and waits until it is gone.
func (s *Swarm) Kill(i int) error {
	n := s.nodes[i]
	if n.cmd == nil {
		return fmt.Errorf("node %d is not running", i)
	}
	if err := n.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill node %d: %w", i, err)
	}
	<-n.done
	n.cmd, n.Seen = nil, false
	return nil
}

// stopTimeout is how long nodes may take to save and say goodbye before they are killed.
const stopTimeout = 20 * time.Second

// Stop asks all nodes to leave and waits until every process has ended, by force if need be.
func (s *Swarm) Stop() error {
	for _, n := range s.nodes {
		if n.cmd != nil {
			interrupt(n.cmd.Process)
		}
	}
	late := time.After(stopTimeout)
	var errs []error
	for _, n := range s.nodes {
		if n.cmd == nil {
			continue
		}
		select {
		case <-n.done:
		case <-late:
			n.cmd.Process.Kill()
			<-n.done
			late = time.After(0)
			errs = append(errs, fmt.Errorf("node %d did not stop within %s and was killed: see %s", n.Index, stopTimeout, n.logFile()))
		}
		n.cmd = nil
	}
	return errors.Join(errs...)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
