package swarm

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"starling/gossip"
)

// A buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func overQUIC(c *Config) { c.Listen, c.PublishRate = []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, 1000 }

// victimOf is the variable that makes the test binary a node, the victim of the test below: the address of its bootstrap.
const victimOf = "STARLING_TEST_VICTIM_OF"

// beVictim is a node until its input ends or it is killed.
func beVictim(boot string) error {
	s, err := New(config(2, overQUIC, with(boot), func(c *Config) {
		c.Validate = func(gossip.PeerID, []byte) (Decision, string) { return Accept, "" }
		c.Deliver = func(context.Context, gossip.PeerID, []byte) {}
	}))
	if err != nil {
		return err
	}
	go s.Run(context.Background())
	for s.countUp() == 0 {
		<-time.After(5 * time.Millisecond)
	}
	fmt.Println("victim is up")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// A process that is killed closes no QUIC connection. Its peers must not wait for time to tell before they hear it again.
func TestARestartedPeerIsHeardWhileItsOldConnectionSeemsOpen(t *testing.T) {
	var log buffer
	b := start(t, 1, overQUIC, func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), victimOf+"="+b.Addrs()[0])
	in, err := victim.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	for up := bufio.NewScanner(out); !strings.Contains(up.Text(), "victim is up"); {
		if !up.Scan() {
			t.Fatal("the victim has not come up")
		}
	}
	eventually(t, "the victim is a peer", func() bool { return b.countUp() == 1 })
	victim.Process.Kill()
	victim.Wait()

	after := start(t, 2, overQUIC, with(b.Addrs()[0]))
	n := 0
	heard := func(from, to *node) bool {
		n++
		if err := from.Publish(t.Context(), fmt.Appendf(nil, "%d", n)); err != nil {
			t.Fatal(err)
		}
		to.mu.Lock()
		defer to.mu.Unlock()
		return len(to.got) > 0
	}
	eventually(t, "the new process is heard", func() bool { return heard(after, b) })
	eventually(t, "the new process hears", func() bool { return heard(b, after) })
	if !strings.Contains(log.String(), "peer restarted") {
		t.Error("the old connection was not closed for the new process")
	}
	eventually(t, "the restart is told", func() bool { return b.wentAndCame(after.id) })
}

// wentAndCame reports whether the node was told that a peer is up, that it is not, and last that it is.
func (n *node) wentAndCame(peer gossip.PeerID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	up, down := peer.Short()+" true", peer.Short()+" false"
	k := len(n.events)
	return k >= 3 && n.events[0] == up && n.events[1] == down && n.events[k-1] == up
}

func TestAPeerThatGossipLostSightOfIsMetAnew(t *testing.T) {
	b := start(t, 1, cells)
	a := start(t, 2, cells, with(b.Addrs()[0]))
	// As after a lost race in gossipsub: the peer has told of the topic, and gossipsub does not know.
	if err := a.Move(gossip.Topic(a.cfg.Run, 1), nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the peer is in another topic", func() bool { return b.filter.told(a.Host().ID(), gossip.Topic(a.cfg.Run, 1)) })
	b.filter.mu.Lock()
	b.filter.of[a.Host().ID()] = append(b.filter.of[a.Host().ID()], gossip.Topic(b.cfg.Run, 0))
	b.filter.mu.Unlock()
	eventually(t, "it goes and comes", func() bool { return b.wentAndCame(a.id) })
	if b.filter.told(a.Host().ID(), gossip.Topic(b.cfg.Run, 0)) {
		t.Error("what the peer told before it went is still believed")
	}
}
