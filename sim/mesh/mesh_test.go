package mesh

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"starling/node"
)

func TestEveryMessageReachesEverybodyOverAQuietNetwork(t *testing.T) {
	l := newLoop(t, Default(), 50, 1)
	l.start(6)
	l.chatter(40, 500, node.Second/5)
	if n := l.missing(); n > 0 {
		t.Errorf("%d deliveries of %d did not happen", n, 40*49)
	}
	s := l.Stats()
	if s.Delivered != 40*49 || s.Published != 40 || s.Stray != 0 {
		t.Errorf("%+v: want 40 published, %d delivered and no strays", s, 40*49)
	}
	if c := s.Copies(); c < 5 || c > 12 {
		t.Errorf("%.1f copies for each delivery: a mesh of 6 to 11 peers makes more than 5 and fewer than 12", c)
	}
	if s.Repaired != 0 || s.Sent[IDontWant].RPCs != 0 {
		t.Errorf("%d repairs and %d IDONTWANTs for short messages that nobody lost", s.Repaired, s.Sent[IDontWant].RPCs)
	}
}

func TestLostCopiesAreAskedFor(t *testing.T) {
	// On a sparse graph with most copies lost, pushing alone reaches few.
	push := Default()
	push.Dlazy, push.GossipFactor, push.FloodPublish = 0, 0, false
	for _, c := range []struct {
		name    string
		cfg     Config
		repairs bool
	}{{"with gossip", Default(), true}, {"without", push, false}} {
		t.Run(c.name, func(t *testing.T) {
			l := newLoop(t, c.cfg, 60, 2)
			l.start(10)
			l.loss, l.lossy = 0.85, func(k Kind) bool { return k == Message }
			l.chatter(30, 500, node.Second)
			s := l.Stats()
			if c.repairs && (l.missing() > 9 || s.Repaired < 50) {
				t.Errorf("%d deliveries of %d missing after %d repairs: want hardly any missing", l.missing(), 30*59, s.Repaired)
			}
			if !c.repairs && (l.missing() < 100 || s.Sent[IHave].RPCs+s.Repaired > 0) {
				t.Errorf("%d missing, %d repaired, %d IHAVEs: the loss is too mild to prove a repair", l.missing(), s.Repaired, s.Sent[IHave].RPCs)
			}
		})
	}
}

func TestMeshesSettleWithinTheirBounds(t *testing.T) {
	cfg := Default()
	for seed := range uint64(5) {
		l := newLoop(t, cfg, 100, seed)
		l.start(20)
		l.run(l.now + 300*node.Second)
		for n := range 100 {
			m := &l.Topic.nodes[n]
			if k := len(m.mesh); k < cfg.Dlo || k > cfg.Dhi {
				t.Errorf("seed %d: node %d has a mesh of %d peers", seed, n, k)
			}
			if out := m.outbound(); out < cfg.Dout {
				t.Errorf("seed %d: node %d has %d outbound peers in its mesh, want %d", seed, n, out, cfg.Dout)
			}
			for _, p := range l.Mesh(n, nil) {
				if !slices.Contains(l.Mesh(p, nil), n) {
					t.Errorf("seed %d: node %d has %d in its mesh, but not the other way round", seed, n, p)
				}
			}
		}
	}
}

func TestLongMessagesAreAnnouncedAndCostFewerCopies(t *testing.T) {
	const size = 16 << 10
	copies := func(threshold int) (float64, Stats) {
		cfg := Default()
		cfg.IDontWantSize = threshold
		l := newLoop(t, cfg, 60, 3)
		// Without the time that sending takes, an announcement is no faster than the copy behind it.
		l.rate = 2e6
		l.start(6)
		l.chatter(30, size, node.Second)
		if l.missing() > 0 {
			t.Errorf("%d deliveries missing with a threshold of %d bytes", l.missing(), threshold)
		}
		s := l.Stats()
		return s.Copies(), s
	}
	all, _ := copies(size + 1)
	fewer, s := copies(size)
	if fewer > 0.9*all {
		t.Errorf("%.2f copies with IDONTWANT, %.2f without: want a tenth fewer at least", fewer, all)
	}
	if s.Sent[IDontWant].RPCs == 0 {
		t.Error("no IDONTWANT was sent")
	}
}

func TestIDontWantIsForgottenAfterItsHeartbeats(t *testing.T) {
	l := newLoop(t, Default(), 2, 1)
	l.Join(0, 0)
	l.Join(0, 1)
	l.Connect(0, 0, 1)
	l.run(2 * node.Second)
	e := &l.Topic.nodes[0].edges[0]
	m := &l.Topic.nodes[0]
	l.roll(m, e, l.now)
	l.unwant(m, e, 7)
	for beats := int32(0); beats < 5; beats++ {
		if got, want := e.spurns(7, e.tick+beats), beats < 3; got != want {
			t.Errorf("after %d heartbeats: spurned %v, want %v", beats, got, want)
		}
	}
	if e.spurns(8, e.tick) {
		t.Error("a message is spurned that the peer did not speak of")
	}
}

