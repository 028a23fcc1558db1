package swarm

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"starling/gossip"
)

func TestMain(m *testing.M) {
	if boot := os.Getenv(victimOf); boot != "" {
		if err := beVictim(boot); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// quick makes everything happen soon.
func quick() *timing {
	return &timing{
		retryFirst: 20 * time.Millisecond, retryCap: 200 * time.Millisecond, eager: time.Minute, calmCap: time.Second,
		refused: time.Minute, dial: 5 * time.Second, hello: 3 * time.Second, stream: 3 * time.Second,
		exchange: 150 * time.Millisecond, exchangeFor: time.Minute, exchangeCap: 300 * time.Millisecond, rotate: time.Minute,
		sweep: 100 * time.Millisecond, lobby: 500 * time.Millisecond, inspect: 200 * time.Millisecond, save: 50 * time.Millisecond, find: 300 * time.Millisecond,
		banAfter: time.Minute, banFor: time.Minute,
	}
}

// key is the same for the same number in every run of a test.
func key(n int) ed25519.PrivateKey {
	seed := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("swarm test"), uint64(n)))
	return ed25519.NewKeyFromSeed(seed[:])
}

func idOf(n int) (id gossip.PeerID) {
	copy(id[:], key(n).Public().(ed25519.PublicKey))
	return id
}

// A node is a swarm under test, running, and what it got.
type node struct {
	*Swarm
	id   gossip.PeerID
	stop func() // cancels Run, waits, closes; idempotent

	mu     sync.Mutex
	got    map[string]int
	direct []string
	events []string
}

func (n *node) count(text string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.got[text]
}

func config(num int, change ...func(*Config)) Config {
	cfg := Config{
		Key: key(num), Run: gossip.RunID{1}, UserAgent: fmt.Sprintf("test/%d", num),
		Listen: []string{"/ip4/127.0.0.1/tcp/0"}, timing: quick(),
	}
	for _, f := range change {
		f(&cfg)
	}
	return cfg
}

// start runs a node that takes every message, unless told otherwise.
func start(t *testing.T, num int, change ...func(*Config)) *node {
	t.Helper()
	n := &node{id: idOf(num), got: make(map[string]int)}
	cfg := config(num)
	cfg.Validate = func(gossip.PeerID, []byte) (Decision, string) { return Accept, "" }
	cfg.Deliver = func(_ context.Context, _ gossip.PeerID, data []byte) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.got[string(data)]++
	}
	cfg.Direct = func(_ context.Context, from gossip.PeerID, data []byte) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.direct = append(n.direct, from.Short()+" "+string(data))
	}
	cfg.PeerEvent = func(p gossip.PeerID, up bool) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.events = append(n.events, fmt.Sprint(p.Short(), " ", up))
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n.Swarm = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	t.Cleanup(n.stop)
	return n
}

func with(boots ...string) func(*Config) { return func(c *Config) { c.Bootstrap = boots } }

func maxPeers(n int) func(*Config) { return func(c *Config) { c.MaxPeers = n } }

// eventually polls until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 60 s: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// components counts the connected components of the nodes' own views.
func components(nodes []*node) int {
	root := make(map[gossip.PeerID]gossip.PeerID)
	for _, n := range nodes {
		root[n.id] = n.id
	}
	var find func(gossip.PeerID) gossip.PeerID
	find = func(p gossip.PeerID) gossip.PeerID {
		if root[p] != p {
			root[p] = find(root[p])
		}
		return root[p]
	}
	for _, n := range nodes {
		for _, p := range n.Peers() {
			if _, ours := root[p.ID]; ours {
				root[find(p.ID)] = find(n.id)
			}
		}
	}
	count := 0
	for p, r := range root {
		if p == r {
			count++
		}
	}
	return count
}

func meshed(n *node) int {
	count := 0
	for _, p := range n.Peers() {
		if p.InMesh {
			count++
		}
	}
	return count
}

func stopAll(nodes []*node) {
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(n.stop)
	}
	wg.Wait()
}

func TestMessageReachesEveryNodeOnce(t *testing.T) {
	for _, tt := range []struct{ transport, listen string }{
		{"tcp", "/ip4/127.0.0.1/tcp/0"},
		{"quic-v1", "/ip4/127.0.0.1/udp/0/quic-v1"},
	} {
		t.Run(tt.transport, func(t *testing.T) {
			listen := func(c *Config) { c.Listen = []string{tt.listen} }
			nodes := []*node{start(t, 0, listen)}
			for i := 1; i < 8; i++ {
				nodes = append(nodes, start(t, i, listen, with(nodes[0].Addrs()...)))
			}
			defer stopAll(nodes)
			for _, n := range nodes {
				eventually(t, "every node knows every other", func() bool { return len(n.Peers()) == 7 })
				eventually(t, "every node has a mesh", func() bool { return meshed(n) > 0 })
			}
			for i, n := range nodes {
				if err := n.Publish(t.Context(), fmt.Appendf(nil, "from %d", i)); err != nil {
					t.Fatal(err)
				}
			}
			for i := range nodes {
				for j, n := range nodes {
					want := 1
					if i == j {
						want = 0 // one's own message is not delivered to oneself
					}
					text := fmt.Sprint("from ", i)
					eventually(t, fmt.Sprintf("node %d has %q", j, text), func() bool { return n.count(text) == want })
				}
			}
			p := nodes[1].Peers()[0]
			if p.Transport != tt.transport || p.Relayed || p.BytesIn == 0 || p.Agent == "" || p.Since.IsZero() {
				t.Errorf("peer info is incomplete: %+v", p)
			}
		})
	}
}

func TestOversizeMessageIsRefusedBeforeGossip(t *testing.T) {
	n := start(t, 0)
	for _, tt := range []struct {
		name string
		err  error
		do   func() error
	}{
		{"publish", ErrTooLarge, func() error { return n.Publish(t.Context(), make([]byte, maxMessage+1)) }},
		{"send", ErrTooLarge, func() error { return n.Send(t.Context(), idOf(1), make([]byte, 1<<20+1)) }},
		{"manifest", ErrTooLarge, func() error { return n.SetManifest(make([]byte, maxMessage+1)) }},
		{"largest publish", nil, func() error { return n.Publish(t.Context(), make([]byte, maxMessage)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.do(); !is(err, tt.err) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
		})
	}
}

func TestLargestMessageIsDelivered(t *testing.T) {
	a := start(t, 0)
	b := start(t, 1, with(a.Addrs()...))
	eventually(t, "mesh", func() bool { return meshed(a) == 1 && meshed(b) == 1 })
	data := make([]byte, maxMessage)
	if err := b.Publish(t.Context(), data); err != nil {
		t.Fatal(err)
	}
	eventually(t, "delivery", func() bool { return a.count(string(data)) == 1 })
}
