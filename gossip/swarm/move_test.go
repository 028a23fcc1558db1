package swarm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"

	"starling/gossip"
)

// cells gives a node the topics of a run with cells.
func cells(c *Config) {
	c.Topic = gossip.Topic(c.Run, 0)
	c.Topics = func(topic string) bool { return gossip.IsTopic(c.Run, topic) }
}

func TestMessagesStayWithinTheTopicThatNodesMovedTo(t *testing.T) {
	a := start(t, 1, cells)
	b := start(t, 2, cells, with(a.Addrs()...))
	c := start(t, 3, cells, with(a.Addrs()...))
	eventually(t, "all are connected", func() bool { return a.countUp() == 2 && b.countUp() == 2 && c.countUp() == 2 })
	move := func(cell uint32, nodes ...*node) {
		t.Helper()
		for _, n := range nodes {
			if err := n.Move(gossip.Topic(n.cfg.Run, cell), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	called, sent := 0, 0
	tell := func(from, to *node) {
		t.Helper()
		called++
		prefix := fmt.Sprintf("for %s, call %d: ", to.id.Short(), called)
		eventually(t, "a message arrives", func() bool {
			sent++
			if err := from.Publish(t.Context(), fmt.Appendf(nil, "%s%d", prefix, sent)); err != nil {
				t.Fatal(err)
			}
			to.mu.Lock()
			defer to.mu.Unlock()
			for have := range to.got {
				if strings.HasPrefix(have, prefix) {
					return true
				}
			}
			return false
		})
	}
	for round := range 4 {
		cell := uint32(2 * round)
		move(cell, a, b)
		move(cell+1, c)
		tell(a, b)
		tell(b, a)
		move(cell+1, b)
		tell(b, c)
		tell(c, b)
	}
	for _, n := range []*node{a, b, c} {
		n.mu.Lock()
		for text := range n.got {
			if !strings.HasPrefix(text, "for "+n.id.Short()) {
				t.Errorf("%s got %q", n.id.Short(), text)
			}
		}
		n.mu.Unlock()
	}
	if len(a.pubsub.GetTopics()) != 1 || a.want != gossip.Topic(a.cfg.Run, 6) {
		t.Errorf("in topics %v, want %s", a.pubsub.GetTopics(), a.want)
	}
	if err := a.Move("/elsewhere", nil); err == nil {
		t.Error("moved to a topic that is none of the run's")
	}
	eventually(t, "the mesh is that of the new topic", func() bool {
		for _, p := range b.Peers() {
			if p.InMesh != (p.ID == c.id) {
				return false
			}
		}
		return true
	})
}

func TestANodeJoinsTheTopicOfAMoveBeforeIt(t *testing.T) {
	cfg := config(1, cells)
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Move(gossip.Topic(cfg.Run, 7), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Join(Handlers{Validate: func(gossip.PeerID, []byte) (Decision, string) { return Accept, "" }, Deliver: start(t, 2).handlers.Deliver}); err != nil {
		t.Fatal(err)
	}
	if have := s.pubsub.GetTopics(); len(have) != 1 || have[0] != gossip.Topic(cfg.Run, 7) {
		t.Error(have)
	}
}

func TestAPeerIsInFewTopicsOfTheRunOnly(t *testing.T) {
	cfg := config(1, cells)
	f := newTopicFilter(&settings{Config: cfg})
	sub := func(on bool, topics ...string) []*pb.RPC_SubOpts {
		var subs []*pb.RPC_SubOpts
		for _, topic := range topics {
			subs = append(subs, &pb.RPC_SubOpts{Subscribe: &on, Topicid: &topic})
		}
		return subs
	}
	var all []string
	for i := range uint32(6) {
		all = append(all, gossip.Topic(cfg.Run, i))
	}
	take := func(p peer.ID, subs ...*pb.RPC_SubOpts) int {
		t.Helper()
		kept, err := f.FilterIncomingSubscriptions(p, subs)
		if err != nil {
			t.Fatal(err)
		}
		return len(kept)
	}
	if n := take("p", sub(true, all...)...); n != maxTopics {
		t.Errorf("%d of 6 topics at once", n)
	}
	in := append([]string(nil), f.of["p"]...)
	if n := take("p", sub(true, in...)...); n != maxTopics {
		t.Errorf("told again, %d of %d count", n, maxTopics)
	}
	var out string
	for _, topic := range all {
		if !slices.Contains(in, topic) {
			out = topic
		}
	}
	if take("p", sub(true, out)...) != 0 || take("p", append(sub(true, out), sub(false, in[0])...)...) != 2 {
		t.Error("a topic that is left does not make room for the next one")
	}
	if take("q", sub(true, "x", all[0]+"x", gossip.Topic(gossip.RunID{2}, 0), gossip.Topic(cfg.Run, gossip.MaxCells))...) != 0 {
		t.Error("topics that are none of the run's")
	}
	if _, err := f.FilterIncomingSubscriptions("q", make([]*pb.RPC_SubOpts, maxSubscriptions+1)); err != pubsub.ErrTooManySubscriptions {
		t.Error(err)
	}
	f.drop("p")
	f.forget(func(peer.ID) bool { return false })
	if len(f.of) != 0 {
		t.Error(f.of)
	}
}

// halves says who belongs together: the nodes whose numbers are odd, and the others.
func halves(of int) func(a, b gossip.PeerID) bool {
	odd := make(map[gossip.PeerID]bool)
	for n := 1; n <= of; n += 2 {
		odd[idOf(n)] = true
	}
	return func(a, b gossip.PeerID) bool { return odd[a] == odd[b] }
}

// With room for 8 peers a node dials 4, and mates until there are 2. Here the first 4 are none.
func TestMatesAreDialledThoughThereArePeersEnough(t *testing.T) {
	const nodes = 9
	var strangers, mates []*node
	for n := 2; n <= nodes; n++ {
		if n%2 == 0 {
			strangers = append(strangers, start(t, n, cells))
		} else {
			mates = append(mates, start(t, n, cells))
		}
	}
	var boots []string
	for _, n := range strangers {
		boots = append(boots, n.Addrs()...)
	}
	a := start(t, 1, cells, maxPeers(8), with(boots...))
	eventually(t, "there are peers enough", func() bool { return a.countUp() == len(strangers) })
	for _, n := range mates {
		a.learn(fromPeers, peer.AddrInfo{ID: n.host.ID(), Addrs: n.host.Addrs()})
	}
	if jobs, _ := a.due(time.Now().Add(time.Hour)); len(jobs) != 0 {
		t.Errorf("dials %d peers though it has enough", len(jobs))
	}
	if err := a.Move(gossip.Topic(a.cfg.Run, 1), halves(nodes)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "two mates are up", func() bool {
		a.Swarm.mu.Lock()
		defer a.Swarm.mu.Unlock()
		return a.matesLocked() == 2 && a.countUpLocked() == len(strangers)+2
	})
	for _, p := range a.roster(ToPeer(mates[0].id)).Peers[1+len(strangers):] {
		if id := gossip.PeerID(p.ID); !halves(nodes)(id, a.id) {
			t.Errorf("a mate is told of %s", id.Short())
		}
	}
	guests := a.upPeers()
	a.matesFirst(a.host.ID(), guests)
	met := 0 // more than two may have come by now
	for i, p := range guests {
		id, _ := fromPeer(p)
		if !halves(nodes)(id, a.id) {
			continue
		}
		if met++; met != i+1 {
			t.Errorf("guest %d, a mate, comes after a stranger: %s", i, id.Short())
		}
	}
	if met < 2 {
		t.Errorf("%d mates are among the guests", met)
	}
}
