package main_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"

	"starling/gossip/swarm"
	"starling/node"
	"starling/sim/mesh"
)

// The model of gossipsub that the simulator uses is held against gossipsub itself: the same nodes with the same links,
// latencies and bandwidth, the same messages from the same nodes at the same times, as real hosts on a simulated network in
// virtual time, and several times as often as the model. Meshes are drawn by lot, so that both differ from run to run.

// A scene is what both are put into.
type scene struct {
	name     string
	dials    int // by each node, to others drawn by lot
	size     int // bytes of a message
	messages int
	pause    time.Duration // between messages
	// late is how many messages are published before the last node gets its links. What it missed it has to ask for.
	late int
	runs int // of the real hosts
	seed uint64
}

const (
	calibrated    = 20 // nodes
	lateLinks     = 12 // of the last node, when it is late
	stagger       = 53 * time.Millisecond
	settle        = 20 * time.Second // from the last connection to the first message
	drain         = 8 * time.Second  // from the last message to the count
	linkBits      = 50_000_000       // per second, each way, of each node
	modelRuns     = 8
	wrongRuns     = 3 // of a model with wrong settings
	calibrateName = "/starling/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/1"
)

var scenes = []scene{
	{name: "512 B, 12 peers", dials: 6, size: 512, messages: 40, pause: 200 * time.Millisecond, runs: 3, seed: 1},
	{name: "512 B, 6 peers", dials: 3, size: 512, messages: 40, pause: 200 * time.Millisecond, runs: 1, seed: 2},
	{name: "16 KiB, 12 peers", dials: 6, size: 16 << 10, messages: 20, pause: 500 * time.Millisecond, runs: 1, seed: 3},
	{name: "16 KiB, 6 peers", dials: 3, size: 16 << 10, messages: 30, pause: 500 * time.Millisecond, runs: 1, seed: 4},
	{name: "512 B, five minutes", dials: 6, size: 512, messages: 60, pause: 5 * time.Second, runs: 1, seed: 6},
	{name: "512 B, a latecomer", dials: 6, size: 512, messages: 40, pause: 200 * time.Millisecond, late: 20, runs: 2, seed: 5},
}

// latency is that of one direction of a link: 20 to 50 ms.
func latency(a, b int) time.Duration {
	return 20*time.Millisecond + time.Duration((min(a, b)*31+max(a, b)*17)%31)*time.Millisecond
}

// A link is a connection that node from dials.
type link struct{ from, to int }

// links draws who dials whom, early and late.
func (s scene) links() (early, late []link) {
	r := rand.New(rand.NewPCG(s.seed, 1))
	nodes := calibrated
	if s.late > 0 {
		nodes--
		for n := range lateLinks {
			late = append(late, link{nodes, n})
		}
	}
	known := make(map[link]bool)
	for n := range nodes {
		for left := s.dials; left > 0; {
			p := r.IntN(nodes)
			if l := (link{min(n, p), max(n, p)}); p != n && !known[l] {
				known[l] = true
				early = append(early, link{n, p})
				left--
			}
		}
	}
	return early, late
}

// publishers draws who publishes each message.
func (s scene) publishers() (out []int) {
	r := rand.New(rand.NewPCG(s.seed, 2))
	for range s.messages {
		out = append(out, r.IntN(calibrated-1))
	}
	return out
}

// A script is when things happened to the real hosts: since their start, in the order of links and of messages.
type script struct {
	early, late, published []time.Duration
}

// A reading is what is measured, on average of several runs.
type reading struct {
	deliveries, duplicates float64
	degree                 float64 // size of a mesh in the end
	p50, p90, p99          time.Duration
	sent                   [mesh.Kinds]traffic
}

type traffic struct{ rpcs, bytes float64 }

// add takes in what a node did in one of so many runs; degree is the size of its mesh.
func (r *reading) add(deliveries, duplicates, degree float64, sent [mesh.Kinds]traffic, runs int) {
	n := float64(runs)
	r.deliveries += deliveries / n
	r.duplicates += duplicates / n
	r.degree += degree / n / calibrated
	for k, s := range sent {
		r.sent[k].rpcs += s.rpcs / n
		r.sent[k].bytes += s.bytes / n
	}
}

// finish takes in the delays of all deliveries.
func (r *reading) finish(delays []time.Duration) {
	slices.Sort(delays)
	at := func(q float64) time.Duration { return delays[int(q*float64(len(delays)))] }
	r.p50, r.p90, r.p99 = at(0.5), at(0.9), at(0.99)
}

// copies is how often a node receives a message.
func (r *reading) copies() float64 { return 1 + r.duplicates/r.deliveries }

