package swarm

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"starling/gossip"
)

func value(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func TestRejectedMessagesCostScoreAndAreCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	a := start(t, 0, func(c *Config) {
		c.Registry = reg
		c.Validate = func(_ gossip.PeerID, data []byte) (Decision, string) {
			switch {
			case strings.HasPrefix(string(data), "bad"):
				return Reject, "poison"
			case strings.HasPrefix(string(data), "old"):
				return Ignore, "stale"
			}
			return Accept, ""
		}
	})
	b := start(t, 1, with(a.Addrs()...))
	eventually(t, "mesh", func() bool { return meshed(a) == 1 && meshed(b) == 1 })
	score := func() float64 {
		if p := a.Peers(); len(p) == 1 {
			return p[0].Score
		}
		return 0
	}
	send := func(text string) {
		t.Helper()
		if err := b.Publish(t.Context(), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	rejected := func(reason string) float64 { return value(t, a.metrics.rejected.WithLabelValues(reason)) }

	send("old news")
	eventually(t, "the stale message is counted", func() bool { return rejected("stale") == 1 })
	for i, want := range []float64{-50, -200, -450} {
		send(fmt.Sprint("bad ", i))
		eventually(t, fmt.Sprintf("after %d invalid messages the score is %v or less", i+1, want), func() bool {
			// A copy that comes while the first is being judged counts again, so it may be less.
			return score() < want+3
		})
		if i == 0 {
			eventually(t, "one invalid message prunes", func() bool { return meshed(a) == 0 })
		}
	}
	if got := rejected("poison"); got != 3 {
		t.Errorf("counted %v rejections for poison, want 3", got)
	}
	send("good, but too late")
	if err := b.Send(t.Context(), a.id, []byte("direct")); err != nil { // the pipe is flushed when this returns
		t.Fatal(err)
	}
	if a.count("good, but too late") != 0 {
		t.Error("a graylisted peer was heard")
	}
	got, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range got {
		names = append(names, f.GetName())
	}
	for _, want := range []string{"starling_swarm_rejected_total", "starling_swarm_mesh_peers", "starling_swarm_gossip_bytes_total", "libp2p_swarm_connections_opened_total", "libp2p_rcmgr_connections"} {
		if !strings.Contains(strings.Join(names, " "), want) {
			t.Errorf("metric %s is missing from %v", want, names)
		}
	}
}

func TestGraylistedPeerIsBannedAfterAWhile(t *testing.T) {
	a := start(t, 0, func(c *Config) { c.timing.banAfter = 300 * time.Millisecond })
	b := start(t, 1, with(a.Addrs()...))
	eventually(t, "b is up", func() bool { return len(a.Peers()) == 1 })
	a.SetScore(b.id, -1000)
	eventually(t, "b is out", func() bool { return len(a.Host().Network().Peers()) == 0 })
	eventually(t, "why is told", func() bool {
		d := a.Dials()
		return len(d) == 1 && d[0].State == StateRefused && strings.HasPrefix(d[0].LastError, "banned")
	})
	before := b.Bootstraps()[0].Attempts
	eventually(t, "b stays out", func() bool { return b.Bootstraps()[0].Attempts > before+1 })
	if len(a.Peers()) != 0 {
		t.Error("b is in again")
	}
}

// The table of the design: what invalid messages do to a peer, without and with a perfect past.
func TestInvalidMessagesCrossTheThresholdsOneByOne(t *testing.T) {
	p := TopicScore()
	params := scoreParams("t", nil, nil)
	for _, tt := range []struct {
		invalid                       float64
		pruned, noGossip, graylisted  bool
		prunedWithCredit, stillGossip bool
	}{
		{invalid: 0},
		{invalid: 1, pruned: true, prunedWithCredit: true, stillGossip: true},
		{invalid: 2, pruned: true, noGossip: true, prunedWithCredit: true},
		{invalid: 3, pruned: true, noGossip: true, graylisted: true, prunedWithCredit: true},
	} {
		t.Run(fmt.Sprint(tt.invalid), func(t *testing.T) {
			score := p.TopicWeight * p.InvalidMessageDeliveriesWeight * tt.invalid * tt.invalid
			credit := min(params.TopicScoreCap, p.TopicWeight*(p.FirstMessageDeliveriesWeight*p.FirstMessageDeliveriesCap+
				p.TimeInMeshWeight*p.TimeInMeshCap))
			if got := score < 0; got != tt.pruned {
				t.Errorf("pruned: got %v", got)
			}
			if got := score+credit < 0; got != tt.prunedWithCredit {
				t.Errorf("pruned in spite of credit: got %v", got)
			}
			if got := score < gossipScore; got != tt.noGossip {
				t.Errorf("no gossip: got %v", got)
			}
			if got := score < graylistScore; got != tt.graylisted {
				t.Errorf("graylisted: got %v", got)
			}
			// A good past must not buy a way over the next threshold.
			if got := score+credit < graylistScore; got != tt.graylisted {
				t.Errorf("graylisted in spite of credit: got %v", got)
			}
		})
	}
}

func TestScoreOfCoreIsClamped(t *testing.T) {
	n := start(t, 0, with(full(reserve(t), 5)))
	for _, tt := range []struct {
		peer     int
		set, got float64
	}{{1, -1e9, -400}, {1, 1e9, 40}, {1, 7, 7}, {5, 10, 210}, {5, 0, 200}} {
		n.SetScore(idOf(tt.peer), tt.set)
		if got := n.appScore(ToPeer(idOf(tt.peer))); got != tt.got {
			t.Errorf("peer %d set to %v: got %v, want %v", tt.peer, tt.set, got, tt.got)
		}
	}
}

// hostile is a running host that speaks the handshake but no honest gossip: its own gossipsub handlers are removed.
func hostile(t *testing.T, num int, victim *node) *node {
	t.Helper()
	h := start(t, num, with(victim.Addrs()...), func(c *Config) { c.Handlers = Handlers{} })
	eventually(t, "the hostile node is let in", func() bool { return len(victim.Peers()) > 0 && len(h.Peers()) > 0 })
	return h
}

func TestRawGossipGarbageDoesNotGrowMemory(t *testing.T) {
	a := start(t, 0)
	h := hostile(t, 1, a)
	frame := func(b []byte) []byte { return append(binary.AppendUvarint(nil, uint64(len(b))), b...) }
	rpc := func(r *pb.RPC) []byte {
		b, err := proto.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return frame(b)
	}
	random := make([]byte, 4096)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(random)
	var topics, grafts []byte
	{
		subs, control := new(pb.RPC), &pb.RPC{Control: new(pb.ControlMessage)}
		for i := range 500 {
			subs.Subscriptions = append(subs.Subscriptions, &pb.RPC_SubOpts{Subscribe: proto.Bool(true), Topicid: proto.String(fmt.Sprint("topic ", i))})
			control.Control.Graft = append(control.Control.Graft, &pb.ControlGraft{TopicID: proto.String(fmt.Sprint("topic ", i))})
			control.Control.Ihave = append(control.Control.Ihave, &pb.ControlIHave{TopicID: &a.cfg.Topic, MessageIDs: []string{fmt.Sprint(i)}})
		}
		topics, grafts = rpc(subs), rpc(control)
	}
	signed := rpc(&pb.RPC{Publish: []*pb.Message{{From: []byte("me"), Seqno: []byte{1}, Data: []byte("signed?"), Topic: &a.cfg.Topic, Signature: []byte("x"), Key: []byte("y")}}})
	huge := append(binary.AppendUvarint(nil, 1<<30), random...)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for round := range 60 {
		for _, bytes := range [][]byte{frame(random), topics, grafts, signed, huge, frame(nil), {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}} {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			st, err := h.Host().NewStream(network.WithNoDial(ctx, "test"), a.Host().ID(), pubsub.GossipSubID_v12)
			cancel()
			if err != nil {
				if len(a.Peers()) == 0 {
					eventually(t, "reconnected", func() bool { return len(a.Peers()) == 1 })
				}
				continue
			}
			for range 3 {
				if _, err := st.Write(bytes); err != nil {
					break
				}
			}
			if round%2 == 0 {
				st.Reset()
			} else {
				st.Close()
			}
		}
	}
	b := start(t, 2, with(a.Addrs()...))
	eventually(t, "mesh with an honest peer", func() bool { return meshed(b) > 0 && meshed(a) > 0 })
	if err := b.Publish(t.Context(), []byte("honest")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "honest gossip goes on", func() bool { return a.count("honest") == 1 })
	if a.count("signed?") != 0 {
		t.Error("a message with a gossipsub signature was delivered")
	}
	eventually(t, "memory is as before", func() bool {
		runtime.GC()
		runtime.ReadMemStats(&after)
		return after.HeapAlloc < before.HeapAlloc+(16<<20)
	})
	if n := len(a.pubsub.GetTopics()); n != 1 {
		t.Errorf("got %d topics, want 1", n)
	}
}

func TestHostilePeerListsAreBounded(t *testing.T) {
	a := start(t, 0)
	h := hostile(t, 1, a)
	entry := func(n int, addrs ...string) peerEntry {
		id := idOf(n)
		e := peerEntry{ID: id[:]}
		for _, text := range addrs {
			e.Addrs = append(e.Addrs, mustAddr(t, text))
		}
		return e
	}
	var many peerList
	for i := range maxEntries + 1 {
		many.Peers = append(many.Peers, entry(100+i, "/ip4/127.0.0.1/tcp/1"))
	}
	for _, tt := range []struct {
		name string
		data []byte
	}{
		{"garbage", []byte("not cbor")},
		{"too many", encode(many)},
		{"short id", encode(peerList{Peers: []peerEntry{{ID: []byte{1}}}})},
		{"deep", []byte(strings.Repeat("\x81", 1000))},
		{"array bomb", []byte{0xa1, 0x01, 0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := h.call(t.Context(), a.Host().ID(), protoPeers, tt.data, maxPeerList); err == nil {
				t.Error("the list was taken")
			}
		})
	}
	if d := a.Dials(); len(d) > 1 {
		t.Errorf("hostile entries were kept: %+v", d)
	}
	// Well-formed lies are heard up to a bound.
	for round := range 20 {
		var lies peerList
		for i := range maxEntries {
			lies.Peers = append(lies.Peers, entry(1000+round*maxEntries+i, "/ip4/127.0.0.1/tcp/1"))
		}
		if _, err := h.call(t.Context(), a.Host().ID(), protoPeers, encode(lies), maxPeerList); err != nil {
			t.Fatal(err)
		}
	}
	if d := a.Dials(); len(d) > maxTaught+1 {
		t.Errorf("%d lies of one peer were kept, want at most %d", len(d), maxTaught)
	}
}

func TestAddressesFromStrangersAreFiltered(t *testing.T) {
	s := &Swarm{cfg: &settings{}}
	const public, private, local = "/ip4/8.8.8.8/tcp/4150", "/ip4/10.0.0.7/tcp/4150", "/ip4/127.0.0.1/tcp/4150"
	for _, tt := range []struct {
		addr, remote string
		want         bool
	}{
		{public, public, true}, {private, public, false}, {local, public, false},
		{public, private, true}, {private, private, true}, {local, private, false},
		{public, local, true}, {private, local, true}, {local, local, true},
		{"/ip4/0.0.0.0/tcp/4150", local, false},
		{"/ip4/224.0.0.1/udp/4150/quic-v1", local, false},
		{"/ip4/127.0.0.1/tcp/0", local, false},
		{"/ip4/8.8.8.8/udp/53", public, false},
		{"/ip4/8.8.8.8/tcp/80/ws", public, false},
		{"/dns4/example.org/tcp/80", public, false},
		{"/ip4/8.8.8.8/tcp/4150/p2p/" + idOf(1).String() + "/p2p-circuit", public, false}, // relays are off
	} {
		if got := s.acceptable(maddr(t, tt.addr), maddr(t, tt.remote)); got != tt.want {
			t.Errorf("%s heard from %s: got %v, want %v", tt.addr, tt.remote, got, tt.want)
		}
	}
	s.cfg.Relay = true
	relayed := "/ip4/8.8.8.8/tcp/4150/p2p/" + idOf(1).String() + "/p2p-circuit"
	if !s.acceptable(maddr(t, relayed), maddr(t, public)) {
		t.Error("a relayed address is refused although relays are on")
	}
}
