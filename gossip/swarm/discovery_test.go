package swarm

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"starling/gossip"
)

// reserve returns a TCP port of loopback that is free now, so that a node can be named before it starts: not one of those that systems give
// to outgoing connections, from 32768 on.
func reserve(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := 10000 + rand.IntN(22768)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port)
		}
	}
	t.Fatal("no free port")
	return ""
}

func at(addr string) func(*Config) { return func(c *Config) { c.Listen = []string{addr} } }

func full(addr string, n int) string { return addr + "/p2p/" + idOf(n).String() }

func TestNodesJoinBootstrapThatComesLate(t *testing.T) {
	addr := reserve(t)
	var nodes []*node
	for i := 1; i <= 3; i++ {
		nodes = append(nodes, start(t, i, with(full(addr, 0))))
	}
	defer stopAll(nodes)
	for _, n := range nodes {
		eventually(t, "the failure is told in plain words", func() bool {
			d := n.Bootstraps()[0]
			return strings.HasPrefix(d.LastError, "connection refused") && d.Attempts >= 2
		})
	}
	nodes = append(nodes, start(t, 0, at(addr)))
	for _, n := range nodes {
		eventually(t, "everybody knows everybody", func() bool { return len(n.Peers()) == 3 })
	}
	if d := nodes[0].Bootstraps()[0]; d.State != StateConnected || d.LastError != "" || d.Addr != full(addr, 0) {
		t.Errorf("bootstrap is shown as %+v", d)
	}
}

func TestSwarmStaysConnectedWithoutItsBootstrap(t *testing.T) {
	boot := start(t, 0)
	var nodes []*node
	for i := 1; i <= 5; i++ {
		nodes = append(nodes, start(t, i, with(boot.Addrs()...)))
	}
	defer stopAll(nodes)
	for _, n := range nodes {
		eventually(t, "everybody knows everybody", func() bool { return len(n.Peers()) == 5 })
	}
	boot.stop()
	for _, n := range nodes {
		eventually(t, "the bootstrap is missed", func() bool {
			return len(n.Peers()) == 4 && n.Bootstraps()[0].State != StateConnected
		})
		n.mu.Lock()
		events := slices.Clone(n.events)
		n.mu.Unlock()
		eventually(t, "its going is announced", func() bool {
			n.mu.Lock()
			defer n.mu.Unlock()
			return slices.Contains(n.events, boot.id.Short()+" false")
		})
		if !slices.Contains(events, boot.id.Short()+" true") {
			t.Errorf("the bootstrap's coming was not announced: %v", events)
		}
	}
	if c := components(nodes); c != 1 {
		t.Errorf("got %d components, want 1", c)
	}
}

func TestComponentsMergeAfterOneLink(t *testing.T) {
	var nodes []*node
	for c := range 2 {
		boot := start(t, 10*c)
		nodes = append(nodes, boot)
		for i := 1; i < 5; i++ {
			nodes = append(nodes, start(t, 10*c+i, with(boot.Addrs()...)))
		}
	}
	for _, n := range nodes {
		eventually(t, "each half is complete", func() bool { return len(n.Peers()) == 4 })
	}
	if c := components(nodes); c != 2 {
		t.Fatalf("got %d components before the link, want 2", c)
	}
	bridge := start(t, 20, with(nodes[0].Addrs()[0], nodes[5].Addrs()[0]))
	nodes = append(nodes, bridge)
	defer stopAll(nodes)
	for _, n := range nodes {
		eventually(t, "everybody knows everybody", func() bool { return len(n.Peers()) == 10 })
	}
	// The bridge is not needed any more.
	bridge.stop()
	if c := components(nodes[:10]); c != 1 {
		t.Errorf("got %d components without the bridge, want 1", c)
	}
}