func (r *reading) String() string {
	ms := func(d time.Duration) float64 { return d.Seconds() * 1e3 }
	kb := func(k mesh.Kind) string {
		return fmt.Sprintf(" %s %.0f (%.0f kB)", k, r.sent[k].rpcs, r.sent[k].bytes/1e3)
	}
	return fmt.Sprintf("%5.0f delivered, %5.2f copies, %5.1f %5.1f %6.1f ms, mesh %5.2f;%s%s%s%s%s%s%s", r.deliveries, r.copies(),
		ms(r.p50), ms(r.p90), ms(r.p99), r.degree,
		kb(mesh.Message), kb(mesh.Answer), kb(mesh.IHave), kb(mesh.IWant), kb(mesh.IDontWant), kb(mesh.Graft), kb(mesh.Prune))
}

// modelled runs a scene on the model so many times, each as one of the scripts says.
func modelled(t *testing.T, s scene, cfg mesh.Config, when []script, runs int) (mean reading) {
	t.Helper()
	var delays []time.Duration
	for run := range runs {
		w := newWire(linkBits / 8)
		topic, err := mesh.New(cfg, calibrated, rand.New(rand.NewPCG(s.seed, uint64(run))), w)
		if err != nil {
			t.Fatal(err)
		}
		w.topic = topic
		w.act(s, when[run%len(when)])
		stats, meshed := topic.Stats(), 0
		for n := range calibrated {
			meshed += len(topic.Mesh(n, nil))
		}
		var sent [mesh.Kinds]traffic
		for k, s := range stats.Sent {
			sent[k] = traffic{float64(s.RPCs), float64(s.Bytes)}
		}
		mean.add(float64(stats.Delivered), float64(stats.Duplicates), float64(meshed), sent, runs)
		delays = append(delays, w.delays...)
	}
	mean.finish(delays)
	return mean
}

// act goes through the script.
func (w *wire) act(s scene, when script) {
	at := func(d time.Duration) node.Instant {
		w.run(node.Instant(d))
		return w.now
	}
	for n := range calibrated {
		w.topic.Join(at(time.Duration(n)*stagger), n)
	}
	early, late := s.links()
	for i, l := range early {
		w.topic.Connect(at(when.early[i]), l.from, l.to)
	}
	for i, p := range s.publishers() {
		if i == s.late {
			for j, l := range late {
				w.topic.Connect(at(when.late[j]), l.from, l.to)
			}
		}
		now := at(when.published[i])
		w.published = append(w.published, now)
		w.topic.Publish(now, p, s.size)
	}
	at(when.published[s.messages-1] + drain)
}

// differences names what is further apart than a model may be. From run to run, the copies that real hosts make vary with
// a standard deviation of 3 to 4 %, as their meshes do.
func differences(s scene, real, model *reading) (out []string) {
	check := func(what string, real, model, tolerance float64) {
		if math.Abs(model-real) > tolerance*real {
			out = append(out, fmt.Sprintf("%s: %.5g with real hosts, %.5g in the model, which is more than %.0f %% apart", what, real, model, 100*tolerance))
		}
	}
	chance := 1 / math.Sqrt(float64(s.runs))
	check("deliveries", real.deliveries, model.deliveries, 0.02)
	check("copies", real.copies(), model.copies(), 0.04+0.08*chance)
	check("size of meshes", real.degree, model.degree, 0.04+0.08*chance)
	check("median delay (s)", real.p50.Seconds(), model.p50.Seconds(), 0.08)
	check("p90 of delays (s)", real.p90.Seconds(), model.p90.Seconds(), 0.10)
	if s.late == 0 { // a latecomer's few repairs are the tail
		check("p99 of delays (s)", real.p99.Seconds(), model.p99.Seconds(), 0.15)
	} else {
		check("answers to IWANT", real.sent[mesh.Answer].rpcs, model.sent[mesh.Answer].rpcs, 0.6)
	}
	check("bytes of messages", real.sent[mesh.Message].bytes, model.sent[mesh.Message].bytes, 0.04+0.08*chance)
	check("IHAVEs", real.sent[mesh.IHave].rpcs, model.sent[mesh.IHave].rpcs, 0.15+0.2*chance)
	check("bytes of IHAVEs", real.sent[mesh.IHave].bytes, model.sent[mesh.IHave].bytes, 0.15+0.2*chance)
	check("IDONTWANTs", real.sent[mesh.IDontWant].rpcs, model.sent[mesh.IDontWant].rpcs, 0.04+0.08*chance)
	check("GRAFTs", real.sent[mesh.Graft].rpcs, model.sent[mesh.Graft].rpcs, 0.1+0.12*chance)
	for k, sent := range real.sent {
		kind := mesh.Kind(k)
		if exact := kind != mesh.IHave && kind != mesh.IWant && kind != mesh.Answer; exact && sent.rpcs > 0 && model.sent[k].rpcs > 0 {
			check("bytes of one "+kind.String(), sent.bytes/sent.rpcs, model.sent[k].bytes/model.sent[k].rpcs, 1e-9)
		}
	}
	return out
}

