package swarm

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
	"golang.org/x/time/rate"

	"starling/gossip"
)

func TestSlowNodeDropsAndCountsButBlocksNobody(t *testing.T) {
	release := make(chan struct{})
	slow := start(t, 0, func(c *Config) {
		c.Queue = 8
		c.Deliver = func(ctx context.Context, _ gossip.PeerID, _ []byte) {
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
	})
	quickOne := start(t, 1, with(slow.Addrs()...))
	author := start(t, 2, with(slow.Addrs()...), func(c *Config) { c.PublishRate = 1000 })
	for _, n := range []*node{slow, quickOne, author} {
		eventually(t, "mesh", func() bool { return meshed(n) == 2 })
	}
	for i := range 50 { // one after another, so that no other queue overflows
		text := fmt.Sprint("message ", i)
		if err := author.Publish(t.Context(), []byte(text)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the other node has it", func() bool { return quickOne.count(text) == 1 })
	}
	// One is being delivered and eight wait.
	eventually(t, "the rest is dropped and counted", func() bool { return value(t, slow.metrics.undeliverable) == 50-1-8 })
	close(release)
}

func TestOwnMessagesDoNotFillTheQueue(t *testing.T) {
	n := start(t, 0, func(c *Config) { c.Queue, c.PublishRate = 4, 1000 })
	for i := range 100 {
		if err := n.Publish(t.Context(), fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	if got := value(t, n.metrics.undeliverable); got != 0 {
		t.Errorf("%v of a node's own messages were dropped on the way to itself", got)
	}
}

func TestPublishIsPaced(t *testing.T) {
	n := start(t, 0, func(c *Config) { c.PublishRate = 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	sent := 0
	for ; sent < 10; sent++ {
		if err := n.Publish(ctx, fmt.Append(nil, sent)); err != nil {
			break
		}
	}
	if sent != 2 {
		t.Errorf("published %d at once at 1 a second, want the burst of 2", sent)
	}
}

func TestUploadLimitHoldsDirectMessages(t *testing.T) {
	limit := rate.NewLimiter(1, 1000) // a thousand bytes, then nothing to speak of
	a := start(t, 0)
	b := start(t, 1, with(a.Addrs()...), func(c *Config) { c.Upload = limit })
	eventually(t, "up", func() bool { return len(b.Peers()) == 1 })
	if err := b.Send(t.Context(), a.id, make([]byte, 900)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := b.Send(ctx, a.id, make([]byte, 900)); err == nil {
		t.Error("the second message passed the limit")
	}
}

// The limiters of these tests give a burst and then nothing, so that no clock decides.
const (
	limitBurst   = 64 << 10
	limitMessage = 32 << 10
	limitCount   = 100
)

func TestDownloadLimitHoldsGossipAndBlocksNobodyElse(t *testing.T) {
	author := start(t, 0, func(c *Config) { c.PublishRate = 1000 })
	free := start(t, 1, with(author.Addrs()...))
	capped := start(t, 2, with(author.Addrs()...), func(c *Config) { c.Download = rate.NewLimiter(1, limitBurst) })
	for _, n := range []*node{author, free, capped} {
		eventually(t, "mesh", func() bool { return meshed(n) == 2 })
	}
	for i := range limitCount {
		body := make([]byte, limitMessage) // a new one each: it is sent while the next is made
		body[0] = byte(i)
		if err := author.Publish(t.Context(), body); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the free node has it", func() bool { return free.count(string(body)) == 1 })
	}
	// The windows of two streams may fill before the senders wait.
	const most = limitBurst + 2*(256<<10) + (64 << 10)
	if in, _ := capped.Traffic(); in > most {
		t.Errorf("received %d bytes of %d with a limit of %d and its windows", in, limitCount*limitMessage, most)
	}
	if err := author.Send(t.Context(), free.id, []byte("hello")); err != nil {
		t.Errorf("the author is held up: %v", err)
	}
}

func TestUploadLimitHoldsWhatGossipWrites(t *testing.T) {
	a := start(t, 0)
	b := start(t, 1, with(a.Addrs()...), func(c *Config) { c.Upload = rate.NewLimiter(1, limitBurst) })
	eventually(t, "up", func() bool { return len(b.Peers()) == 1 })
	a.Host().SetStreamHandler("/test", func(st network.Stream) { io.Copy(io.Discard, st) })
	st, err := b.gossipHost().NewStream(t.Context(), ToPeer(a.id), "/test")
	if err != nil {
		t.Fatal(err)
	}
	written, ended := 0, make(chan struct{})
	go func() {
		defer close(ended)
		for range limitCount {
			st.SetWriteDeadline(time.Now().Add(time.Minute))
			n, err := st.Write(make([]byte, limitMessage))
			if written += n; err != nil {
				return
			}
		}
	}()
	eventually(t, "something is written", func() bool { _, out := b.Traffic(); return out >= limitMessage })
	b.stop()
	<-ended
	if written > limitBurst {
		t.Errorf("%d bytes were written with a limit of %d", written, limitBurst)
	}
}

func TestWhatIsPublishedIsPaidForOnce(t *testing.T) {
	const burst = 10 * limitMessage
	limit := rate.NewLimiter(1, burst)
	peer := start(t, 0)
	author := start(t, 1, with(peer.Addrs()...), func(c *Config) { c.Upload, c.PublishRate = limit, 1000 })
	eventually(t, "mesh", func() bool { return meshed(author) == 1 && meshed(peer) == 1 })
	for i := range 8 {
		body := make([]byte, limitMessage)
		body[0] = byte(i)
		if err := author.Publish(t.Context(), body); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it arrives", func() bool { return peer.count(string(body)) == 1 })
	}
	if left := limit.Tokens(); left < limitMessage/2 {
		t.Errorf("%.0f of %d tokens are left after 8 messages of %d", left, burst, limitMessage)
	}
}

func TestTakeServesMoreThanOneBurst(t *testing.T) {
	l := rate.NewLimiter(1e6, 100)
	if err := take(t.Context(), l, 1050); err != nil {
		t.Fatal(err)
	}
	if err := take(t.Context(), rate.NewLimiter(1, 0), 1); err == nil {
		t.Error("a limiter without burst gave a token")
	}
	if err := take(t.Context(), nil, 1<<40); err != nil {
		t.Errorf("no limiter: %v", err)
	}
}

func TestEventsOfAPeerAlternate(t *testing.T) {
	a := start(t, 0)
	for range 3 {
		b := start(t, 1, with(a.Addrs()...))
		eventually(t, "up", func() bool { return len(a.Peers()) == 1 })
		b.stop()
		eventually(t, "down", func() bool { return len(a.Peers()) == 0 })
	}
	up, down := idOf(1).Short()+" true", idOf(1).Short()+" false"
	eventually(t, "the last going is announced", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.events)%2 == 0 && len(a.events) >= 2
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, e := range a.events {
		if want := []string{up, down}[i%2]; e != want {
			t.Fatalf("event %d is %q, want %q: %q", i, e, want, a.events)
		}
	}
}

func TestRelayedPeerIsShownAsRelayedAndGetsDirectMessages(t *testing.T) {
	relayed := func(c *Config) { c.Relay = true }
	hub := start(t, 0)
	service, err := relay.New(hub.Host())
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	hidden := start(t, 1, with(hub.Addrs()...), relayed, func(c *Config) { c.MaxPeers = 4 })
	eventually(t, "the hidden node is at the hub", func() bool { return len(hidden.Peers()) == 1 })
	if _, err := client.Reserve(t.Context(), hidden.Host(), hub.Host().Peerstore().PeerInfo(hub.Host().ID())); err != nil {
		t.Fatal(err)
	}
	addr := hub.Addrs()[0] + "/p2p-circuit/p2p/" + hidden.id.String()
	far := start(t, 2, with(addr), relayed)
	// They would find a direct way, sometimes at once, from what the hub tells them.
	for _, n := range []*node{hidden, far} {
		network := n.Host().Network()
		direct := slices.DeleteFunc(network.ListenAddresses(), isRelayed)
		network.(interface{ ListenClose(...ma.Multiaddr) }).ListenClose(direct...)
	}
	eventually(t, "the far node reaches it through the hub, and says so", func() bool {
		for _, c := range far.Host().Network().ConnsToPeer(hidden.Host().ID()) {
			if !isRelayed(c.RemoteMultiaddr()) {
				c.Close()
			}
		}
		return slices.ContainsFunc(far.Peers(), func(p PeerInfo) bool {
			return p.ID == hidden.id && p.Relayed && p.Transport == "p2p-circuit" && !p.InMesh
		})
	})
	if err := far.Send(t.Context(), hidden.id, []byte("through the hub")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the message is there", func() bool {
		hidden.mu.Lock()
		defer hidden.mu.Unlock()
		return slices.Contains(hidden.direct, far.id.Short()+" through the hub")
	})
}

func TestMDNSAndRelayStartAndStopCleanly(t *testing.T) {
	n := start(t, 0, func(c *Config) { c.MDNS, c.Relay = true, true })
	other := start(t, 1, with(n.Addrs()...), func(c *Config) { c.MDNS, c.Relay = true, true })
	eventually(t, "they are up", func() bool { return len(other.Peers()) == 1 })
	other.stop()
	n.stop()
}

// What an idle node costs: the figures of the package's users, printed with -v; the bound is generous.
func TestIdleNodesStaySmall(t *testing.T) {
	const count = 20
	measure := func() (uint64, int) {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse, runtime.NumGoroutine()
	}
	mem0, g0 := measure()
	nodes := []*node{start(t, 0)}
	for i := 1; i < count; i++ {
		nodes = append(nodes, start(t, i, with(nodes[0].Addrs()...)))
	}
	defer stopAll(nodes)
	for _, n := range nodes {
		eventually(t, "everybody knows everybody", func() bool { return len(n.Peers()) == count-1 })
	}
	mem1, g1 := measure()
	each := float64(mem1-mem0) / count / (1 << 20)
	t.Logf("a node with %d peers: %.2f MiB of heap and stacks, %d goroutines", count-1, each, (g1-g0)/count)
	if each > 8 {
		t.Errorf("a node takes %.1f MiB, want at most 8", each)
	}
}