// Thirty nodes with room for few peers each, so that nobody knows everybody; one of two bootstraps comes late and the
// other goes.
func TestThirtyNodesBecomeOneSwarm(t *testing.T) {
	late := reserve(t)
	first := start(t, 0, maxPeers(16))
	boots := with(first.Addrs()[0], full(late, 1))
	nodes := make([]*node, 28)
	var wg sync.WaitGroup
	for i := range nodes {
		wg.Go(func() { nodes[i] = start(t, 2+i, boots, maxPeers(16)) })
	}
	wg.Wait()
	defer func() { stopAll(nodes) }()
	began := time.Now()
	eventually(t, "28 nodes are one component", func() bool { return components(nodes) == 1 })
	t.Logf("one component after %v", time.Since(began).Round(time.Millisecond))
	nodes = append(nodes, start(t, 1, at(late), boots, maxPeers(16)))
	eventually(t, "the late bootstrap is part of it", func() bool {
		return components(nodes) == 1 && len(nodes[28].Peers()) > 0
	})
	t.Logf("the late bootstrap is in after %v", time.Since(began).Round(time.Millisecond))
	first.stop()
	began = time.Now()
	eventually(t, "one component without the first bootstrap, and everybody has peers", func() bool {
		for _, n := range nodes {
			if c := len(n.Peers()); c < 4 {
				return false
			}
		}
		return components(nodes) == 1
	})
	for i, n := range nodes {
		if c := len(n.Peers()); c > 16+2 {
			t.Errorf("node %d has %d peers, more than its cap of 16 and the bootstraps", i, c)
		}
	}
	t.Logf("healed in %v", time.Since(began).Round(time.Millisecond))
	for i, n := range nodes {
		eventually(t, fmt.Sprintf("node %d is in a mesh", i), func() bool { return meshed(n) > 0 })
	}
	if err := nodes[3].Publish(t.Context(), []byte("to all")); err != nil {
		t.Fatal(err)
	}
	for i, n := range nodes {
		if i != 3 {
			eventually(t, fmt.Sprintf("node %d has the message", i), func() bool { return n.count("to all") == 1 })
		}
	}
}

func TestFullNodeSendsNewcomersOn(t *testing.T) {
	boot := start(t, 0, maxPeers(4))
	nodes := []*node{boot}
	for i := 1; i <= 12; i++ {
		nodes = append(nodes, start(t, i, with(boot.Addrs()...), maxPeers(4)))
	}
	defer stopAll(nodes)
	eventually(t, "somebody was told that the bootstrap is full", func() bool {
		return value(t, boot.metrics.hellosRefused.WithLabelValues("full")) > 0
	})
	eventually(t, "everybody has peers and all are one component", func() bool {
		for _, n := range nodes {
			if len(n.Peers()) == 0 {
				return false
			}
		}
		return components(nodes) == 1
	})
	for i, n := range nodes {
		if c := len(n.Peers()); c > 5 {
			t.Errorf("node %d has %d peers, more than its cap of 4 and the bootstrap", i, c)
		}
	}
}

type memory struct {
	mu   sync.Mutex
	data []byte
}

func (m *memory) SavePeers(data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.data = slices.Clone(data)
	return nil
}

func (m *memory) LoadPeers() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.data, nil
}

func TestRememberedPeersAllowReturnWithoutBootstrap(t *testing.T) {
	store := new(memory)
	keep := func(c *Config) { c.Store = store }
	boot := start(t, 0)
	other := start(t, 1, with(boot.Addrs()...))
	n := start(t, 2, with(boot.Addrs()...), keep)
	eventually(t, "n knows both", func() bool { return len(n.Peers()) == 2 })
	n.stop()
	boot.stop()
	n = start(t, 2, with(boot.Addrs()...), keep)
	eventually(t, "n found the other again", func() bool { return len(n.Peers()) == 1 && n.Peers()[0].ID == other.id })
	n.stop()
	store.SavePeers([]byte("garbage"))
	n = start(t, 2, with(other.Addrs()...), keep)
	eventually(t, "a damaged memory is no obstacle", func() bool { return len(n.Peers()) == 1 })
}