func TestModelledMeshDoesWhatRealHostsDo(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real hosts")
	}
	// Settings that are not the daemon's must show, or the comparison is worth nothing.
	wrong := []struct {
		name   string
		scene  int
		change func(*mesh.Config)
	}{
		{"the mesh of gossipsub's defaults", 0, func(c *mesh.Config) { c.D, c.Dlo, c.Dout, c.Dscore = 6, 5, 2, 4 }},
		{"no flood publishing", 0, func(c *mesh.Config) { c.FloodPublish = false }},
		{"a shorter window of gossip", 0, func(c *mesh.Config) { c.HistoryGossip = 1 }},
		{"another name of the topic", 0, func(c *mesh.Config) { c.TopicLen++ }},
		{"no IDONTWANT", 2, func(c *mesh.Config) { c.IDontWantSize = 1 << 20 }},
		{"no opportunistic grafting", 4, func(c *mesh.Config) { c.OpportunisticTicks = 0 }},
		{"no IHAVE", 5, func(c *mesh.Config) { c.Dlazy, c.GossipFactor = 0, 0 }},
	}
	for i, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			real, when := reality(t, s)
			model := modelled(t, s, mesh.Default(), when, modelRuns)
			t.Logf("real  %v", &real)
			t.Logf("model %v", &model)
			for _, d := range differences(s, &real, &model) {
				t.Error(d)
			}
			for _, w := range wrong {
				if w.scene != i {
					continue
				}
				cfg := mesh.Default()
				w.change(&cfg)
				model := modelled(t, s, cfg, when, wrongRuns)
				d := differences(s, &real, &model)
				if len(d) == 0 {
					t.Errorf("a model with %s is not told from real hosts: %v", w.name, &model)
				}
				t.Logf("with %s: %s", w.name, strings.Join(d, "; "))
			}
		})
	}
}

func TestModelledMeshHasTheDaemonsSettings(t *testing.T) {
	p, s, limits := swarm.GossipParams(), swarm.TopicScore(), swarm.ScoreThresholds()
	instant := func(d time.Duration) node.Instant { return node.Instant(d) }
	want := mesh.Config{
		D: p.D, Dlo: p.Dlo, Dhi: p.Dhi, Dout: p.Dout, Dscore: p.Dscore, Dlazy: p.Dlazy, GossipFactor: p.GossipFactor,
		HistoryLength: p.HistoryLength, HistoryGossip: p.HistoryGossip,
		Heartbeat: instant(p.HeartbeatInterval), InitialDelay: instant(p.HeartbeatInitialDelay),
		PruneBackoff: instant(p.PruneBackoff), UnsubscribeBackoff: instant(p.UnsubscribeBackoff), SeenTTL: instant(5 * time.Minute),
		MaxIHaveLength: p.MaxIHaveLength, MaxIHaveMessages: p.MaxIHaveMessages, MaxIDontWantMessages: p.MaxIDontWantMessages,
		IDontWantSize: p.IDontWantMessageThreshold, IDontWantTTL: p.IDontWantMessageTTL,
		OpportunisticTicks: int(p.OpportunisticGraftTicks), OpportunisticPeers: p.OpportunisticGraftPeers,
		OpportunisticScore: limits.OpportunisticGraftThreshold,
		Score: mesh.Score{
			TopicWeight: s.TopicWeight, MeshWeight: s.TimeInMeshWeight / s.TimeInMeshQuantum.Seconds(), MeshCap: s.TimeInMeshCap,
			FirstWeight: s.FirstMessageDeliveriesWeight, FirstCap: s.FirstMessageDeliveriesCap, FirstDecay: s.FirstMessageDeliveriesDecay,
		},
		FloodPublish: true, TopicLen: len(calibrateName), IDLen: 20,
	}
	got := mesh.Default()
	if math.Abs(got.Score.FirstDecay-want.Score.FirstDecay) > 1e-9 || pubsub.DefaultDecayInterval != time.Second {
		t.Errorf("first deliveries decay to %v in a second, want %v", got.Score.FirstDecay, want.Score.FirstDecay)
	}
	got.Score.FirstDecay = want.Score.FirstDecay
	if got != want {
		t.Errorf("the model's settings are\n%+v, the daemon's\n%+v", got, want)
	}
}