func TestIdleNodesCostNothing(t *testing.T) {
	cfg := Default()
	cfg.OpportunisticTicks = 0
	l := newLoop(t, cfg, 100, 4)
	l.start(20)
	l.run(l.now + 200*node.Second)
	before := l.seq
	l.run(l.now + 3600*node.Second)
	if l.seq != before {
		t.Errorf("%d events within an idle hour", l.seq-before)
	}
}

func TestOpportunisticGraftingTakesWhoBringsNews(t *testing.T) {
	l := newLoop(t, Default(), 11, 5)
	for n := range 11 {
		l.Join(0, n)
	}
	for n := range 10 {
		l.Connect(0, 0, n+1)
	}
	l.run(30 * node.Second)
	m := &l.Topic.nodes[0]
	var outside []*edge
	for i := range int32(2) {
		e := &m.edges[i]
		peer := &l.Topic.nodes[e.peer]
		l.unmesh(m, i)
		l.unmesh(peer, e.back)
		peer.edges[e.back].in = false // so that it does not graft by itself
		peer.known--
		outside = append(outside, e)
	}
	outside[0].firsts, outside[0].decayed = 10, l.now
	l.run(59 * node.Second)
	if outside[0].mesh {
		t.Error("grafted before heartbeat 60, which is at 59.1 s")
	}
	l.run(60 * node.Second)
	if !outside[0].mesh || outside[1].mesh {
		t.Errorf("the peer that brought news is in the mesh: %v, the other one: %v", outside[0].mesh, outside[1].mesh)
	}
}

func TestTheSameSeedMakesTheSameTrace(t *testing.T) {
	run := func(seed uint64) uint64 {
		l := newLoop(t, Default(), 40, seed)
		l.start(6)
		l.loss = 0.1
		l.chatter(30, 2000, node.Second/3)
		return l.trace
	}
	if first, second := run(1), run(1); first != second {
		t.Error("two runs with one seed differ")
	}
	if run(1) == run(2) {
		t.Error("runs with different seeds are the same")
	}
}

func TestCopiesAreConserved(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 9))
		l := newLoop(t, Default(), 30, seed)
		l.start(5)
		l.loss = 0.2
		for range 60 {
			a, b := r.IntN(30), r.IntN(30)
			switch r.IntN(6) {
			case 0:
				l.Crash(l.now, a)
			case 1:
				l.Join(l.now, a)
				l.Connect(l.now, a, b)
			case 2:
				l.Leave(l.now, a)
			case 3:
				l.Disconnect(l.now, a, b)
			default:
				if l.Topic.nodes[a].joined {
					l.publish(a, 100+r.IntN(2000))
				}
			}
			l.run(l.now + node.Instant(r.Int64N(1e9)))
		}
		l.run(l.now + 100*node.Second)
		s := l.Stats()
		copies := s.Sent[Message].RPCs + s.Sent[Answer].RPCs
		if sum := s.Delivered + s.Duplicates + s.Stray + l.lost; sum != copies {
			t.Errorf("seed %d: %d copies sent, but %d delivered, %d duplicates, %d strays and %d lost: go test ./sim/mesh -run TestCopiesAreConserved",
				seed, copies, s.Delivered, s.Duplicates, s.Stray, l.lost)
		}
		consistent(t, l.Topic)
	}
}

// consistent checks what must hold of a topic at any time.
func consistent(t *testing.T, topic *Topic) {
	t.Helper()
	for n := range topic.nodes {
		m := &topic.nodes[n]
		known, meshed := 0, 0
		for i := range m.edges {
			e := &m.edges[i]
			if e.in {
				known++
			}
			if e.mesh {
				meshed++
				if !e.up || !slices.Contains(m.mesh, int32(i)) {
					t.Errorf("node %d: peer %d is in the mesh, up %v", n, e.peer, e.up)
				}
			}
			if e.up {
				back := &topic.nodes[e.peer].edges[e.back]
				if int(back.peer) != n || !back.up || back.life != e.life || back.outbound == e.outbound {
					t.Errorf("node %d: the edges to and from %d do not match: %+v %+v", n, e.peer, e, back)
				}
			} else if e.in {
				t.Errorf("node %d: peer %d is not connected, but in the topic", n, e.peer)
			}
		}
		if known != m.known || meshed != len(m.mesh) {
			t.Errorf("node %d: counts %d known and %d in the mesh, has %d and %d", n, m.known, len(m.mesh), known, meshed)
		}
	}
}

func TestPrunedPeersAreLeftAloneForTheBackOff(t *testing.T) {
	l := newLoop(t, Default(), 2, 1)
	l.Join(0, 0)
	l.Join(0, 1)
	l.Connect(0, 0, 1)
	l.run(5 * node.Second)
	if len(l.Mesh(0, nil)) != 1 {
		t.Fatal("two nodes did not mesh")
	}
	l.Leave(l.now, 1) // forbids for 10 s; node 1 comes back at once
	l.Join(l.now+1, 1)
	l.run(14 * node.Second)
	if len(l.Mesh(0, nil)) != 0 || len(l.Mesh(1, nil)) != 0 {
		t.Error("grafted within the back-off")
	}
	// The back-off ends at 15 s, is remembered until 17 s, and forgotten at heartbeat 30, at 29.1 s.
	l.run(29 * node.Second)
	if len(l.Mesh(0, nil)) != 0 {
		t.Error("grafted before the back-off was cleared")
	}
	l.run(30 * node.Second)
	if len(l.Mesh(0, nil)) != 1 || len(l.Mesh(1, nil)) != 1 {
		t.Error("not grafted after the back-off")
	}
}