func TestPeerOfAnotherRunIsRefusedWithReason(t *testing.T) {
	a := start(t, 0)
	b := start(t, 1, with(a.Addrs()...), func(c *Config) { c.Run = gossip.RunID{2} })
	eventually(t, "the dialler shows why", func() bool {
		d := b.Bootstraps()[0]
		return d.State == StateRefused && strings.HasPrefix(d.LastError, "other run: it trains 01000000")
	})
	eventually(t, "the dialled shows why", func() bool {
		d := a.Dials()
		return len(d) == 1 && d[0].Peer == b.id && d[0].Source == fromInbound && strings.HasPrefix(d[0].LastError, "other run: it trains 02000000")
	})
	eventually(t, "they hang up", func() bool { return len(a.Host().Network().Peers()) == 0 && len(b.Host().Network().Peers()) == 0 })
	if d := b.Bootstraps()[0]; time.Until(d.Next) < 30*time.Second {
		t.Errorf("it is dialled again in %v, want about a minute", time.Until(d.Next))
	}
	if len(a.Peers())+len(b.Peers()) != 0 {
		t.Error("they count each other as peers")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.events) != 0 {
		t.Errorf("events of a refused peer: %v", a.events)
	}
}

func TestDialErrorsAreInPlainWords(t *testing.T) {
	a := start(t, 0, func(c *Config) { c.Listen = []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"} })
	var tcp, quic string
	for _, addr := range a.Host().Addrs() {
		if strings.Contains(addr.String(), "quic") {
			quic = addr.String()
		} else {
			tcp = addr.String()
		}
	}
	for _, tt := range []struct{ name, addr, want string }{
		{"nobody there", full(reserve(t), 7), "connection refused"},
		{"another peer by tcp", full(tcp, 7), "peer ID mismatch: the address belongs to " + a.id.String()},
		{"another peer by quic", full(quic, 7), "peer ID mismatch: the address belongs to " + a.id.String()},
		{"silence", full("/ip4/127.0.0.1/udp/9/quic-v1", 7), "timed out"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := start(t, 1, with(tt.addr), func(c *Config) { c.timing.dial = 500 * time.Millisecond })
			defer n.stop()
			eventually(t, tt.want, func() bool { return strings.HasPrefix(n.Bootstraps()[0].LastError, tt.want) })
			d := n.Bootstraps()[0]
			if d.Addr != tt.addr || d.Peer != idOf(7) || d.Attempts == 0 {
				t.Errorf("got %+v", d)
			}
		})
	}
}

func TestOwnAddressAmongBootstrapsIsLeftAlone(t *testing.T) {
	addr := reserve(t)
	n := start(t, 0, at(addr), with(full(addr, 0)))
	other := start(t, 1, with(full(addr, 0)))
	eventually(t, "the other connects", func() bool { return len(n.Peers()) == 1 && len(other.Peers()) == 1 })
	if d := n.Bootstraps()[0]; d.State != StateSelf || d.Attempts != 0 {
		t.Errorf("got %+v, want self", d)
	}
}

func TestDHTFindsPeers(t *testing.T) {
	useDHT := func(c *Config) { c.DHT = true }
	boot := start(t, 0, useDHT)
	a := start(t, 1, useDHT, with(boot.Addrs()...))
	b := start(t, 2, useDHT, with(boot.Addrs()...))
	eventually(t, "they know one another", func() bool { return len(a.Peers()) == 2 && len(b.Peers()) == 2 })
}

// A peer may have many addresses, of networks that are not to be seen from here or of yesterday. While those are tried, one that answers must not
// be refused for them, nor have to wait until all have been tried.
func TestAPeerWithManyDeadAddressesIsReachedAtTheLivingOne(t *testing.T) {
	for _, dead := range []int{7, 20} {
		peer := start(t, 0)
		id := "/p2p/" + peer.Host().ID().String()
		var addrs []string
		for i := range dead { // where a packet is lost, and no connection refused
			l, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			addrs = append(addrs, fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1%s", l.LocalAddr().(*net.UDPAddr).Port, id))
			if i == dead/2 {
				addrs = append(addrs, peer.Addrs()...)
			}
		}
		n := start(t, 1, with(addrs...), func(c *Config) { c.timing.dial = time.Second })
		began := time.Now()
		eventually(t, "the peer is reached", func() bool { return len(n.Peers()) == 1 })
		for _, d := range n.Dials() {
			if strings.Contains(d.LastError, "limit") {
				t.Errorf("%s: %s", d.Addr, d.LastError)
			}
		}
		t.Logf("reached beside %d dead addresses after %s", dead, time.Since(began).Round(time.Millisecond))
		stopAll([]*node{n, peer})
	}
}