func TestFullMeshesRefuseThoseWhoDialled(t *testing.T) {
	cfg := Default()
	l := newLoop(t, cfg, 20, 1)
	for n := range 20 {
		l.Join(0, n)
	}
	for n := 1; n < 20; n++ {
		l.Connect(0, n, 0) // all of them want node 0
	}
	l.run(1500e6)
	if k := len(l.Mesh(0, nil)); k > cfg.Dhi {
		t.Errorf("%d peers in the mesh, at most %d", k, cfg.Dhi)
	}
	if l.Stats().Sent[Prune].RPCs == 0 {
		t.Error("nobody was refused")
	}
}

func TestManyControlRecordsSilenceAdvertisements(t *testing.T) {
	cfg := Default()
	l := newLoop(t, cfg, 3, 1)
	for n := range 3 {
		l.Join(0, n)
	}
	l.Connect(0, 0, 1)
	l.run(5 * node.Second)
	id := l.publish(0, 100)
	m := &l.Topic.nodes[1]
	e := &m.edges[0]
	ask := func() uint64 {
		l.msgs.forget(1)
		before := l.Stats().Sent[IWant].RPCs
		l.Receive(l.now, 1, 0, RPC{Kind: IHave, IDs: []MsgID{id}, link: 0, life: e.life})
		return l.Stats().Sent[IWant].RPCs - before
	}
	if ask() != 1 {
		t.Fatal("an IHAVE of something new was not answered")
	}
	for range cfg.MaxIHaveMessages {
		l.Receive(l.now, 1, 0, RPC{Kind: IDontWant, Msg: id, link: 0, life: e.life})
	}
	if ask() != 0 {
		t.Error("the IHAVE after too many control records was answered")
	}
	l.run(l.now + node.Second)
	if ask() != 1 {
		t.Error("the count was not cleared with the heartbeat")
	}
}

func TestWhatANodeRefusesGoesNoFurther(t *testing.T) {
	l := newLoop(t, Default(), 3, 1)
	for n := range 3 {
		l.Join(0, n)
	}
	l.Connect(0, 0, 1)
	l.Connect(0, 1, 2)
	l.run(5 * node.Second)
	l.refuse = func(n int) bool { return n == 1 }
	id := l.publish(0, 100)
	l.run(15 * node.Second)
	if l.arrived[id][1] < 0 || l.arrived[id][2] >= 0 {
		t.Errorf("arrivals %v: want node 1 to have it and node 2 not", l.arrived[id])
	}
}

func TestNobodyPublishesOutsideOfTheTopic(t *testing.T) {
	l := newLoop(t, Default(), 2, 1)
	if id := l.Publish(0, 0, 10); id != 0 {
		t.Errorf("message %d was published by a node that has not joined", id)
	}
}

func TestOldMessagesAreForgotten(t *testing.T) {
	cfg := Default()
	l := newLoop(t, cfg, 10, 1)
	l.start(4)
	first := l.publish(0, 10)
	for range 3000 {
		l.publish(1, 10)
		l.run(l.now + node.Second/5)
	}
	if l.msgs.known(first) {
		t.Error("a message of ten minutes ago is still remembered")
	}
	if room := len(l.msgs.about); room > 2048 {
		t.Errorf("room for %d messages, where 1,500 are remembered", room)
	}
	for n := range l.Topic.nodes {
		if c := cap(l.Topic.nodes[n].cache); c > 256 {
			t.Errorf("node %d has a cache of %d, where 30 can be asked for", n, c)
		}
	}
	if l.missing() > 0 {
		t.Errorf("%d deliveries missing", l.missing())
	}
}

func TestCrashedNodesLearnAnew(t *testing.T) {
	l := newLoop(t, Default(), 20, 1)
	l.start(6)
	id := l.publish(1, 10)
	l.run(l.now + node.Second/2)
	l.Crash(l.now, 0)
	consistent(t, l.Topic)
	if l.msgs.has(id, 0) || l.Peers(0) != 0 || len(l.Mesh(0, nil)) != 0 {
		t.Error("a crashed node remembers")
	}
	l.Join(l.now, 0)
	for n := 1; n < 16; n++ {
		l.Connect(l.now, 0, n)
	}
	l.arrived[id][0] = -1
	l.run(l.now + 5*node.Second)
	if l.arrived[id][0] < 0 {
		t.Error("the node that came back was not told of what was still advertised")
	}
}

func TestBadSettingsAreAllNamed(t *testing.T) {
	cfg := Default()
	cfg.Dlo, cfg.Dout, cfg.HistoryGossip, cfg.Heartbeat = 9, 4, 7, 0
	_, err := New(cfg, 1, nil, nil)
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{"Dlo", "Dout", "HistoryGossip", "Heartbeat"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
}
